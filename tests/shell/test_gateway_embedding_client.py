"""The gateway asks the llm_service for vectors."""

import base64
import json
from array import array
from collections.abc import Callable

import httpx
import pytest

from gateway.core.replica_choice import Condition
from gateway.embedding_client import EmbeddingClient, Vectors
from gateway.replicas import Replicas
from llm_service.settings import LlmSettings
from shared.errors import EngineFailed, ServiceUnavailable
from tests.support.embeddings import FakeEmbedder, app_around
from tests.support.llm import serving

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

Answer = Callable[[httpx.Request], httpx.Response]


async def asked(answer: Answer, *texts: str) -> Vectors:
    """What the client makes of a service that answers so."""
    client = EmbeddingClient("http://llm", transport=httpx.MockTransport(answer))
    async with client.opened():
        return await client.embed(texts)


def says(*embeddings: object, model: str = "m", first: int = 0) -> Answer:
    rows = [{"index": index + first, "embedding": one} for index, one in enumerate(embeddings)]
    return lambda _: httpx.Response(200, json={"model": model, "data": rows[::-1]})


async def test_the_llm_service_gives_a_vector_for_each_text_and_its_model_s_name() -> None:
    app = app_around(FakeEmbedder(), LlmSettings(engine="fake"))
    async with serving(app) as address, EmbeddingClient(address).opened() as client:
        made = await client.embed(["tea", "강아지", "x"])
    assert made == Vectors("fake-embedder", [array("f", [3, 0]), array("f", [3, 1]), array("f", [1, 2])])


async def test_vectors_come_in_the_order_of_their_places_as_base64_or_as_numbers() -> None:
    packed = base64.b64encode(array("f", [0.5, 1.5]).tobytes()).decode()
    assert await asked(says(packed, [2, 3]), "a", "b") == Vectors("m", [array("f", [0.5, 1.5]), array("f", [2, 3])])


async def test_the_request_holds_the_texts_and_asks_for_base64() -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return says([1.0])(request)

    await asked(answer, "저는")
    assert bodies == [{"input": ["저는"], "encoding_format": "base64"}]


@pytest.mark.parametrize(
    ("status", "kind"), [(503, ServiceUnavailable), (429, ServiceUnavailable), (500, EngineFailed)]
)
async def test_a_refusal_is_an_error_of_ours(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await asked(lambda _: httpx.Response(status, json={"error": {}}), "a")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx.Response(200, text="no json"),
        lambda _: httpx.Response(200, json={"data": []}),
        lambda _: httpx.Response(200, json=[]),
        says([1.0], [1.0]),
        says([]),
        says("!!!"),
        says(None),
    ],
)
async def test_what_is_no_embeddings_is_an_error_of_ours(answer: Answer) -> None:
    with pytest.raises(EngineFailed, match="no embeddings"):
        await asked(answer, "a")


@pytest.mark.parametrize(("failure", "is_lost"), [(httpx.ConnectError, True), (httpx.ReadTimeout, False)])
async def test_a_replica_that_cannot_be_reached_is_lost_and_one_that_is_late_is_not(
    failure: type[httpx.TransportError], is_lost: bool
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise failure("no", request=request)

    replicas = Replicas("llm_service", "http://one")
    client = EmbeddingClient(replicas, transport=httpx.MockTransport(refuse))
    async with client.opened():
        with pytest.raises(ServiceUnavailable):
            await client.embed(["a"])
    assert (replicas.conditions["http://one"] is Condition.LOST) is is_lost
    assert replicas.users == {"http://one": 0}

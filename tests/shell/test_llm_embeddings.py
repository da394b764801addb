"""The route of embeddings: what is asked, what is told, what is refused."""

import base64
import json
import logging
from array import array
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from llm_service.core.embedding_answer import Embedded
from llm_service.embeddings import REQUEST_LIMIT, TEXT_LIMIT, TEXTS_LIMIT
from llm_service.engines.embedding import load_embedder
from llm_service.settings import LlmSettings
from shared.errors import ServiceUnavailable
from tests.support.embeddings import FakeEmbedder, embedding_service
from tests.support.llm import sample

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
async def client(embedder: FakeEmbedder) -> AsyncIterator[httpx.AsyncClient]:
    async with embedding_service(embedder) as client:
        yield client


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/v1/embeddings", json=body)


async def error_of(client: httpx.AsyncClient, **body: Any) -> tuple[int, str, Any]:
    response = await ask(client, **body)
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


async def test_a_text_is_answered_as_openai_does(client: httpx.AsyncClient) -> None:
    response = await ask(client, input="tea", model="house/Fake-Embedder", user="me", made_up=1)

    assert response.status_code == 200
    assert response.json() == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [3.0, 0.0]}],
        "model": "fake-embedder",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


async def test_many_texts_are_answered_in_their_order(client: httpx.AsyncClient) -> None:
    data = (await ask(client, input=["bb", "a", "ccc"])).json()["data"]

    assert [(one["index"], one["embedding"]) for one in data] == [(0, [2.0, 0.0]), (1, [1.0, 1.0]), (2, [3.0, 2.0])]


async def test_base64_holds_32_bit_floats(client: httpx.AsyncClient) -> None:
    data = (await ask(client, input=["bb", "a"], encoding_format="base64")).json()["data"]

    assert [array("f", base64.b64decode(one["embedding"])).tolist() for one in data] == [[2.0, 0.0], [1.0, 1.0]]


async def test_as_many_texts_as_the_limit_are_taken(client: httpx.AsyncClient, embedder: FakeEmbedder) -> None:
    response = await ask(client, input=["a"] * TEXTS_LIMIT)

    assert response.status_code == 200
    assert len(embedder.asked[0][0]) == TEXTS_LIMIT


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_message", "input"),
        ({"input": ""}, "invalid_message", "input"),
        ({"input": []}, "invalid_message", "input"),
        ({"input": ["a", ""]}, "invalid_message", "input"),
        ({"input": None}, "invalid_message", "input"),
        ({"input": {"text": "a"}}, "invalid_message", "input"),
        ({"input": ["a"] * (TEXTS_LIMIT + 1)}, "invalid_message", "input"),
        ({"input": "a" * (TEXT_LIMIT + 1)}, "invalid_message", "input"),
        ({"input": [1, 2, 3]}, "unsupported", "input"),
        ({"input": [[1, 2], [3]]}, "unsupported", "input"),
        ({"input": ["a", 1]}, "unsupported", "input"),
        ({"input": "a", "dimensions": 3}, "unsupported", "dimensions"),
        ({"input": "a", "dimensions": 0}, "invalid_message", "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "invalid_message", "encoding_format"),
        ({"input": "a", "model": 3}, "invalid_message", "model"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_the_field_that_is_wrong(
    client: httpx.AsyncClient, body: dict[str, Any], code: str, param: str
) -> None:
    status, told, where = await error_of(client, **body)

    assert (status, told) == (400, code)
    assert where.split(".")[0] == param


@pytest.mark.parametrize(
    ("given", "param", "message"),
    [
        ([], "input", "input: it is an empty list."),
        ("", "input", "input: it is an empty text."),
        (["a", ""], "input.1", "input.1: it is an empty text."),
        (["a"] * 2049, "input", "input: it has 2049 texts, and at most 2048 are taken at once."),
        (["a", "b" * 40_000], "input.1", "input.1: it has 40000 characters, and a text has at most 32768."),
        (["a", "b\udc00"], "input.1", "input.1: it has half of a character."),
        (7, "input", "input: it is neither a text nor a list of texts."),
        (["a", None], "input", "input: it is neither a text nor a list of texts."),
        ([[1, 2], [3]], "input", "Arrays of tokens are not taken; send text."),
        ([1] * 3000, "input", "Arrays of tokens are not taken; send text."),
    ],
    ids=["no text", "empty", "one empty", "too many", "too long", "half", "number", "nothing", "tokens", "many tokens"],
)
async def test_a_wrong_input_is_refused_with_the_real_reason(
    client: httpx.AsyncClient, given: object, param: str, message: str
) -> None:
    content = json.dumps({"input": given})  # in ASCII, as half of a character has no bytes
    response = await client.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"})

    error = response.json()["error"]
    assert (response.status_code, error["param"], error["message"]) == (400, param, message)


async def test_another_model_is_not_there(client: httpx.AsyncClient) -> None:
    assert await error_of(client, input="tea", model="text-embedding-3-small") == (404, "model_not_found", "model")


async def test_too_much_text_together_is_refused(client: httpx.AsyncClient) -> None:
    many = REQUEST_LIMIT // TEXT_LIMIT + 1

    assert await error_of(client, input=["a" * TEXT_LIMIT] * many) == (413, "message_too_large", "input")


async def test_the_model_s_own_number_of_dimensions_may_be_asked_for(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    response = await ask(client, input="tea", dimensions=2)

    assert response.status_code == 200
    assert embedder.asked == [(["tea"], 2)]


async def test_an_error_is_told_and_counted(client: httpx.AsyncClient, embedder: FakeEmbedder) -> None:
    embedder.failure = ServiceUnavailable("It sleeps.", service="llm", retry_after_ms=1500)
    before = sample("parley_errors_total", service="llm", code="service_unavailable")

    response = await ask(client, input="tea")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.json()["error"]["message"] == "It sleeps."
    assert sample("parley_errors_total", service="llm", code="service_unavailable") == before + 1


async def test_the_tokens_are_counted(client: httpx.AsyncClient) -> None:
    before = sample("parley_llm_tokens_total", kind="embedding")

    await ask(client, input=["tea", "morning"])

    assert sample("parley_llm_tokens_total", kind="embedding") == before + 10


async def test_no_text_is_logged(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "llm_service"):
        await ask(client, input="a secret")

    assert [record.message for record in caplog.records] == ["texts were embedded"]
    assert "secret" not in json.dumps(vars(caplog.records[0]), default=str)


class SlowEmbedder(FakeEmbedder):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer, self.is_left = anyio.Event(), anyio.Event(), anyio.Event()

    async def embed(self, texts: Any, dimensions: int | None) -> Embedded:
        """Wait, then answer."""
        self.is_asked.set()
        try:
            await self.may_answer.wait()
        finally:
            self.is_left.set()
        return await super().embed(texts, dimensions)


async def test_more_requests_than_the_limit_are_refused_until_one_is_answered() -> None:
    embedder = SlowEmbedder()
    found: list[int] = []

    async def first(http: httpx.AsyncClient) -> None:
        found.append((await ask(http, input="a")).status_code)

    async with embedding_service(embedder, LlmSettings(embedding_max_requests=1)) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first, http)
            await embedder.is_asked.wait()
            refused = await ask(http, input="b")
            embedder.may_answer.set()
        then = await ask(http, input="c")

    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
    assert "Retry-After" in refused.headers
    assert (found, then.status_code) == ([200], 200)


async def test_a_client_that_leaves_ends_the_work() -> None:
    embedder = SlowEmbedder()

    async def first(http: httpx.AsyncClient) -> None:
        await ask(http, input="a")

    async with embedding_service(embedder) as http:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first, http)
            await embedder.is_asked.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(10):
            await embedder.is_left.wait()

    assert embedder.asked == []


async def test_embeddings_that_are_turned_off_are_unsupported() -> None:
    settings = LlmSettings(embedding_engine="none")
    async with embedding_service(load_embedder(settings), settings) as client:
        ready = await client.get("/ready")
        refused = await error_of(client, input="tea")

    assert ready.status_code == 200
    assert refused == (400, "unsupported", None)


def test_an_engine_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="there is no embedding engine 'x'; known: onnx, openai, none"):
        LlmSettings(embedding_engine="x")

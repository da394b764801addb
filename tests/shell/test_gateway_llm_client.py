"""Reading an answer from the llm_service, also when it sends nonsense."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.core.events import FinishReason
from gateway.llm_client import Delta, LlmClient, Question
from shared.errors import EngineFailed, ParleyError, ServiceTimeout, ServiceUnavailable
from tests.support.services import Body

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

QUESTION = Question([{"role": "user", "content": "hi"}], "a-model", 10, "key")
HELLO = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n'
STOP = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Upstream(httpx.AsyncBaseTransport):
    """An llm_service that answers with these bytes, and notes the request and that its stream was closed."""

    def __init__(self, *chunks: bytes, status: int = 200, failure: Exception | None = None) -> None:
        self.chunks, self.status, self.failure = chunks, status, failure
        self.request: httpx.Request | None = None
        self.is_closed = False
        self.dismissed: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if request.method == "DELETE":
            self.dismissed.append(request.headers["idempotency-key"])
            raise httpx.ReadError("secret") if self.failure else httpx.ReadTimeout("secret")
        self.request = request
        if self.failure and not self.chunks:
            raise self.failure
        return httpx.Response(self.status, stream=Body(self._stream(), self._close))

    async def _stream(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.failure:
            raise self.failure

    def _close(self) -> None:
        self.is_closed = True


async def read(upstream: Upstream) -> list[Delta]:
    client = LlmClient("http://llm", 1.0, 1.0, upstream)
    try:
        async with client.answer(QUESTION) as deltas:
            return [delta async for delta in deltas]
    finally:
        await client.aclose()


async def test_text_and_the_reason_of_the_end_are_read() -> None:
    usage = b'data: {"choices": [], "usage": {"total_tokens": 3}}\n\n'
    upstream = Upstream(b": ping\n\n", HELLO, STOP, usage, DONE)

    assert await read(upstream) == [Delta("Hello"), Delta("", FinishReason.STOP)]
    assert upstream.request is not None
    assert upstream.request.headers["idempotency-key"] == "key"


async def test_an_answer_cut_by_its_limit_says_so() -> None:
    cut = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]}\n\n'

    assert await read(Upstream(cut, DONE)) == [Delta("x", FinishReason.LENGTH)]


@pytest.mark.parametrize(
    ("upstream", "error"),
    [
        (Upstream(HELLO), ServiceUnavailable),
        (Upstream(HELLO, b'data: {"error": {"message": "secret"}}\n\n'), EngineFailed),
        (Upstream(HELLO, b"data: nonsense\n\n"), EngineFailed),
        (Upstream(b"data: []\n\n"), EngineFailed),
        (Upstream(b'data: {"choices": [5]}\n\n'), EngineFailed),
        (Upstream(b"{}", status=400), EngineFailed),
        (Upstream(b"{}", status=503), ServiceUnavailable),
        (Upstream(failure=httpx.ConnectError("secret")), ServiceUnavailable),
        (Upstream(HELLO, failure=httpx.ReadError("secret")), ServiceUnavailable),
        (Upstream(failure=httpx.ReadTimeout("secret")), ServiceTimeout),
    ],
)
async def test_whatever_goes_wrong_is_one_typed_error_without_foreign_words(
    upstream: Upstream, error: type[ParleyError]
) -> None:
    with pytest.raises(error) as raised:
        await read(upstream)

    assert raised.value.service == "llm"
    assert "secret" not in raised.value.message


async def test_leaving_early_closes_the_stream_upstream() -> None:
    upstream = Upstream(*[HELLO] * 100)
    client = LlmClient("http://llm", 1.0, 1.0, upstream)
    async with client.answer(QUESTION) as deltas:
        async for delta in deltas:
            assert delta == Delta("Hello")
            break
    await client.aclose()

    assert upstream.is_closed
    assert upstream.dismissed == ["key"]


async def test_an_answer_that_was_told_or_refused_is_not_dismissed() -> None:
    told, refused = Upstream(HELLO, STOP, DONE), Upstream(b"{}", status=400)
    await read(told)
    with pytest.raises(EngineFailed):
        await read(refused)

    assert (told.dismissed, refused.dismissed) == ([], [])

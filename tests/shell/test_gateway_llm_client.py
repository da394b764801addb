"""Reading an answer from the llm_service, also when it sends nonsense."""

import json
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from gateway.core.events import FinishReason
from gateway.llm_client import DISMISSALS, Delta, LlmClient, Question
from shared.errors import ContextLengthExceeded, EngineFailed, ParleyError, ServiceTimeout, ServiceUnavailable
from tests.support.services import Body

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

QUESTION = Question([{"role": "user", "content": "hi"}], "a-model", 10, "key")
HELLO = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n'
STOP = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
BRIEF_S = 0.01  # a time limit that is waited for


TOO_LONG = b'{"error": {"message": "secret", "code": "context_length_exceeded"}}'


class Upstream(httpx.AsyncBaseTransport):
    """An llm_service that answers with these bytes, and notes the request and that its stream was closed."""

    def __init__(self, *chunks: bytes, status: int = 200, failure: Exception | None = None) -> None:
        self.chunks, self.status, self.failure = chunks, status, failure
        self.request: httpx.Request | None = None
        self.is_closed = False
        self.dismissed: list[str] = []
        self.dismissal = anyio.Event()  # the first one has come

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if isinstance(self.failure, httpx.ConnectError | httpx.ConnectTimeout):
            raise self.failure
        await request.aread()
        if request.method == "DELETE":
            self.dismissed.append(request.headers["idempotency-key"])
            self.dismissal.set()
            return await self._take_dismissal()
        self.request = request
        if self.failure and not self.chunks:
            raise self.failure
        return httpx.Response(self.status, stream=Body(self._stream(), self._close))

    async def _take_dismissal(self) -> httpx.Response:
        raise httpx.ReadError("secret") if self.failure else httpx.ReadTimeout("secret")

    async def _stream(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.failure:
            raise self.failure

    def _close(self) -> None:
        self.is_closed = True


class Hanging(Upstream):
    """One that answers no dismissal before its gate opens, and notes how many hang, and how many did at most."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__(*chunks)
        self.gate = anyio.Event()
        self.hanging = self.most_hanging = 0

    async def _take_dismissal(self) -> httpx.Response:
        self.hanging += 1
        self.most_hanging = max(self.most_hanging, self.hanging)
        try:
            await self.gate.wait()
        finally:
            self.hanging -= 1
        return httpx.Response(204)


class Narrow(Upstream):
    """One whose model reads no more than so many messages, and which notes what it was asked."""

    def __init__(self, most: int) -> None:
        super().__init__(HELLO, STOP, DONE)
        self.most = most
        self.asked: list[tuple[str, list[str]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        messages = json.loads(await request.aread())["messages"]
        self.asked.append((request.headers["idempotency-key"], [message["content"] for message in messages]))
        if len(messages) > self.most:
            return httpx.Response(400, content=TOO_LONG)
        return await super().handle_async_request(request)


def after(turns: int) -> Question:
    """A question after so many turns."""
    told = [{"role": role, "content": f"{role[0]}{turn}"} for turn in range(turns) for role in ("user", "assistant")]
    return Question([{"role": "system", "content": "s"}, *told, {"role": "user", "content": "now"}], None, 10, "key")


async def read(upstream: Upstream, question: Question = QUESTION) -> list[Delta]:
    """The whole answer; what it failed with is raised once the client is closed."""
    failure: ParleyError | None = None
    async with LlmClient("http://llm", 1.0, 1.0, upstream).opened() as client:
        try:
            async with client.answer(question) as deltas:
                return [delta async for delta in deltas]
        except ParleyError as error:
            failure = error
    assert failure is not None
    raise failure


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
        (Upstream(b"no JSON", status=500), EngineFailed),
        (Upstream(b'["error"]', status=400), EngineFailed),
        (Upstream(TOO_LONG, status=400), ContextLengthExceeded),
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


async def test_leaving_early_closes_the_stream_upstream_and_dismisses_the_answer() -> None:
    upstream = Upstream(*[HELLO] * 100)
    async with LlmClient("http://llm", 1.0, 1.0, upstream).opened() as client, client.answer(QUESTION) as deltas:
        assert await anext(deltas) == Delta("Hello")

    assert upstream.is_closed
    assert upstream.dismissed == ["key"]


@pytest.mark.parametrize(
    "upstream",
    [
        Upstream(HELLO, STOP, DONE),
        Upstream(b"{}", status=400),
        Upstream(HELLO, b'data: {"error": {"message": "secret"}}\n\n'),
        Upstream(failure=httpx.ConnectError("secret")),
        Upstream(failure=httpx.ConnectTimeout("secret")),
    ],
    ids=["told", "refused", "failed", "not reached", "not reached in time"],
)
async def test_nothing_is_dismissed_that_is_over_or_never_reached_the_service(upstream: Upstream) -> None:
    try:
        await read(upstream)
    except ParleyError:
        assert upstream.chunks != (HELLO, STOP, DONE)

    assert upstream.dismissed == []


@pytest.mark.parametrize("upstream", [Upstream(failure=httpx.ReadTimeout("secret")), Upstream(HELLO, b"data: ?\n\n")])
async def test_an_answer_that_was_asked_for_and_fails_here_is_dismissed(upstream: Upstream) -> None:
    with pytest.raises(ParleyError):
        await read(upstream)

    assert upstream.dismissed == ["key"]


async def test_a_dismissal_that_hangs_holds_up_no_failure_and_is_over_when_the_client_closes() -> None:
    upstream = Hanging(HELLO, b"data: nonsense\n\n")
    async with LlmClient("http://llm", 1.0, 1.0, upstream, BRIEF_S).opened() as client:
        with pytest.raises(EngineFailed):
            async with client.answer(QUESTION) as deltas:
                assert [delta async for delta in deltas] == []
        assert upstream.dismissed == []  # the failure was told before that even began
        await upstream.dismissal.wait()

    assert (upstream.most_hanging, upstream.hanging) == (1, 0)


async def test_a_dismissal_outlives_the_reply_that_was_cancelled() -> None:
    upstream = Hanging(*[HELLO] * 100)
    async with LlmClient("http://llm", 1.0, 1.0, upstream, BRIEF_S).opened() as client:
        with anyio.CancelScope() as reply:
            async with client.answer(QUESTION) as deltas:
                async for _ in deltas:
                    reply.cancel()
                    await anyio.lowlevel.checkpoint()
        await upstream.dismissal.wait()

    assert (reply.cancelled_caught, upstream.dismissed, upstream.hanging) == (True, ["key"], 0)


async def test_no_more_are_dismissed_at_once_than_may() -> None:
    upstream = Hanging(HELLO)
    async with LlmClient("http://llm", 1.0, 1.0, upstream, dismiss_timeout_s=600).opened() as client:
        for _ in range(DISMISSALS + 3):
            async with client.answer(QUESTION):
                pass
        upstream.gate.set()

    assert (len(upstream.dismissed), upstream.hanging) == (DISMISSALS, 0)


async def test_what_is_left_after_the_client_was_closed_is_not_dismissed() -> None:
    upstream = Upstream(HELLO)
    opened = LlmClient("http://llm", 1.0, 1.0, upstream).opened()
    client = await opened.__aenter__()
    async with client.answer(QUESTION):
        await opened.__aexit__(None, None, None)

    assert upstream.dismissed == []


async def test_the_body_says_how_long_it_is_and_holds_what_cannot_be_written() -> None:
    upstream = Upstream(HELLO, STOP, DONE)
    await read(upstream, Question([{"role": "user", "content": "你\ud83d"}], None, 10, "key"))

    assert upstream.request is not None
    assert "transfer-encoding" not in upstream.request.headers
    assert int(upstream.request.headers["content-length"]) == len(upstream.request.content)
    assert json.loads(upstream.request.content) == {
        "messages": [{"role": "user", "content": "你?"}], "stream": True, "max_tokens": 10,
    }  # fmt: skip


async def test_a_model_that_cannot_read_so_much_is_asked_again_without_the_older_half_until_it_can() -> None:
    upstream = Narrow(4)

    assert await read(upstream, after(5)) == [Delta("Hello"), Delta("", FinishReason.STOP)]
    assert [len(messages) for _, messages in upstream.asked] == [12, 6, 4]
    assert upstream.asked[-1][1] == ["s", "u4", "a4", "now"]
    assert len({key for key, _ in upstream.asked}) == 3
    assert upstream.dismissed == []


async def test_what_no_model_can_read_is_refused_when_nothing_older_is_left() -> None:
    upstream = Narrow(1)
    with pytest.raises(ContextLengthExceeded):
        await read(upstream, after(4))

    assert [len(messages) for _, messages in upstream.asked] == [10, 6, 4, 2]


@pytest.mark.parametrize("turns", range(12))
def test_a_shorter_question_is_the_end_of_the_longer_one(turns: int) -> None:
    question = after(turns)
    while shorter := question.shorter():
        assert 2 * len(shorter.messages) - 2 <= len(question.messages)
        assert list(shorter.messages) == [question.messages[0], *question.messages[-len(shorter.messages) + 1 :]]
        assert shorter.messages[1]["role"] == "user"
        question = shorter
    assert [message["content"] for message in question.messages] == ["s", "now"]

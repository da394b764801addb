"""Ask one OpenAI-compatible server for an answer, and hand it on as clean parts or one typed error.

Always asks for a stream, so that there is one path and leaving it stops the work: the connection is closed at once. An
answer that was read to its end gives its connection back for the next. Every wait has an end: for the engine, for the
connection, for the first token, between events. Asks a second time only after a refusal of `stream_options` and after a
connection that ended before one byte of an answer.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import cast

import anyio
import httpx

from llm_service.core.answer import AnswerReader, Failed, Failure, Part, body_failure, refuses_stream_options
from llm_service.core.sse import EventParser
from llm_service.engines.base import Engine, Target
from llm_service.settings import LlmSettings
from shared.clock import now_s
from shared.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
)
from shared.metrics import LLM_RUNNING

SERVICE = "llm"
RETRY_AFTER_MS = 1000
_STOPPING = "The language service is stopping."
_REFUSAL_LIMIT_BYTES = 64 * 1024
_AFTER_FINISH_S = 1.0  # counts and `[DONE]` follow the finish reason at once, or not at all
_TAIL_S = 0.05  # the end of the body follows `[DONE]` at once, or is not worth a kept connection
_ERRORS: dict[Failure, tuple[type[ParleyError], str]] = {
    Failure.TOO_LONG: (ContextLengthExceeded, "The messages are longer than the model's context."),
    Failure.REFUSED: (BadRequest, "The model's server refused the request."),
    Failure.KEY_REFUSED: (ServiceUnavailable, "The model's server refused this service's key."),
    Failure.NOT_THERE: (EngineFailed, "The model's server does not have the model or the path that is set."),
    Failure.OVERLOADED: (Overloaded, "The model's server has no room for more."),
    Failure.UNAVAILABLE: (ServiceUnavailable, "The model's server cannot serve now."),
    Failure.BROKEN: (EngineFailed, "The model's server failed at its work."),
    Failure.GARBLED: (EngineFailed, "The model's server sent something that cannot be understood."),
    Failure.CUT: (ServiceUnavailable, "The model's server ended the answer before its time."),
}


class Upstream:
    """The client side of one engine. Open it inside the engine's own block; leaving it ends every answer."""

    def __init__(self, engine: Engine, settings: LlmSettings) -> None:
        self.engine = engine
        self._settings = settings
        self._answers: set[anyio.CancelScope] = set()
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Answers can be asked for inside the block. Leaving it refuses new ones and ends those that run."""
        timeout = httpx.Timeout(None, connect=self._settings.connect_timeout_s)
        is_local = self.engine.manner.is_local  # llama.cpp closes the connection of a stream, though it says otherwise
        kept = 0 if is_local else self._settings.max_requests
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=not is_local) as self._client:
            try:
                yield
            finally:
                self._client = None
                for answer in self._answers:
                    answer.cancel()

    @asynccontextmanager
    async def answer(self, body: Mapping[str, object]) -> AsyncIterator[AsyncGenerator[Part, None]]:
        """The parts of one answer: text, its end, then its counts when known. Raises a ParleyError, also while read.

        A cancel or an error inside the block closes the connection to the engine at once.
        """
        client = self._client
        if client is None:
            raise ServiceUnavailable(_STOPPING, service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        if len(self._answers) >= self._settings.max_requests:
            raise Overloaded("Too many answers are wanted at once.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        with self._counted() as scope:
            target = await self._target()
            deadline_s = now_s() + self._settings.first_token_timeout_s
            async with (
                _asked(client, target, body, deadline_s) as chunks,
                aclosing(_parts(chunks, deadline_s, self._settings.idle_timeout_s)) as parts,
            ):
                yield parts
                if not self.engine.manner.is_local:
                    await _read_tail(chunks)
        if scope.cancelled_caught:
            raise ServiceUnavailable(_STOPPING, service=SERVICE, retry_after_ms=RETRY_AFTER_MS)

    @contextmanager
    def _counted(self) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope, LLM_RUNNING.labels(self.engine.name).track_inprogress():
            self._answers.add(scope)
            try:
                yield scope
            finally:
                self._answers.discard(scope)

    async def _target(self) -> Target:
        target = await self.engine.target(self._settings.start_wait_s)
        if target is None:
            raise ServiceUnavailable("The language model is starting.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        return target


@asynccontextmanager
async def _asked(
    client: httpx.AsyncClient, target: Target, body: Mapping[str, object], deadline_s: float
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """The bytes of an accepted request's answer. Unless they are read to the end, the connection is closed at once."""
    response = await _accepted(client, target, body, deadline_s)
    try:
        async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_bytes())) as chunks:
            yield chunks
    finally:
        await response.aclose()  # closes the socket without waiting for the peer, under a cancel too


async def _accepted(
    client: httpx.AsyncClient, target: Target, body: Mapping[str, object], deadline_s: float
) -> httpx.Response:
    body = {**body, "stream": True}
    with _typed(deadline_s):
        response = await _send(client, target, {**body, "stream_options": {"include_usage": True}})
        if response.status_code < 400:
            return response
        refusal = await _refusal(response)
        if refuses_stream_options(response.status_code, refusal):
            response = await _send(client, target, body)
            if response.status_code < 400:
                return response
            refusal = await _refusal(response)
    raise _error(body_failure(response.status_code, refusal), response.headers.get("Retry-After", ""))


async def _send(client: httpx.AsyncClient, target: Target, body: Mapping[str, object]) -> httpx.Response:
    headers = {**target.headers, "Accept": "text/event-stream", "Accept-Encoding": "identity"}
    request = client.build_request("POST", f"{target.address}/chat/completions", json=body, headers=headers)
    try:
        return await client.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        # Not one byte came back: most likely a kept connection that the server had closed meanwhile.
        return await client.send(request, stream=True)


async def _refusal(response: httpx.Response) -> bytes:
    """The beginning of a refusal's body, which tells its kind."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= _REFUSAL_LIMIT_BYTES:
                break
    finally:
        await response.aclose()
    return bytes(body[:_REFUSAL_LIMIT_BYTES])


async def _read_tail(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read the end of the body, so that the connection can be kept."""
    with anyio.move_on_after(_TAIL_S), suppress(httpx.HTTPError):
        async for _ in chunks:
            pass


async def _parts(chunks: AsyncGenerator[bytes, None], deadline_s: float, idle_s: float) -> AsyncGenerator[Part, None]:
    parser, reader = EventParser(), AnswerReader()
    has_begun = False
    while not reader.is_done:
        chunk = await _next_chunk(chunks, deadline_s, reader.is_finished)
        payloads = parser.finish() if chunk is None else parser.feed(chunk)
        for part in [part for payload in payloads for part in reader.read(payload)]:
            yield _sound(part)
            has_begun = True
        if parser.is_broken:
            raise _error(Failure.GARBLED)
        if chunk is None:
            break
        if has_begun and payloads:
            deadline_s = now_s() + (min(idle_s, _AFTER_FINISH_S) if reader.is_finished else idle_s)
    for part in reader.conclude():
        yield _sound(part)


async def _next_chunk(chunks: AsyncGenerator[bytes, None], deadline_s: float, is_finished: bool) -> bytes | None:
    """More bytes; None when there are no more. A broken connection is an end too: the reader knows if it came early."""
    try:
        with _typed(deadline_s):
            return await anext(chunks, None)
    except ServiceUnavailable:
        return None
    except ServiceTimeout:
        if is_finished:
            return None
        raise


def _sound(part: Part) -> Part:
    if isinstance(part, Failed):
        raise _error(part.failure)
    return part


@contextmanager
def _typed(deadline_s: float) -> Iterator[None]:
    """Steps that must end before a deadline, their failures as ours."""
    try:
        with anyio.fail_after(max(0.0, deadline_s - now_s())):
            yield
    except TimeoutError:
        raise ServiceTimeout("The model's server answers too late.", service=SERVICE) from None
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise ServiceUnavailable(
            "The model's server cannot be reached.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS
        ) from None
    except httpx.HTTPError:
        raise _error(Failure.CUT) from None


def _error(failure: Failure, retry_after: str = "") -> ParleyError:
    kind, sentence = _ERRORS[failure]
    waits = kind.retryable and kind is not EngineFailed
    retry_after_ms = 1000 * int(retry_after) if retry_after.isdecimal() else RETRY_AFTER_MS if waits else None
    return kind(sentence, service=SERVICE, retry_after_ms=retry_after_ms)

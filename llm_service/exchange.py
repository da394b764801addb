"""One HTTP exchange with a model's server: sent, accepted or refused, read to its end.

Every wait ends, and every failure is one of ours. Asks a second time only where a connection that was kept from before
had most likely ended before the server had the request (see engines/carrier.py); a local engine's connections are never
kept.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import anyio
import httpx

from llm_service.core.answer import AnswerReader, Failed, Failure, Part, body_failure, lacks_model, retry_ms
from llm_service.core.sse import EventParser
from llm_service.engines.base import Target
from llm_service.engines.bodies import PLAIN, plain_bytes
from llm_service.engines.carrier import Carrier
from shared.clock import now_s
from shared.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    ModelNotFound,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
    Unsupported,
)

SERVICE = "llm"
RETRY_AFTER_MS = 1000
_REFUSAL_LIMIT_BYTES = 64 * 1024
_AFTER_FINISH_S = 1.0  # counts and `[DONE]` follow the finish reason at once, or not at all
_TAIL_S = 0.05  # the end of the body follows `[DONE]` at once, or is not worth a kept connection
_ERRORS: dict[Failure, tuple[type[ParleyError], str]] = {
    Failure.TOO_LONG: (ContextLengthExceeded, "The messages are longer than the model's context."),
    Failure.REFUSED: (BadRequest, "The model's server refused the request."),
    Failure.UNSUPPORTED: (Unsupported, "The model's server does not do what the request asks for."),
    Failure.KEY_REFUSED: (ServiceUnavailable, "The model's server refused this service's key."),
    Failure.NOT_THERE: (EngineFailed, "The model's server does not have the model or the path that is set."),
    Failure.OVERLOADED: (Overloaded, "The model's server has no room for more."),
    Failure.UNAVAILABLE: (ServiceUnavailable, "The model's server cannot serve now."),
    Failure.BROKEN: (EngineFailed, "The model's server failed at its work."),
    Failure.GARBLED: (EngineFailed, "The model's server sent something that cannot be understood."),
    Failure.CUT: (ServiceUnavailable, "The model's server ended the answer before its time."),
    Failure.ENDLESS: (EngineFailed, "The model's server went on above the limit of an answer."),
}


def error_of(failure: Failure, retry_after: str = "") -> ParleyError:
    """Our error for a failure; `retry_after`: the server's header of that name."""
    kind, sentence = _ERRORS[failure]
    waits = kind.retryable and kind is not EngineFailed
    return kind(sentence, service=SERVICE, retry_after_ms=retry_ms(retry_after) or (RETRY_AFTER_MS if waits else None))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status that is no success, and the beginning of the body that came with it."""

    status: int
    body: bytes
    retry_after: str

    def error(self) -> ParleyError:
        """What it means to the one who asked."""
        if lacks_model(self.status, self.body):
            return ModelNotFound("The model's server does not have this model.", service=SERVICE, param="model")
        return error_of(body_failure(self.status, self.body), self.retry_after)


async def send(
    client: httpx.AsyncClient, target: Target, address: str, body: Mapping[str, object]
) -> httpx.Response | Refusal:
    """POST to the server: its answer, to be read and closed, or its refusal, read and closed."""
    headers = {**target.headers, "Accept": "text/event-stream", **PLAIN}
    carrier = Carrier()
    request = client.build_request("POST", address, json=body, headers=headers, extensions={"trace": carrier.note})
    try:
        response = await client.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        if not carrier.came_too_late:
            raise
        response = await client.send(request, stream=True)
    if response.status_code < 300:
        return response
    refused = await read_all(response, _REFUSAL_LIMIT_BYTES)
    return Refusal(response.status_code, refused, response.headers.get("Retry-After", ""))


async def read_all(response: httpx.Response, limit_bytes: int) -> bytes:
    """The beginning of a body, and the end of its answer."""
    body = bytearray()
    try:
        with suppress(httpx.DecodingError):
            async for chunk in plain_bytes(response):
                body += chunk
                if len(body) >= limit_bytes:
                    break
    finally:
        await response.aclose()  # closes the socket without waiting for the peer, under a cancel too
    return bytes(body[:limit_bytes])


async def read_tail(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read the end of a body, so that the connection can be kept."""
    with anyio.move_on_after(_TAIL_S), suppress(httpx.HTTPError):
        async for _ in chunks:
            pass


async def parts_of(
    chunks: AsyncGenerator[bytes, None], reader: AnswerReader, deadline_s: float, idle_s: float
) -> AsyncGenerator[Part, None]:
    """What the bytes say. The first part comes before the deadline, the rest without longer pauses than `idle_s`; what
    comes after the finish reason has a deadline of its own, whatever comes."""
    parser = EventParser()
    has_begun = False
    while not reader.is_done:
        was_finished = reader.is_finished
        chunk = await _next_chunk(chunks, deadline_s, was_finished)
        payloads = parser.finish() if chunk is None else parser.feed(chunk)
        for part in [part for payload in payloads for part in reader.read(payload)]:
            yield _sound(part)
            has_begun = True
        if parser.is_broken:
            raise error_of(Failure.GARBLED)
        if chunk is None:
            break
        if has_begun and payloads and not was_finished:
            deadline_s = now_s() + (min(idle_s, _AFTER_FINISH_S) if reader.is_finished else idle_s)
    for part in reader.conclude():
        yield _sound(part)


async def _next_chunk(chunks: AsyncGenerator[bytes, None], deadline_s: float, is_finished: bool) -> bytes | None:
    """More bytes; None when there are no more. A broken connection is an end too: the reader knows if it came early."""
    try:
        with typed(deadline_s):
            return await anext(chunks, None)
    except ServiceUnavailable:
        return None
    except ServiceTimeout:
        if is_finished:
            return None
        raise


def _sound(part: Part) -> Part:
    if isinstance(part, Failed):
        raise error_of(part.failure)
    return part


@contextmanager
def typed(deadline_s: float) -> Iterator[None]:
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
    except httpx.DecodingError:
        raise error_of(Failure.GARBLED) from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise error_of(Failure.CUT) from None

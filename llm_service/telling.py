"""Tell one client an answer: as server-sent events while they come, or whole as JSON.

A stream's 200 is sent with its first event, so what fails before keeps its status; what fails later is one `error`
event and the end, and so is the service's own end: then the server cancels what it still tells. When the client leaves,
at whatever moment, or stops reading, the answer is left at once.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint
from fastapi import Response
from starlette.types import Receive, Scope, Send

from llm_service.runs import Opening, stopping
from llm_service.upstream import SERVICE
from shared.errors import ParleyError, error_body
from shared.farewell import FAREWELL_S
from shared.metrics import ERRORS

_Headers = list[tuple[bytes, bytes]]
_REPLAYED = (b"idempotent-replayed", b"true")
_EVENT_HEADERS: _Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
LAST_EVENT = b"data: [DONE]\n\n"
# Many clients end a line of an event at these too, which JSON holds as they are; the rest of such signs it escapes.
_LINE_ENDS = ("\N{NEXT LINE}", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}")


def as_json(payload: object) -> bytes:
    """JSON in one line for every reader; half a character, which JSON can hold and UTF-8 cannot, becomes a question
    mark."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    for sign in _LINE_ENDS:
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace")


def event(payload: object) -> bytes:
    """One server-sent event that carries JSON."""
    return b"data: %s\n\n" % as_json(payload)


def whole(pieces: bytes, is_replayed: bool) -> bytes:
    """A body as it was made."""
    return pieces


class ClientGone(Exception):
    """Nobody takes the answer any more."""


class Telling(Response, ABC):
    """An answer told to one client."""

    def __init__(self, opening: Opening) -> None:
        super().__init__()
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope, name="client")
            try:
                await self._tell(send, tasks.cancel_scope)
            except ClientGone:
                pass
            except ParleyError as error:
                failure = error
                ERRORS.labels(SERVICE, error.code).inc()
            tasks.cancel_scope.cancel()
        if failure:
            raise failure

    @abstractmethod
    async def _tell(self, send: Send, client: anyio.CancelScope) -> None:
        """Send all of it; `client` is cancelled when it leaves. Raises a ParleyError only while nothing was sent."""


class EventTelling(Telling):
    """Server-sent events, each as soon as it comes. A client that reads nothing for `idle_timeout_s` is let go."""

    def __init__(self, opening: Opening, idle_timeout_s: float) -> None:
        super().__init__(opening)
        self._idle_timeout_s = idle_timeout_s

    async def _tell(self, send: Send, client: anyio.CancelScope) -> None:
        voice = _Voice(send, self._idle_timeout_s)
        try:
            async with self._opening() as reading:
                headers = [*_EVENT_HEADERS, *([_REPLAYED] if reading.is_replayed else [])]
                async for piece in reading.pieces:
                    await voice.say(piece, headers)
                    await checkpoint()  # a replay has all its pieces at once, and others want to be told something too
        except ParleyError as failure:
            if not voice.has_begun:
                raise
            await voice.end(failure)
        except anyio.get_cancelled_exc_class():
            if voice.has_begun and not client.cancel_called:  # the service ends
                with anyio.move_on_after(FAREWELL_S, shield=True):
                    await voice.end(stopping())
            raise


class JsonTelling(Telling):
    """The whole body at once, given its last `shape` for this client."""

    def __init__(self, opening: Opening, shape: Callable[[bytes, bool], bytes] = whole) -> None:
        super().__init__(opening)
        self._shape = shape

    async def _tell(self, send: Send, client: anyio.CancelScope) -> None:
        async with self._opening() as reading:
            made = b"".join([piece async for piece in reading.pieces])
        body = self._shape(made, reading.is_replayed)
        headers: _Headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if reading.is_replayed:
            headers.append(_REPLAYED)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Voice:
    """Our side of one stream of events."""

    def __init__(self, send: Send, idle_timeout_s: float) -> None:
        self._send = send
        self._idle_timeout_s = idle_timeout_s
        self.has_begun = False
        self.has_ended = False

    async def say(self, piece: bytes, headers: _Headers, is_last: bool = False) -> None:
        """One piece; waits for a slow client, and raises ClientGone when it takes nothing any more."""
        is_last = is_last or piece.endswith(LAST_EVENT)
        with anyio.move_on_after(self._idle_timeout_s) as patience:
            if not self.has_begun:
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                self.has_begun = True
            await self._send({"type": "http.response.body", "body": piece, "more_body": not is_last})
            self.has_ended = is_last
        if patience.cancelled_caught:
            raise ClientGone

    async def end(self, failure: ParleyError) -> None:
        """The failure as the last event, unless the end was told."""
        if not self.has_ended:
            ERRORS.labels(SERVICE, failure.code).inc()
            await self.say(event(error_body(failure)), [], is_last=True)


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """The body was read before, so what comes next is that the client left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()

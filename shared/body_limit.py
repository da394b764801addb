"""Refuse HTTP bodies above a limit: by their announced length before a byte is read, else while they are read.

Nothing is kept here: what is below the limit goes on as it comes. One that is refused gets a 413 at once; what its
sender still sends is read for a moment and thrown away, as a sender whose connection is closed while it writes may
never read why.
"""

from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import MessageTooLarge
from shared.refusals import refusal

BODY_LIMIT_BYTES: Final = 32 * 1024 * 1024  # above every service's own limits; what they want smaller, they say
LINGER_S: Final = 2.0
_LONGEST_NUMBER: Final = 18  # digits; more are above any limit


class BodyLimit:
    """The app behind a limit of its requests' bodies."""

    def __init__(self, app: ASGIApp, limit_bytes: int = BODY_LIMIT_BYTES) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        one = _Limited(self._limit_bytes, scope, receive, send)
        if one.is_announced_too_long():
            await one.refuse()
        else:
            await self._app(scope, one.receive, one.send)


class _Limited:
    """One request."""

    def __init__(self, limit_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes
        self._told_length: bytes = dict(scope["headers"]).get(b"content-length", b"")
        self._receive = receive
        self._send = send
        self._has_begun = False  # the answer of the app
        self._is_refused = False

    def is_announced_too_long(self) -> bool:
        told = self._told_length
        return told.isdigit() and (len(told) > _LONGEST_NUMBER or int(told) > self._limit_bytes)

    async def receive(self) -> Message:
        """What the app reads; once the body is too long, its sender is refused, and to the app it has left."""
        if self._is_refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes >= 0:
            return message
        self._is_refused = True
        if not self._has_begun:
            await self.refuse()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """What the app says, unless the request was refused: then nobody hears it."""
        if self._is_refused and not self._has_begun:
            return
        self._has_begun = True
        await self._send(message)

    async def refuse(self) -> None:
        """A 413, and the end of the connection."""
        error = MessageTooLarge(f"The body of a request has at most {self._limit_bytes} bytes here.")
        answer = refusal(error, {"Connection": "close"})
        head = {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
        await self._send(head)
        await self._send({"type": "http.response.body", "body": answer.body, "more_body": True})
        with anyio.move_on_after(LINGER_S):  # who waits for leave to send gets none: an answer has begun
            while (message := await self._receive())["type"] == "http.request" and message.get("more_body"):
                pass
        await self._send({"type": "http.response.body", "body": b""})

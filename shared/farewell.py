"""Tell those who wait for an answer that the service ends, when the server that runs it gives up waiting for them.

At the end of its grace the server cancels what still runs. Nothing else cancels a request from outside, so a cancel
that comes as far as this border is that one. Whoever was told nothing yet gets a 503 of ours that says when to come
back; who was told a part is told its end by the one who told it. What the service stands on goes only when all of them
have been told, or after a moment.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import ServiceUnavailable
from shared.refusals import refusal

FAREWELL_S: Final = 1.0
RETRY_AFTER_MS: Final = 1000


class Requests:
    """How many HTTP requests are being answered."""

    def __init__(self) -> None:
        self._count = 0
        self._last_left: anyio.Event | None = None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more inside the block."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if self._last_left and not self._count:
                self._last_left.set()

    async def until_none(self) -> None:
        """Wait for the last one; no more are to come."""
        if self._count:
            self._last_left = anyio.Event()
            await self._last_left.wait()

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Leaving the block waits for a moment until all have been told their end."""
        yield
        with anyio.move_on_after(FAREWELL_S):
            await self.until_none()


class Farewell:
    """The app behind the border at which the server's cancel becomes an answer."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = has_ended = False

        async def noted(message: Message) -> None:
            nonlocal has_begun, has_ended
            await send(message)
            has_begun = True
            has_ended = message["type"] == "http.response.body" and not message.get("more_body", False)

        with self._requests.counted():
            try:
                await self._app(scope, receive, noted)
            except anyio.get_cancelled_exc_class():
                if not has_begun:
                    await _tell(scope, receive, send)
                elif not has_ended:
                    raise


async def _tell(scope: Scope, receive: Receive, send: Send) -> None:
    error = ServiceUnavailable("The service is stopping.", retry_after_ms=RETRY_AFTER_MS)
    with anyio.move_on_after(FAREWELL_S, shield=True):
        await refusal(error, {"Connection": "close"})(scope, receive, send)

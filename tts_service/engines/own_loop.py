"""An event loop on a thread of its own, for an engine that waits for somebody else's speech instead of making it.

A slot's thread can be stopped only while it looks at its stop token. One that waits inside a library does not look, so
the library waits here, and the slot's thread looks at the token meanwhile: a stop cancels what is under way.
"""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, suppress
from typing import Any, Final, TypeVar

from anyio.from_thread import start_blocking_portal

from shared.errors import EngineFailed
from shared.threads import StopToken

TICK_S: Final = 0.02  # how often a wait looks at the stop token
CANCEL_LIMIT_S: Final = 2.0  # until what was cancelled has let go of its connection

T = TypeVar("T")


class OwnLoop:
    """Runs one step after another for one thread; another thread may close it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._step: Future[Any] | None = None
        self._over = threading.Event()  # of the last step; set later than its end when it is cancelled
        self._is_closed = False

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, stop: StopToken) -> T | None:
        """What `call` comes to, or None when `stop` was set first: then it is cancelled. Raises EngineFailed."""
        if stop.is_stopped():
            return None
        self._over = over = threading.Event()
        try:
            step: Future[T] = self._portal.start_task_soon(_telling, over, call, *args)
            self._step = step
        except RuntimeError:
            raise _closed() from None
        while not wait([step], TICK_S).done:
            if stop.is_stopped():
                self._cancel()
                return None
        if self._is_closed or step.cancelled():
            raise _closed()
        return step.result()

    def finish(self, call: Callable[[], Awaitable[object]]) -> None:
        """Do the last step of something; not when this is closed, since then it was done."""
        with suppress(RuntimeError, CancelledError):
            self._portal.call(call)

    def close(self, last: Callable[[], Awaitable[object]]) -> None:
        """Cancel what is under way, do a last thing, and end the thread; a second call does nothing."""
        self._is_closed = True
        self._cancel()
        self.finish(last)
        self._stack.close()

    def _cancel(self) -> None:
        if self._step is not None and self._step.cancel():
            self._over.wait(CANCEL_LIMIT_S)


async def _telling(over: threading.Event, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    try:
        return await call(*args)
    finally:
        over.set()


def _closed() -> EngineFailed:
    return EngineFailed("The speech engine is shutting down.", service="tts")

"""An event loop that skips idle time: a minute of real-time audio is heard as soon as its work is done.

While nothing runs, the loop's clock jumps to its next timer; while a thread works, it goes on as clocks do. So all that
depends on time happens as it would with a live caller, and what a machine charges for falling asleep and waking, some
hundred microseconds each time on a virtual one, is not counted. Work that is not in a thread of anyio's is not seen.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class SkippingSelector(selectors.DefaultSelector):
    """Waits for nothing but threads. `working` of them are at it."""

    def __init__(self) -> None:
        super().__init__()
        self.working = 0
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not timeout or self.working:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.skipped_s += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for its clock."""

    def __init__(self) -> None:
        self.idle = SkippingSelector()
        super().__init__(self.idle)

    def time(self) -> float:
        return super().time() + self.idle.skipped_s


def run(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """`anyio.run`, without the idle time."""
    loop = SkippingLoop()
    with _noticing_threads(loop.idle):
        return anyio.run(function, *args, backend_options={"loop_factory": lambda: loop})


@contextmanager
def _noticing_threads(idle: SkippingSelector) -> Iterator[None]:
    threads: Any = anyio.to_thread
    plain = threads.run_sync

    async def noticed(*args: Any, **options: Any) -> Any:
        idle.working += 1
        try:
            return await plain(*args, **options)
        finally:
            idle.working -= 1

    threads.run_sync = noticed
    try:
        yield
    finally:
        threads.run_sync = plain

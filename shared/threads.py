"""The one crossing between the event loop and blocking engines: a call, or an iterator read as a bounded stream."""

import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio import CapacityLimiter
from anyio.from_thread import run as run_in_loop
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

T = TypeVar("T")


class StopToken:
    """Asked by an engine between its steps; set once, from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def stop(self) -> None:
        self._event.set()

    def is_stopped(self) -> bool:
        return self._event.is_set()


async def call(function: Callable[..., T], *args: object, limiter: CapacityLimiter | None = None) -> T:
    """Run one short blocking step on a thread. A cancel waits for the step, so an engine never has two callers."""
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter)


@asynccontextmanager
async def iterate(
    make: Callable[[StopToken], Iterator[T]], capacity: int, limiter: CapacityLimiter | None = None
) -> AsyncIterator[MemoryObjectReceiveStream[T]]:
    """Read a blocking iterator as a stream of at most `capacity` waiting items.

    A slow reader blocks the iterator's thread, not the loop. Leaving the block sets the stop token and returns when the
    iterator has ended on its own thread, a generator by being closed; one that still waits for a thread is never made.
    Its exception ends the stream and is raised as the block is left, unless the block itself raises.
    """
    stop, failures = StopToken(), list[Exception]()
    send, receive = anyio.create_memory_object_stream[T](capacity)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_pump, make, stop, send, failures, limiter)
        try:
            yield receive
        except Exception as failure:  # raised again below, as itself: the task group would put it into a group
            failures.insert(0, failure)
        finally:
            stop.stop()
            receive.close()
            tasks.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _pump(
    make: Callable[[StopToken], Iterator[T]],
    stop: StopToken,
    send: MemoryObjectSendStream[T],
    failures: list[Exception],
    limiter: CapacityLimiter | None,
) -> None:
    def run() -> None:
        try:
            _drain(make(stop), stop, send)
        except Exception as failure:  # an engine may raise anything; the reader's task raises it again
            failures.append(failure)

    with send:
        async with limiter or anyio.to_thread.current_default_thread_limiter():  # a cancel here: nothing was begun
            with anyio.CancelScope(shield=True):  # the thread ends by its stop token, and has ended when this returns
                await anyio.to_thread.run_sync(run, limiter=CapacityLimiter(1))


def _drain(items: Iterator[T], stop: StopToken, send: MemoryObjectSendStream[T]) -> None:
    """Runs on the thread; closes a generator there, rather than wherever its last reference is dropped."""
    try:
        for item in items:
            if stop.is_stopped():
                return
            run_in_loop(send.send, item)
    except anyio.BrokenResourceError:
        return  # the reader left
    finally:
        if isinstance(items, Generator):
            items.close()

"""The inbox of a stream: what has come and was not attended to, in order, with the time when it is due.

Its room is bounded: whoever puts more waits, and with it the sender, who knows what to do about it. Nothing is dropped.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Inbox(Generic[T]):
    """For one task that puts and one that takes, on one event loop; `wake` is called when there is something new."""

    def __init__(self, room: int, wake: Callable[[], None]) -> None:
        self._items: deque[tuple[T, float]] = deque()
        self._room = anyio.Semaphore(room)
        self._wake = wake

    async def put(self, item: T, due_s: float) -> None:
        """Add it behind the others; wait while there is no room. A cancel loses it."""
        await self._room.acquire()
        self._items.append((item, due_s))
        self._wake()

    @property
    def due_s(self) -> float | None:
        """When the first is due, None when there is none."""
        return self._items[0][1] if self._items else None

    def take(self) -> T:
        """The first; IndexError when there is none."""
        item, _ = self._items.popleft()
        self._room.release()
        return item

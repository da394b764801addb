"""Who may use an engine's slot next: first segments of a reply before later ones, each kind in the order it came.

The one place that decides this, so a better scheduler replaces this file alone. Laws: a slot has one user; a user that
is cancelled, waiting or served, leaves its slot to the next; the oldest later segment waits for `FIRSTS_IN_A_ROW` first
ones at most.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import anyio
from anyio import CapacityLimiter

from shared import threads
from shared.errors import Overloaded
from tts_service.engines.base import Engine, Slot

FIRSTS_IN_A_ROW: Final = 8


class Urgency(Enum):
    """Why a segment is made: somebody waits in silence for the first one."""

    FIRST = "first"
    LATER = "later"


@dataclass(eq=False, slots=True)
class _Waiter:
    granted: anyio.Event = field(default_factory=anyio.Event)
    slot: Slot | None = None


class Slots:
    """`count` slots of one engine; `max_waiting` segments may wait for one."""

    def __init__(self, engine: Engine, count: int, max_waiting: int) -> None:
        self.engine = engine
        self.limiter = CapacityLimiter(count)  # the threads that run them
        self._count = count
        self._max_waiting = max_waiting
        self._opened: list[Slot] = []
        self._free: list[Slot] = []
        self._waiting: dict[Urgency, deque[_Waiter]] = {urgency: deque() for urgency in Urgency}
        self._firsts_in_a_row = 0

    async def open(self) -> None:
        """Start the engine and open its slots. Raises EngineFailed."""
        await threads.call(self.engine.start)
        for _ in range(self._count):
            slot = await threads.call(self.engine.open_slot)
            self._opened.append(slot)
            self._release(slot)

    async def close(self) -> None:
        """Close every slot, in use or not; a segment that is being made fails."""
        opened, self._opened = self._opened, []
        for slot in opened:
            await threads.call(slot.close)

    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def free(self) -> int:
        return len(self._free)

    @asynccontextmanager
    async def slot(self, urgency: Urgency) -> AsyncIterator[Slot]:
        """A slot for the length of the block. Raises Overloaded when too many wait already."""
        slot = await self._acquire(urgency)
        try:
            yield slot
        finally:
            self._release(slot)

    async def _acquire(self, urgency: Urgency) -> Slot:
        if self._free:  # then nobody waits
            return self._free.pop()
        if self.waiting() >= self._max_waiting:
            raise Overloaded("Too many segments wait to be spoken.", service="tts", retry_after_ms=1000)
        waiter = _Waiter()
        self._waiting[urgency].append(waiter)
        try:
            await waiter.granted.wait()
        except anyio.get_cancelled_exc_class():  # leave the queue, or hand on what was granted in the same moment
            if waiter.slot is None:
                self._waiting[urgency].remove(waiter)
            else:
                self._release(waiter.slot)
            raise
        assert waiter.slot
        return waiter.slot

    def _release(self, slot: Slot) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._free.append(slot)
        else:
            waiter.slot = slot
            waiter.granted.set()

    def _next_waiter(self) -> _Waiter | None:
        first, later = self._waiting[Urgency.FIRST], self._waiting[Urgency.LATER]
        if first and not (later and self._firsts_in_a_row >= FIRSTS_IN_A_ROW):
            self._firsts_in_a_row += 1 if later else 0
            return first.popleft()
        self._firsts_in_a_row = 0
        return later.popleft() if later else None

"""The slots of an engine, each lent to one segment at a time; core/synthesis_queue.py decides to whose.

Laws: a slot has one user; a user that is cancelled, waiting or served, leaves its slot to the next.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio import CapacityLimiter

from shared import threads
from shared.errors import Overloaded
from tts_service.core.capacity import Capacity
from tts_service.core.synthesis_queue import SynthesisQueue, Urgency
from tts_service.engines.base import Engine, Slot


@dataclass(eq=False, slots=True)
class _Asking:
    granted: anyio.Event = field(default_factory=anyio.Event)
    yields: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    slot: Slot | None = None


class Slots:
    """`count` slots of one engine; `max_waiting` segments may wait for one; `load` is that of its capacity."""

    def __init__(self, engine: Engine, count: int, max_waiting: int, load: float = 0.0) -> None:
        self.engine = engine
        self.limiter = CapacityLimiter(count)  # the threads that run them
        self.capacity = Capacity(count, load)
        self._count = count
        self._max_waiting = max_waiting
        self._opened: list[Slot] = []
        self._free: list[Slot] = []
        self._queue: SynthesisQueue[_Asking] = SynthesisQueue(count)

    async def open(self) -> None:
        """Start the engine and open its slots. Raises EngineFailed."""
        await threads.call(self.engine.start)
        for _ in range(self._count):
            slot = await threads.call(self.engine.open_slot)
            self._opened.append(slot)
            self._free.append(slot)

    async def close(self) -> None:
        """Close every slot, in use or not, and end what loads; a segment that is being made fails."""
        await threads.call(self.engine.close)
        opened, self._opened = self._opened, []
        for slot in opened:
            await threads.call(slot.close)

    def waiting(self) -> int:
        return len(self._queue)

    def free(self) -> int:
        return self._queue.free

    @asynccontextmanager
    async def slot(self, urgency: Urgency, due_s: float = 0.0) -> AsyncIterator[Slot]:
        """A slot for the length of the block. Raises Overloaded when too many wait already."""
        asking = _Asking()
        slot = await self._acquire(asking, urgency, due_s)
        try:
            yield slot
        finally:
            self._release(asking)

    @asynccontextmanager
    async def spare_slot(self) -> AsyncIterator[tuple[Slot, anyio.CancelScope]]:
        """A slot that nobody else wants, and a scope to work in, which is cancelled when somebody does."""
        asking = _Asking()
        slot = await self._acquire(asking, Urgency.BACKGROUND, 0.0)
        try:
            yield slot, asking.yields
        finally:
            self._release(asking)

    async def _acquire(self, asking: _Asking, urgency: Urgency, due_s: float) -> Slot:
        assert self._opened, "nobody asks before the engine has started"
        if not self.free() and self.waiting() >= self._max_waiting:
            raise Overloaded("Too many segments wait to be spoken.", service="tts", retry_after_ms=1000)
        self._queue.ask(asking, urgency, due_s)
        self._hand_out()
        if asking.slot is None:
            try:
                await asking.granted.wait()
            except anyio.get_cancelled_exc_class():  # leave the queue, or hand on what was granted in the same moment
                if asking.slot is None:
                    self._queue.withdraw(asking)
                else:
                    self._release(asking)
                raise
        assert asking.slot
        return asking.slot

    def _release(self, asking: _Asking) -> None:
        assert asking.slot
        self._free.append(asking.slot)
        self._queue.done(asking)
        self._hand_out()

    def _hand_out(self) -> None:
        while (asking := self._queue.grant()) is not None:
            asking.slot = self._free.pop()
            asking.granted.set()
        for asking in self._queue.to_yield():
            asking.yields.cancel()

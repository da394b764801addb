"""Replies on a stage: one engine with one slot, and the outbox of one connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import wait_all_tasks_blocked
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from shared.wire.codec import Message
from shared.wire.tts import Done, SegmentStarted
from tts_service.engines.fake import BLOCK_SAMPLES, BLOCKS_PER_CHAR, SAMPLE_RATE, FakeEngine
from tts_service.outbox import Outbox
from tts_service.reply import Audience, Manner, Reply
from tts_service.settings import TtsSettings
from tts_service.slots import Slots
from tts_service.speakers import Speakers

MANNER = Manner("en", None, 1.0)
NEVER_MS = 10_000


@dataclass
class Stage:
    """One engine with one slot, and the outbox of one connection."""

    slots: Slots
    engine: FakeEngine
    tasks: TaskGroup
    outbox: Outbox = field(default_factory=Outbox)

    def start(
        self,
        reply_id: str,
        lead_ms: int = 60_000,
        idle_flush_ms: int = NEVER_MS,
        rate: int = SAMPLE_RATE,
        audience: Audience = Audience.LISTENER,
    ) -> Reply:
        settings = TtsSettings(lead_ms=lead_ms, idle_flush_ms=idle_flush_ms)
        lane = self.outbox.open(reply_id, rate)
        if audience is Audience.LISTENER:
            assert self.slots.capacity.enter()
        reply = Reply(MANNER, lane, self.slots, Speakers(), settings, audience)
        self.tasks.start_soon(reply.run)
        return reply

    def say(self, reply_id: str, text: str, **more: Any) -> Reply:
        reply = self.start(reply_id, **more)
        reply.add(text)
        reply.end()
        return reply

    async def until_done(self, reply_id: str = "a") -> list[Message | bytes]:
        """Everything that is sent for a reply."""
        taken: list[Message | bytes] = []
        while not (taken and isinstance(taken[-1], Done)):
            owner, item = await self.outbox.take()
            if owner == reply_id:
                taken.append(item)
        return taken

    async def until_requests(self, count: int) -> None:
        while len(self.engine.requests) < count:
            await checkpoint()

    async def until_nothing_is_made(self) -> None:
        while self.slots.free() == 0:
            await checkpoint()
        await wait_all_tasks_blocked()

    def texts(self) -> list[str]:
        return [request.text for request in self.engine.requests]


@asynccontextmanager
async def stage(engine: FakeEngine | None = None) -> AsyncIterator[Stage]:
    engine = engine or FakeEngine()
    slots = Slots(engine, 1, 16)
    await slots.open()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            yield Stage(slots, engine, tasks)
            tasks.cancel_scope.cancel()
    assert slots.free() == 1, "a slot was lost"
    assert slots.capacity.live == 0, "a reply is still counted"
    await slots.close()
    assert engine.open_slots == 0


def audio_samples(items: list[Message | bytes]) -> int:
    return sum(len(item) // 2 for item in items if isinstance(item, bytes))


def segments(items: list[Message | bytes]) -> list[SegmentStarted]:
    return [item for item in items if isinstance(item, SegmentStarted)]


def tone_samples(text: str, rate: int = SAMPLE_RATE) -> int:
    return len(text) * BLOCKS_PER_CHAR * BLOCK_SAMPLES * rate // SAMPLE_RATE

"""Finished messages spoken again by the hq engine, at leisure: what is wanted is in core/hq_jobs.py, what was made in
hq_store.py, and this makes it.

Each is a reply that nobody waits for, so it takes only slots that nobody else wants. It is held in memory until it is
whole. Law: what was made once is not made again while it is kept: the same text, voice and engine have the same key.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field

import anyio

from shared.errors import Overloaded, ParleyError
from shared.wire.tts import SPEECH_RATE, SegmentStarted
from tts_service.core.hq_jobs import HqJobs, State
from tts_service.hq_store import HqStore, RenderedSegment, Rendering
from tts_service.outbox import Bell, Outbox
from tts_service.reply import Audience, Manner
from tts_service.tier import Tier

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Order:
    manner: Manner
    text: str = field(repr=False)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Rerenders:
    """The jobs of one tier; `run` makes them."""

    def __init__(self, tier: Tier, slots: int, store: HqStore, most_waiting: int) -> None:
        self.store = store
        self._tier = tier
        self._jobs: HqJobs[ParleyError] = HqJobs(max(1, slots - 1), most_waiting)  # one slot stays free of them
        self._orders: dict[str, _Order] = {}
        self._bell = Bell()

    async def run(self) -> None:
        """Make what is asked for, until this is cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._bell.wait()
                while (key := self._jobs.begin()) is not None:
                    tasks.start_soon(self._make, key, self._orders[key], name="rerender")

    def ask(self, message_id: str, text: str, manner: Manner) -> str:
        """Have a message spoken, in place of what was asked for it before; the key. Raises Overloaded."""
        key = self._key(text, manner)
        if self.store.find(key):
            self._let_go(self._jobs.leave(message_id))
            return key
        if not self._jobs.has_room(key):
            raise Overloaded("Too many messages wait to be spoken again.", service="tts", retry_after_ms=10_000)
        self._let_go(self._jobs.want(message_id, key))
        self._orders.setdefault(key, _Order(manner, text))
        self._bell.ring()
        return key

    def state(self, key: str) -> State | None:
        """Of what is not made; None where nobody asked for it, or it was dropped."""
        return self._jobs.state(key)

    def failure(self, key: str) -> ParleyError:
        """Why a failed one failed."""
        return self._jobs.failure(key)

    async def drop(self, key: str) -> bool:
        """Make it no more and keep it no more; whether there was something to drop. Raises InternalError."""
        dropped = self._jobs.drop(key)
        self._let_go(dropped)
        return await self.store.drop(key) or bool(dropped)

    async def forget(self, revision: str) -> None:
        """Drop all that speaks with the voice of a recording. Raises InternalError."""
        for key, order in list(self._orders.items()):
            if order.manner.reference and order.manner.reference.revision == revision:
                self._let_go(self._jobs.drop(key))
        await self.store.forget(revision)

    def _key(self, text: str, manner: Manner) -> str:
        engine = self._tier.engine
        voice = manner.reference.revision if manner.reference else manner.voice
        by = (engine.name, engine.capabilities.version)
        how = (voice, bool(manner.reference), manner.language, manner.speed, manner.instruction)
        return hashlib.sha256(json.dumps((text, by, how)).encode()).hexdigest()

    def _let_go(self, keys: list[str]) -> None:
        for key in keys:
            self._orders.pop(key).scope.cancel()
        self._bell.ring()

    async def _make(self, key: str, order: _Order) -> None:
        failure = None
        with order.scope:
            try:
                if self.store.find(key) is None:  # else it was kept in the moment in which it was dropped
                    await self.store.put(*await self._spoken(key, order))
            except ParleyError as fault:
                log.warning("a message could not be spoken again", extra={"code": fault.code})
                failure = fault
        if self._orders.get(key) is order:
            del self._orders[key]
            self._jobs.end(key, failure)
        elif key not in self._orders:  # it was dropped, and is not wanted anew
            await self.store.drop(key)
        self._bell.ring()

    async def _spoken(self, key: str, order: _Order) -> tuple[Rendering, bytes]:
        """Raises the failure of the reply."""
        outbox = Outbox()
        reply = self._tier.reply(order.manner, outbox.open(key, SPEECH_RATE), Audience.NOBODY)
        reply.add(order.text)
        reply.end()
        segments, pcm = list[RenderedSegment](), bytearray()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reply.run, name="reply")
            while len(outbox):
                _, item = await outbox.take()
                if isinstance(item, bytes):
                    pcm += item
                elif isinstance(item, SegmentStarted):
                    segments.append(RenderedSegment(text=item.text, start_samples=item.start_samples))
        if reply.failure:
            raise reply.failure
        reference = order.manner.reference
        rendering = Rendering(
            id=key,
            engine=self._tier.engine.name,
            revision=reference.revision if reference else "",
            sample_rate=SPEECH_RATE,
            total_samples=len(pcm) // 2,
            segments=tuple(segments),
        )
        return rendering, bytes(pcm)

"""Finished messages spoken again by the hq engine, at leisure: what is wanted is in core/hq_jobs.py, what was made in
hq_store.py, and this makes it.

Each is a reply that nobody waits for, so it takes only slots that nobody else wants. It goes to the disk as it is made.
Laws: what was made once is not made again while it is kept: the same text, voice and engine have the same key; a key is
made and stored by one at a time; whatever fails fails that one alone.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import Final

import anyio

from shared.errors import InternalError, Overloaded, ParleyError
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire.tts import SPEECH_RATE, SegmentStarted
from tts_service.core.hq_jobs import HqJobs, State
from tts_service.hq_store import HqPart, HqStore, RenderedSegment, Rendering
from tts_service.outbox import Bell, Outbox
from tts_service.reply import Audience, Manner
from tts_service.tier import Tier

FASTEST_CHARS_A_S: Final = 60  # letters and figures at the usual speed; no engine says so many

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
        """Have a message spoken, in place of what was asked for it before; the key.

        Raises Overloaded; MessageTooLarge when the speech cannot but be longer than all that may be kept.
        """
        key = self._key(text, manner)
        if self.store.find(key):
            self._let_go(self._jobs.leave(message_id))
            return key
        self.store.check_length(_fewest_bytes(text, manner.speed))
        if not self._jobs.has_room(message_id, key):
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
        was_kept = self.store.find(key) is not None  # in the moment in which it was dropped; and then wanted anew
        failure: ParleyError | None = None
        try:
            with order.scope:
                if not was_kept:
                    await self._speak(key, order)
        except ParleyError as fault:
            log.warning("a message could not be spoken again", extra={"code": fault.code})
            failure = fault
        except Exception as fault:  # one job's fault of ours must not end the others
            log.error("a message could not be spoken again", exc_info=fault)  # noqa: TRY400 (the formatter drops texts)
            failure = InternalError("The message could not be spoken again.", service="tts")
        if self._orders.get(key) is order:
            del self._orders[key]
        elif key not in self._orders and not was_kept:  # it was dropped, and is not wanted anew
            await self._unkeep(key)
        self._jobs.end(key, failure)  # not before: until now nobody else makes it
        self._bell.ring()

    async def _unkeep(self, key: str) -> None:
        try:
            await self.store.drop(key)
        except ParleyError as fault:
            log.warning("what was dropped is on the disk still", extra={"code": fault.code})

    async def _speak(self, key: str, order: _Order) -> None:
        """Raises the failure of the reply, or that of the store."""
        outbox = Outbox()
        reply = self._tier.reply(order.manner, outbox.open(key, SPEECH_RATE), Audience.NOBODY)
        reply.add(order.text)
        reply.end()
        made = _Made()
        async with self.store.part(SPEECH_RATE) as part:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reply.run, name="reply")
                await made.take(outbox, part)
                if made.failure:
                    tasks.cancel_scope.cancel()  # nobody takes the rest
            failure = made.failure or reply.failure
            if failure:
                raise failure
            await part.keep(self._rendering(key, order.manner, made))

    def _rendering(self, key: str, manner: Manner, made: "_Made") -> Rendering:
        return Rendering(
            id=key,
            engine=self._tier.engine.name,
            revision=manner.reference.revision if manner.reference else "",
            sample_rate=SPEECH_RATE,
            total_samples=made.samples,
            segments=tuple(made.segments),
        )


@dataclass(eq=False, slots=True)
class _Made:
    """What came out of a reply so far."""

    segments: list[RenderedSegment] = field(default_factory=list)
    samples: int = 0
    failure: ParleyError | None = None  # of the store

    async def take(self, outbox: Outbox, part: HqPart) -> None:
        """Until the reply's end, or until the store takes no more."""
        try:
            while len(outbox):
                _, item = await outbox.take()
                if isinstance(item, bytes):
                    await part.add(item)
                    self.samples += samples_of(item)
                elif isinstance(item, SegmentStarted):
                    self.segments.append(RenderedSegment(text=item.text, start_samples=item.start_samples))
        except ParleyError as fault:
            self.failure = fault


def _fewest_bytes(text: str, speed: float) -> int:
    """PCM that a text takes even if it is said as fast as can be."""
    fewest_s = sum(map(str.isalnum, text)) / (FASTEST_CHARS_A_S * max(1.0, speed))
    return int(fewest_s * SPEECH_RATE) * BYTES_PER_SAMPLE

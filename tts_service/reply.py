"""One reply being spoken: its text is cut into segments, each made in an engine's slot and put into the reply's lane.

A slot is held only while a segment is made, never while the peer is slow. The next segment of a reply that somebody
listens to is asked for when at most `lead_ms` of audio is ahead of the ear, that of any other when at most so much is
to be sent. A segment that nobody waits for is put when it is whole, and begun anew when it had to yield its slot.

Laws: `done` is put exactly once, last; after a cancel no audio is put or sent, and `done cancelled` comes when the slot
has stopped; positions count the audio of this reply, its pauses included.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, Literal

import anyio
from anyio.lowlevel import checkpoint

from shared.clock import now_s
from shared.errors import InternalError, MessageTooLarge, ParleyError
from shared.logs import bound
from shared.metrics import ERRORS, TTS_AUDIO_SECONDS, TTS_RTF, TTS_TTFB_SECONDS
from shared.pcm import samples_of
from shared.threads import StopToken, iterate
from shared.wire.tts import Done, SegmentStarted, TtsError
from tts_service.audio import gather, polish, silence
from tts_service.core.segmenter import Segment, Segmenter
from tts_service.core.speakable import speakable
from tts_service.core.spoken import spoken
from tts_service.core.synthesis_queue import Urgency
from tts_service.engines.base import Reference, Slot, Speaker, SynthesisRequest
from tts_service.outbox import Bell, Lane
from tts_service.settings import TtsSettings
from tts_service.slots import Slots
from tts_service.speakers import Speakers
from tts_service.stretch import shared_out

TEXT_LIMIT_CHARS: Final = 20_000  # of one reply
BLOCKS_AHEAD: Final = 4  # between the engine's thread and the lane

log = logging.getLogger(__name__)


Outcome = Literal["completed", "cancelled", "failed"]
TierName = Literal["fast", "hq"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a reply is spoken: what an engine's request has besides the text. A reference stands for the voice."""

    language: str
    voice: str | None
    speed: float
    instruction: str | None = None
    reference: Reference | None = None
    tier: TierName = "fast"


class Audience(Enum):
    """Who waits for a reply."""

    LISTENER = "listener"  # hears it while it is made; admitted before it begins
    FILE = "file"  # wants all of it
    NOBODY = "nobody"


class Reply:
    """Text goes in with `add` and `end`, which never wait; `run` speaks it, in a task of its own."""

    def __init__(
        self,
        manner: Manner,
        lane: Lane,
        slots: Slots,
        speakers: Speakers,
        settings: TtsSettings,
        audience: Audience = Audience.FILE,
    ) -> None:
        self._manner = manner
        self._lane = lane
        self._slots = slots
        self._speakers = speakers
        self._lead_ms = settings.lead_ms
        self._idle_s = settings.idle_flush_ms / 1000
        max_chars = min(settings.max_chars, slots.engine.capabilities.max_chars)
        first_min = 0 if audience is Audience.NOBODY else settings.first_min_chars  # nobody is in a hurry
        self._reads_numbers = slots.engine.capabilities.reads_numbers
        self._segmenter = Segmenter(manner.language, first_min=first_min, max_chars=max_chars)
        self._segments: deque[Segment] = deque()  # bounded by the limit on the text
        self._chars = 0
        self._has_ended = False
        self._has_news = False  # text came since the last idle flush
        self._bell = Bell()
        self._pause_ms = 0  # due before the next sound
        self._audience = audience
        self._asked_s = 0.0  # when the segment was whole that is made now
        self._announced = -1  # the last segment that was
        self._has_sounded = False
        self._scope = anyio.CancelScope()
        self._outcome: Outcome | None = None  # settled once; "completed" when nothing else happened
        self._failure: ParleyError | None = None
        self._is_done = False

    def add(self, delta: str) -> None:
        """More text; too much of it fails the reply."""
        if self._has_ended or self._outcome:
            return
        self._chars += len(delta)
        if self._chars > TEXT_LIMIT_CHARS:
            self._stop("failed", MessageTooLarge(f"A reply has at most {TEXT_LIMIT_CHARS} characters.", service="tts"))
            return
        self._segments += self._segmenter.add(delta)
        self._has_news = True
        self._bell.ring()

    def end(self) -> None:
        """The text is complete."""
        if self._has_ended or self._outcome:
            return
        self._has_ended = True
        self._segments += self._segmenter.finish()
        self._bell.ring()

    def cancel(self) -> None:
        """Stop now. What waits is forgotten at once; `done` follows when the engine's slot has stopped."""
        if self._is_done:  # made, but not all of it is sent
            self._lane.cut()
            self._lane.put(self._done("cancelled"))
        else:
            self._stop("cancelled")

    @property
    def failure(self) -> ParleyError | None:
        """Why it has failed, if it has."""
        return self._failure

    async def run(self) -> None:
        """Speak until the text has ended, then put `done`; nothing but a cancel from outside is raised."""
        with bound(reply_id=self._lane.reply_id):
            with self._scope:
                try:
                    await self._speak()
                except ParleyError as failure:
                    self._settle("failed", failure)
                except Exception as fault:  # an engine may raise anything, and other replies must go on
                    log.error("a reply failed", exc_info=fault)  # noqa: TRY400 (the formatter drops the text)
                    self._settle("failed", InternalError("The reply failed.", service="tts"))
                finally:
                    if self._audience is Audience.LISTENER:
                        self._slots.capacity.leave()
            self._finish()

    def _stop(self, outcome: Outcome, failure: ParleyError | None = None) -> None:
        self._settle(outcome, failure)
        self._lane.cut()
        self._scope.cancel()

    def _settle(self, outcome: Outcome, failure: ParleyError | None = None) -> None:
        if self._outcome is None:
            self._outcome, self._failure = outcome, failure

    def _finish(self) -> None:
        self._is_done = True
        if self._failure:
            self._lane.put(tts_error(self._failure, self._lane.reply_id))
        self._lane.put(self._done(self._outcome or "completed"))

    def _done(self, outcome: Outcome) -> Done:
        return Done(reply_id=self._lane.reply_id, outcome=outcome, total_samples=self._lane.position_samples)

    async def _speak(self) -> None:
        while (segment := await self._next_segment()) is not None:
            text = spoken(speakable(segment.text), self._manner.language, self._reads_numbers)
            if text:
                await self._until_wanted()
                await self._make(segment, text)
            else:
                self._announce(segment)
            self._pause_ms = max(self._pause_ms, segment.pause_ms)

    async def _next_segment(self) -> Segment | None:
        """The next one, or None after the last; text that stays away finishes the sentence that waits."""
        while not self._segments:
            if self._has_ended:
                return None
            with anyio.move_on_after(self._idle_s if self._has_news else math.inf) as waiting:
                await self._bell.wait()
            if waiting.cancelled_caught:
                self._has_news = False
                self._segments += self._segmenter.idle()
        return self._segments.popleft()

    async def _until_wanted(self) -> None:
        """Until there is not too much audio before the next segment."""
        if self._audience is Audience.LISTENER:
            await self._lane.play(self._lead_ms)
        else:
            await self._lane.drain(self._lead_ms)

    def _asking(self) -> tuple[Urgency, float]:
        """How urgent the next segment is, and when the audio before it has been heard."""
        if self._audience is Audience.FILE:
            return Urgency.FILE, 0.0
        if not self._has_sounded:
            return Urgency.FIRST, 0.0
        return Urgency.LATER, now_s() + self._lane.ahead_ms / 1000

    async def _make(self, segment: Segment, text: str) -> None:
        """Put one segment and its audio. A cancel loses the rest of it, after the slot has stopped."""
        self._asked_s = now_s()
        await checkpoint()  # what was cancelled in this moment is not begun
        put = partial(self._put, segment)
        if self._audience is Audience.NOBODY:
            put(await self._made_aside(text))
        else:
            async with self._slots.slot(*self._asking()) as slot:
                await self._speak_in(slot, text, put)
        if self._announced != segment.index:
            self._announce(segment)

    async def _made_aside(self, text: str) -> bytes:
        """The audio of a segment, made in a slot that nobody else wants."""
        while True:
            pieces: list[bytes] = []
            async with self._slots.spare_slot() as (slot, scope):
                with scope:
                    await self._speak_in(slot, text, pieces.append)
                    return b"".join(pieces)

    async def _speak_in(self, slot: Slot, text: str, put: Callable[[bytes], None]) -> None:
        """Make a segment, and put each piece of its audio."""
        reference, samples = self._manner.reference, 0
        speaker = await self._speakers.of(reference, slot) if reference else None
        began_s = now_s()
        async with iterate(partial(self._blocks, slot, text, speaker), BLOCKS_AHEAD, self._slots.limiter) as blocks:
            async for pcm in blocks:
                put(pcm)
                samples += samples_of(pcm)
        if samples:
            self._measure(now_s() - began_s, samples / self._lane.sample_rate)

    def _put(self, segment: Segment, pcm: bytes) -> None:
        """Put a piece of a segment's audio, and before the first one what comes before it."""
        if not pcm:
            return
        if self._announced != segment.index:
            if self._audience is not Audience.NOBODY:
                TTS_TTFB_SECONDS.labels(self._slots.engine.name).observe(now_s() - self._asked_s)
            self._lane.put_audio(silence(self._pause_ms, self._lane.sample_rate))
            self._pause_ms = 0
            self._announce(segment)
            self._has_sounded = True
        self._lane.put_audio(pcm)

    def _measure(self, took_s: float, made_s: float) -> None:
        engine = self._slots.engine.name
        self._slots.capacity.measure(took_s, made_s)
        TTS_RTF.labels(engine).observe(took_s / made_s)
        TTS_AUDIO_SECONDS.labels(engine).inc(made_s)

    def _announce(self, segment: Segment) -> None:
        self._announced = segment.index
        self._lane.put(
            SegmentStarted(
                reply_id=self._lane.reply_id,
                index=segment.index,
                text=segment.text,
                start_samples=self._lane.position_samples,
            )
        )

    def _blocks(self, slot: Slot, text: str, speaker: Speaker | None, stop: StopToken) -> Iterator[bytes]:
        """Runs on the slot's thread."""
        manner, engine = self._manner, self._slots.engine
        own, after = shared_out(manner.speed, has_speed=engine.capabilities.has_speed)
        request = SynthesisRequest(text, manner.language, manner.voice, own, speaker, manner.instruction)
        with closing(slot.synthesise(request, stop)) as blocks:
            polished = polish(blocks, engine.sample_rate, self._lane.sample_rate, after)
            yield from gather(polished, self._lane.sample_rate)


def tts_error(error: ParleyError, reply_id: str | None = None) -> TtsError:
    """The message for a peer, counted."""
    ERRORS.labels("tts", error.code).inc()
    return TtsError(reply_id=reply_id, code=error.code, message=error.message, retryable=error.retryable)

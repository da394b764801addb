"""One utterance: the audio that waits to be decoded, and the text of what was.

It is decoded by steps, when its stream asks and the scheduler has time: whatever waits by then goes into the step. It
holds a recogniser from its first step to its end. At a pause the stream asks how the utterance reads if it ends there
(`CANDIDATE`), and that is the text of the final too, unless it is resumed: the audio since then, pause included, then
belongs to it. If the text up to the pause looks like a whole sentence it is settled, and is not decoded again with what
follows. The audio is bounded by how long an utterance may be. One whose recogniser has failed keeps the text so
far and hears no more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto

import anyio

from asr_service.core.completeness import is_complete
from asr_service.core.decode_queue import Urgency
from asr_service.core.endpointer import SpeechStarted
from asr_service.core.rhythm import Rhythm
from asr_service.engines.base import Recogniser, Result, Span, Step, Task, Word
from asr_service.scheduler import DecodeScheduler
from shared.errors import EngineFailed
from shared.ids import new_id
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire.asr import STREAM_RATE

STEP_BYTES = BYTES_PER_SAMPLE * STREAM_RATE // 10
LONGEST_STEP_BYTES = 10 * STEP_BYTES  # of an incremental engine: a cancel waits for the step


class Phase(Enum):
    """What happens to audio."""

    OPEN = auto()  # it is decoded
    ENDING = auto()  # what came before the pause is decoded to its end; what comes after waits
    ENDED = auto()  # that was done
    BROKEN = auto()  # the recogniser has failed


@dataclass(frozen=True, slots=True)
class Reading:
    """News of an utterance: how it reads up to a place of the stream, or what went wrong."""

    text: str
    until_samples: int
    is_end: bool  # it reads so if it ends there
    failure: EngineFailed | None = None


class Utterance:
    """One stretch of speech of one stream, from its pre-roll on; `wake` is called when there are news."""

    def __init__(
        self, scheduler: DecodeScheduler, task: Task, started: SpeechStarted, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.id = new_id("utt")
        self.text = ""  # what was said so far
        self.language = task.language  # "" until it was found out
        self.spans: tuple[Span, ...] = ()  # in samples of the stream
        self.is_incremental = scheduler.engine.is_incremental(task.language)
        self.decode_s = 0.0  # time that decoding took
        self._scheduler = scheduler
        self._task = task
        self.from_samples = started.pre_roll_from_samples  # where its audio begins in the stream
        self._lead_samples = started.at_samples - started.pre_roll_from_samples
        self._wake = wake
        self._rhythm = Rhythm()
        self._phase = Phase.OPEN
        self._urgency = Urgency.PARTIAL  # of the end, while it is ENDING
        self._pending = bytearray()
        self._end_bytes = 0  # of what waits, while it is ENDING
        self._last_step: Step | None = None  # that ends it, while it is ENDING and the step is done
        self._heard_bytes = 0
        self._decoded_samples = 0
        self._recogniser: Recogniser | None = None
        self._has_begun = False
        self._settles = False  # what was decoded is not to be decoded again
        self._is_closed = False
        self._news: Reading | None = None
        self._stepped = anyio.Event()

    @property
    def decoded_s(self) -> float:
        """How much audio was decoded."""
        return self._decoded_samples / STREAM_RATE

    @property
    def heard_until_samples(self) -> int:
        """Up to where the text is known, in samples of the stream."""
        return self.from_samples + self._decoded_samples

    @property
    def is_reading(self) -> bool:
        """Whether a decode was asked for that has not been done."""
        return self._scheduler.is_busy(self)

    @property
    def has_ended(self) -> bool:
        """Whether the text is that of the final, if nobody speaks on."""
        return self._phase in (Phase.ENDED, Phase.BROKEN)

    def add(self, frames: Iterable[bytes]) -> None:
        """Take the audio that follows."""
        if self._phase is not Phase.BROKEN:
            heard = b"".join(frames)
            self._pending += heard
            self._heard_bytes += len(heard)

    def follow(self) -> None:
        """Ask for a partial where one is due."""
        if self._phase is Phase.OPEN and self._is_due():
            self._scheduler.ask(self, Urgency.PARTIAL)

    def conclude(self, urgency: Urgency) -> None:
        """Ask how the utterance reads if it ends here, as urgently as that; news of it will say so."""
        if self._phase is Phase.OPEN:
            self._phase = Phase.ENDING
            self._end_bytes = len(self._pending)
            self._urgency = urgency
        self._urgency = min(urgency, self._urgency)
        if self._phase is Phase.ENDING and self._last_step is None:
            self._scheduler.ask(self, urgency)

    def resume(self) -> None:
        """Speech goes on after `conclude`."""
        if self._phase is Phase.ENDED:
            self._settles = is_complete(self.text, self.language)
        if self._phase is not Phase.BROKEN:
            self._phase = Phase.OPEN
            self._last_step = None
            self._scheduler.withdraw(self)

    async def ended(self) -> None:
        """Wait until what was asked for by `conclude` is known. A cancel loses nothing."""
        while not self.has_ended:
            await self._stepped.wait()

    def take_news(self) -> Reading | None:
        """How it reads now, if that was not taken yet."""
        news, self._news = self._news, None
        return news

    def close(self) -> None:
        """Decode no more; the recogniser goes back to the others, after its step if it is in one."""
        self._is_closed = True
        self._pending.clear()
        self._scheduler.withdraw(self)
        if not self._scheduler.runs(self):
            self._release()

    # What follows is the scheduler's.

    def hold(self, take: Callable[[], Recogniser | None]) -> bool:
        """Take a recogniser if none is held; whether one is."""
        if self._recogniser is None:
            self._recogniser = take()
        return self._recogniser is not None

    @property
    def next_step(self) -> Step:
        """All that waits, as one step; less for an incremental recogniser that has fallen behind."""
        assert self._recogniser is not None, "a step needs a recogniser"
        is_ending = self._phase is Phase.ENDING
        whole = self._end_bytes if is_ending else len(self._pending)
        size = min(whole, LONGEST_STEP_BYTES) if self.is_incremental else whole
        task = None if self._has_begun else self._task
        return Step(self._recogniser, bytes(self._pending[:size]), is_ending and size == whole, task, self._settles)

    def begin_step(self) -> Step:
        """The next step, which is being done from now on."""
        step = self.next_step
        del self._pending[: len(step.pcm)]
        self._end_bytes -= len(step.pcm)
        self._has_begun, self._settles = True, False
        self._last_step = step if step.is_end else None
        return step

    def end_step(self, step: Step, result: Result, took_s: float) -> None:
        """Take what a step read."""
        self.decode_s += took_s
        self._decoded_samples += samples_of(step.pcm)
        self.text = result.text
        self.language = result.language or self.language
        if step.is_end:
            self.spans = tuple(self._placed(span) for span in result.spans)
        is_end = step is self._last_step  # nobody has spoken on while it was read
        if self._phase is Phase.ENDING and not self._is_closed:
            self._go_on(is_end)
        self._news = Reading(self.text, self.heard_until_samples, is_end)
        self._step_done()

    def fail_step(self, failure: EngineFailed) -> None:
        """Its recogniser has failed in a step."""
        assert self._recogniser is not None
        self._scheduler.discard(self._recogniser)
        self._recogniser = None
        self._pending.clear()
        self._phase = Phase.BROKEN
        self._news = Reading(self.text, self.heard_until_samples, is_end=False, failure=failure)
        self._step_done()

    def _go_on(self, is_end: bool) -> None:
        if is_end:
            self._phase = Phase.ENDED
            self._last_step = None
        elif not self._scheduler.waits(self):
            self._scheduler.ask(self, self._urgency)  # an incremental recogniser has caught up by a step only

    def _step_done(self) -> None:
        if self._is_closed:
            self._release()
        self._stepped.set()
        self._stepped = anyio.Event()
        self._wake()

    def _release(self) -> None:
        if self._recogniser is not None:
            self._scheduler.give_back(self._recogniser)
            self._recogniser = None

    def _is_due(self) -> bool:
        if self.is_incremental:
            return len(self._pending) >= STEP_BYTES and not self._scheduler.waits(self)
        cost_samples = round(self._scheduler.cost_s * STREAM_RATE)
        return self._rhythm.due(self._heard_bytes // BYTES_PER_SAMPLE - self._lead_samples, cost_samples)

    def _placed(self, span: Span) -> Span:
        """A span of the recogniser, whose samples count from the utterance's first, in samples of the stream."""
        offset = self.from_samples
        words = (Word(word.start_samples + offset, word.end_samples + offset, word.text) for word in span.words)
        return Span(span.start_samples + offset, span.end_samples + offset, span.text, tuple(words))

"""One utterance: the audio that waits to be decoded, and the text of what was.

Audio is decoded while it comes, 100 ms at a time, by a recogniser that is held only while somebody speaks. When none is
free the audio waits here, no longer than an utterance may be, and nothing is lost.

At a pause the recogniser finishes what it has heard (`conclude`), and this is the text if the utterance ends there: a
recogniser's last word on a stretch is often another than its last guess, and the pause is the time to ask for it. It
then goes back to the others. If speech goes on (`resume`), the audio since then, pause included, is another part, read
by the next free recogniser; the text is the parts in a row. An utterance whose recogniser has failed keeps the text so
far and hears no more.
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import TypeVar

from asr_service.engines.base import Recogniser, Result, Span
from asr_service.recognisers import Recognisers
from shared import threads
from shared.clock import now_s
from shared.errors import EngineFailed
from shared.ids import new_id
from shared.metrics import ASR_DECODE_SECONDS
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire.asr import STREAM_RATE

STEP_BYTES = BYTES_PER_SAMPLE * STREAM_RATE // 10
LONGEST_STEP_BYTES = 10 * STEP_BYTES  # a cancel waits for the step
UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})  # languages without spaces between words

T = TypeVar("T")


class Phase(Enum):
    """What happens to audio."""

    OPEN = auto()  # it is decoded
    CONCLUDED = auto()  # it waits: the utterance may be over
    BROKEN = auto()  # the recogniser has failed


class Utterance:
    """One stretch of speech of one stream, from its pre-roll on."""

    def __init__(self, recognisers: Recognisers, language: str, audio_from_samples: int) -> None:
        self.id = new_id("utt")
        self.language = language
        self.decode_s = 0.0  # time that decoding took
        self.audio_s = 0.0  # length of what was decoded
        self._recognisers = recognisers
        self._audio_from_samples = audio_from_samples  # where the audio of this part begins in the stream
        self._recogniser: Recogniser | None = None
        self._phase = Phase.OPEN
        self._pending = bytearray()
        self._decoded_samples = 0  # of this part
        self._hypothesis = ""  # of this part
        self._parts: list[str] = []
        self._spans: list[Span] = []

    @property
    def text(self) -> str:
        """What was said so far."""
        between = "" if self.language.split("-")[0] in UNSPACED else " "
        return between.join(part for part in (*self._parts, self._hypothesis) if part)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The concluded parts, in samples of the stream."""
        return tuple(self._spans)

    @property
    def heard_until_samples(self) -> int:
        """Up to where the text is known, in samples of the stream."""
        return self._audio_from_samples + self._decoded_samples

    def add(self, frames: Iterable[bytes]) -> None:
        """Take the audio that follows."""
        if self._phase is not Phase.BROKEN:
            self._pending += b"".join(frames)

    async def read(self) -> bool:
        """Decode one step of what waits, if it is enough and a recogniser is free; whether `text` is news.

        EngineFailed when the recogniser fails.
        """
        if self._phase is not Phase.OPEN or len(self._pending) < STEP_BYTES or not await self._begin(can_wait=False):
            return False
        return await self._feed()

    async def conclude(self, can_wait: bool) -> bool:
        """Decode all that waits to the end; False when no recogniser is free and the caller cannot wait for one.

        EngineFailed when the recogniser fails.
        """
        if self._phase is not Phase.OPEN:
            return True
        if not await self._begin(can_wait):
            return False
        assert self._recogniser is not None
        while self._pending:
            await self._feed()
        self._close_part(await self._step("final", self._recogniser.finish))
        self.release()
        self._phase = Phase.CONCLUDED
        return True

    def resume(self) -> None:
        """Speech goes on after `conclude`."""
        if self._phase is Phase.CONCLUDED:
            self._phase = Phase.OPEN

    def release(self) -> None:
        """Give the recogniser back, in whatever state."""
        if self._recogniser is not None:
            self._recognisers.give_back(self._recogniser)
            self._recogniser = None

    async def _begin(self, can_wait: bool) -> bool:
        """Hold a recogniser for this part; whether one is held."""
        if self._recogniser is not None:
            return True
        self._recogniser = await self._recognisers.take() if can_wait else self._recognisers.take_nowait()
        if self._recogniser is None:
            return False
        await self._step("partial", self._recogniser.start, self.language)
        return True

    async def _feed(self) -> bool:
        """Decode what waits; whether `text` is news. The same text read again is: two readings agree."""
        assert self._recogniser is not None
        pcm = bytes(self._pending[:LONGEST_STEP_BYTES])
        del self._pending[:LONGEST_STEP_BYTES]
        reading = await self._step("partial", self._recogniser.accept, pcm)
        self._decoded_samples += samples_of(pcm)
        self.audio_s += samples_of(pcm) / STREAM_RATE
        if reading is not None:
            self._hypothesis = reading
        return reading is not None

    async def _step(self, kind: str, function: Callable[..., T], *args: object) -> T:
        """One blocking call; a cancel waits for it, and the recogniser can then be given back."""
        began_s = now_s()
        try:
            return await threads.call(function, *args, limiter=self._recognisers.limiter)
        except Exception as failure:  # a model library may raise anything
            self._break()
            raise EngineFailed("The recogniser failed; the text so far is kept.", service="asr") from failure
        finally:
            took_s = now_s() - began_s
            self.decode_s += took_s
            ASR_DECODE_SECONDS.labels(kind).observe(took_s)

    def _close_part(self, result: Result) -> None:
        offset = self._audio_from_samples
        self._spans += [Span(s.start_samples + offset, s.end_samples + offset, s.text) for s in result.spans]
        self._parts.append(result.text)
        self._hypothesis = ""
        self._audio_from_samples += self._decoded_samples
        self._decoded_samples = 0

    def _break(self) -> None:
        assert self._recogniser is not None
        self._recognisers.discard(self._recogniser)
        self._recogniser = None
        self._pending.clear()
        self._phase = Phase.BROKEN

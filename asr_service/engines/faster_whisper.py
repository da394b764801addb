"""Whisper through faster-whisper: one loaded model that every recogniser reads with.

A recogniser keeps its stretch's audio and reads it again as it grows, as often as it is asked; what was read and has
not grown is not read again. What is longer than one reading may be is cut where it is quietest, and what lies before
the cut is read for good. Where the cuts fall depends on the audio alone.

A language that is not told, or that the model lacks, is found out by the first 1.3 s of the stretch and kept. Until
there is so much, nothing is read on the way, and an end is read in the language of what there is.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from asr_service.engines.base import SAMPLE_BYTES, SAMPLE_RATE, Engine, Recogniser, Result, Span, Step, Task, Word
from asr_service.engines.sound import Samples, as_samples, cut_samples, spoken
from asr_service.engines.whisper_model import SHORTEST_SAMPLES, Whisper, Window
from asr_service.settings import AsrSettings

DETECTION_SAMPLES = SAMPLE_RATE * 13 // 10  # of speech tell its language
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stretch:
    """What was heard since `start`, as far as it is still needed, and what of it was read for good."""

    task: Task
    language: str  # "" until it is known
    piece: bytearray
    from_samples: int = 0  # where the piece begins
    read_samples: int = 0  # up to where the piece was read
    fixed: str = ""  # what was read before the piece,
    spans: tuple[Span, ...] = ()  # and where
    text: str = ""  # of the piece,
    tail: tuple[Span, ...] | None = None  # and where, if that was asked
    found: str = ""  # the language, where it was found out

    @property
    def heard_samples(self) -> int:
        return self.from_samples + len(self.piece) // SAMPLE_BYTES

    @property
    def is_read(self) -> bool:
        """Whether nothing was heard since the last reading."""
        return self.read_samples == self.heard_samples

    def samples(self, until_samples: int) -> Samples:
        """The piece up to a place of the stretch, full scale 1."""
        count = until_samples - self.from_samples
        return as_samples(self.piece[: count * SAMPLE_BYTES])

    def window(self, language: str, until_samples: int) -> Window:
        """The piece up to a place of the stretch, as it is to be read."""
        return Window(self.samples(until_samples), language, self.task.translate)


class WhisperRecogniser:
    """The audio of one stretch, at most a piece and what was heard since the last reading."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper
        self.start(Task(""))

    def start(self, task: Task) -> None:
        self._stretch = Stretch(task, self._known(task), bytearray())

    def hear(self, pcm: bytes) -> None:
        self._stretch.piece += pcm

    def read(self) -> Result:
        stretch = self._stretch
        if stretch.language or stretch.heard_samples >= DETECTION_SAMPLES:
            self._read()
        return Result((stretch.fixed + stretch.text).strip(), language=stretch.found)

    def finish(self) -> Result:
        self._read()
        stretch = self._stretch
        if stretch.tail is None:
            stretch.tail = self._spans(stretch.text, stretch.heard_samples)
        return Result((stretch.fixed + stretch.text).strip(), stretch.spans + stretch.tail, stretch.found)

    def settle(self) -> None:
        stretch = self._stretch
        stretch.language = stretch.language or stretch.found  # what follows may be too short to tell it by
        stretch.spans += stretch.tail or ()
        stretch.fixed += stretch.text
        stretch.text, stretch.tail = "", ()
        stretch.from_samples = stretch.heard_samples
        stretch.piece.clear()

    def close(self) -> None:
        self.start(Task(""))

    def window_frames(self, step: Step) -> int:
        """Length of the one window that a step would read; 0 if it reads none or several, or finds out more than text.

        The step is one of this recogniser's, and the next.
        """
        stretch = self._stretch if step.task is None else Stretch(step.task, self._known(step.task), bytearray())
        samples = (len(stretch.piece) * (not step.settles) + len(step.pcm)) // SAMPLE_BYTES
        is_plain = bool(stretch.language) and not (stretch.task.words and step.is_end)
        is_one = SHORTEST_SAMPLES <= samples <= self._whisper.longest_samples
        is_news = bool(step.pcm) or not stretch.is_read
        return self._whisper.frames(samples) if is_plain and is_one and is_news else 0

    def window(self) -> Window:
        """All that was heard and not read for good; of a known language."""
        return self._stretch.window(self._stretch.language, self._stretch.heard_samples)

    def take(self, text: str) -> None:
        """What `window` reads like: it need not be read again."""
        self._stretch.text, self._stretch.tail = text, None
        self._stretch.read_samples = self._stretch.heard_samples

    def _known(self, task: Task) -> str:
        """The language of a task; "" if it has to be found out."""
        language = task.language.split("-")[0].lower()
        if language in self._whisper.languages:
            return language
        return "" if self._whisper.detects else self._whisper.languages[0]

    def _read(self) -> None:
        """Read what was heard, of what was read for good only the text."""
        stretch, whisper = self._stretch, self._whisper
        if stretch.is_read:
            return
        language = stretch.language or self._detect()
        while stretch.heard_samples - stretch.from_samples > whisper.longest_samples:
            self._fix()
        (text,) = whisper.read([stretch.window(language, stretch.heard_samples)])
        self.take(text)

    def _detect(self) -> str:
        """The language of the first of the stretch, kept once there is enough of it."""
        stretch = self._stretch
        if stretch.heard_samples < SHORTEST_SAMPLES:
            return self._whisper.languages[0]  # and nothing is read in so little
        stretch.found = self._whisper.detected(stretch.samples(min(stretch.heard_samples, DETECTION_SAMPLES)))
        if stretch.heard_samples >= DETECTION_SAMPLES:
            stretch.language = stretch.found
        return stretch.found

    def _fix(self) -> None:
        """Read the beginning of too long a piece for good, up to where it is quietest."""
        stretch, whisper = self._stretch, self._whisper
        longest = stretch.samples(stretch.from_samples + whisper.longest_samples)
        until_samples = stretch.from_samples + cut_samples(longest)
        (text,) = whisper.read([stretch.window(stretch.language, until_samples)])
        stretch.spans += self._spans(text, until_samples)
        stretch.fixed += text
        del stretch.piece[: (until_samples - stretch.from_samples) * SAMPLE_BYTES]
        stretch.from_samples = until_samples

    def _spans(self, text: str, until_samples: int) -> tuple[Span, ...]:
        """One span from the first sound of the piece to the last, with its words if they are asked for."""
        stretch = self._stretch
        if not text.strip():
            return ()
        start, end = spoken(stretch.samples(until_samples))
        span = Span(stretch.from_samples + start, stretch.from_samples + end, text.strip())
        if not stretch.task.words:
            return (span,)
        words = self._whisper.words(stretch.window(stretch.language or stretch.found, until_samples), text)
        return (replace(span, words=tuple(within(span, word, stretch.from_samples) for word in words)),)


def within(span: Span, word: Word, from_samples: int) -> Word:
    """A word of a piece that begins there, kept inside its span."""
    start, end = (
        min(max(from_samples + place, span.start_samples), span.end_samples)
        for place in (word.start_samples, word.end_samples)
    )
    return Word(start, end, word.text)


class WhisperEngine(Engine):
    """Recognisers that share one model."""

    name = "faster-whisper"
    tells_words = True

    def __init__(self, whisper: Whisper, lanes: int = 1, most_joined: int = 1) -> None:
        self.languages = whisper.languages
        self.detects = whisper.detects
        self.translates = whisper.translates
        self.lanes = lanes
        self.most_joined = most_joined
        self._whisper = whisper

    def open(self) -> Recogniser:
        return WhisperRecogniser(self._whisper)

    def joins(self, first: Step, other: Step) -> bool:
        """Windows of one length are read at once."""
        return 0 < reader(first).window_frames(first) == reader(other).window_frames(other)

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        if len(steps) > 1:
            for step in steps:
                step.prepare()
            self._read_together(steps)
            steps = [Step(step.recogniser, b"", step.is_end) for step in steps]
        return super().read(steps)

    def _read_together(self, steps: Sequence[Step]) -> None:
        """Read what all have heard in one call; where that fails, each is read alone."""
        try:
            texts = self._whisper.read([reader(step).window() for step in steps])
        except Exception as failure:  # whatever the library raises, perhaps for one of them alone
            log.warning("windows could not be read together", extra={"windows": len(steps), "reason": str(failure)})
            return
        for step, text in zip(steps, texts, strict=True):
            reader(step).take(text)


def reader(step: Step) -> WhisperRecogniser:
    """Whose step it is."""
    assert isinstance(step.recogniser, WhisperRecogniser)
    return step.recogniser


def load(settings: AsrSettings) -> Engine:
    """The engine with the model that the settings name. FileNotFoundError or ValueError tells what is at fault."""
    s = settings
    if s.device == "mps":
        raise ValueError("faster-whisper computes on cpu or cuda")
    whisper = Whisper(s.model_path, s.device, s.whisper_compute_type, s.whisper_pad_ms, s.whisper_workers)
    return WhisperEngine(whisper, s.whisper_workers, s.whisper_batch)

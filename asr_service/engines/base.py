"""What a recogniser of speech looks like from outside; everything behind it is one library's business.

An engine is one loaded model, or a table of how to load one for each recogniser. A recogniser reads one stretch of
speech after the other and has one caller at a time; several recognisers of one engine work side by side. All work goes
through `Engine.read`, a few steps at a time, on whatever thread calls it: an engine whose model takes several windows
in one call says which steps go together.

Calls block, and may raise anything when a library fails; the recogniser of such a step is thrown away. Audio is PCM16
little-endian mono at 16 000 Hz. The same audio after `start` reads the same at its end, however it was cut.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

SAMPLE_RATE = 16_000  # Hz
SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class Task:
    """How a stretch is to be read. `language`: BCP 47, one of the engine's; "" is whatever is spoken."""

    language: str
    translate: bool = False  # into English
    words: bool = False  # with the times of single words, at the end


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a span as it is written, without space around it, in samples since `start`."""

    start_samples: int
    end_samples: int
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, in samples since the first that was heard after `start`; `words` only where asked for."""

    start_samples: int
    end_samples: int
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What was said, "" for nothing, and when; `language` (BCP 47) where the engine found it out, else ""."""

    text: str
    spans: tuple[Span, ...] = ()
    language: str = ""


class Recogniser(Protocol):
    """Reads one stretch of speech after the other."""

    def start(self, task: Task) -> None:
        """A new stretch begins; an unfinished one is forgotten."""

    def hear(self, pcm: bytes) -> None:
        """Take whole samples that follow; an incremental engine decodes here."""

    def read(self) -> Result:
        """What the stretch reads like so far, spans aside; others decode here, again from the start of the stretch."""

    def finish(self) -> Result:
        """What the stretch reads like if it ends here. It may go on: what is heard next belongs to it too."""

    def settle(self) -> None:
        """What was read by `finish` stays as it is; what is heard next is read without it."""

    def close(self) -> None:
        """Free what the recogniser holds; a second call does nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work for one recogniser: begin a stretch if there is a `task`, hear what follows, and read.

    `settles`: the last step was an end, and nothing before it is read again.
    """

    recogniser: Recogniser
    pcm: bytes
    is_end: bool  # of the stretch, as far as anybody knows
    task: Task | None = None
    settles: bool = False

    def run(self) -> Result:
        """Do it, alone."""
        self.prepare()
        return self.recogniser.finish() if self.is_end else self.recogniser.read()

    def prepare(self) -> None:
        """All but the reading."""
        if self.task is not None:
            self.recogniser.start(self.task)
        if self.settles:
            self.recogniser.settle()
        self.recogniser.hear(self.pcm)


class Engine(ABC):
    """A model that recognisers are made from. `languages`: what it understands, BCP 47, its main one first."""

    name: str
    languages: tuple[str, ...]
    detects = False  # it finds out which of its languages is spoken
    translates = False  # into English
    tells_words = False  # it knows when each word was said
    shares_model = True  # a recogniser costs little beside the model, so there may be one for each stream
    lanes = 1  # calls of `read` that gain from running at a time
    most_joined = 1  # steps of one call

    @abstractmethod
    def open(self) -> Recogniser:
        """Another recogniser; unless it shares the model, this may take long and much memory."""

    def warm_up(self, recogniser: Recogniser, task: Task) -> None:
        """Let a fresh recogniser hear something: the first step of a fresh model is its slowest."""
        Step(recogniser, bytes(SAMPLE_BYTES * SAMPLE_RATE // 2), is_end=True, task=task).run()

    def is_incremental(self, language: str) -> bool:
        """Whether a reading in this language costs only what was heard since the last one."""
        return False

    def joins(self, first: Step, other: Step) -> bool:
        """Whether reading the two in one call is cheaper than one after the other, and tells the same."""
        return False

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        """Do the steps, all of which join the first; their results in order, or why one could not be done."""
        return [_done(step) for step in steps]

    def close(self) -> None:
        """Free what is not freed with the process; nothing is read any more."""
        return


def _done(step: Step) -> Result | Exception:
    try:
        return step.run()
    except Exception as failure:  # a model library may raise anything, and the other steps are not to blame
        return failure

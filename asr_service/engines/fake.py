"""A recogniser for tests and benchmarks: it reads a script aloud as sound goes by, whatever was said.

A script is a list of lines: after so much sound in a stretch, the stretch reads so. Silence is not counted, so silence
alone reads "". Where a language is to be found out it is the engine's first. Its words are of equal length.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asr_service.engines.base import SAMPLE_BYTES, Engine, Result, Span, Task, Word
from asr_service.settings import AsrSettings

SOUND = 100  # of 32 768: a sample at or above this is sound


@dataclass(frozen=True, slots=True)
class Line:
    """From `sound_samples` of sound on, the stretch reads `text`."""

    sound_samples: int
    text: str


DEFAULT_SCRIPT = (Line(4_800, "one"), Line(9_600, "one two"), Line(16_000, "one two three"))


class FakeRecogniser:
    """Counts sound; `on_step` is called in each reading, on the caller's thread. `language` is found out if need be."""

    def __init__(
        self, script: tuple[Line, ...], on_step: Callable[[], None] = lambda: None, language: str = "en"
    ) -> None:
        self._script = script
        self._on_step = on_step
        self._language = language
        self.start(Task(language))

    def start(self, task: Task) -> None:
        self._task = task
        self._heard_samples = self._sound_samples = 0

    def hear(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, np.int16).astype(np.int32)
        self._heard_samples += len(pcm) // SAMPLE_BYTES
        self._sound_samples += int(np.count_nonzero(np.abs(samples) >= SOUND))

    def read(self) -> Result:
        self._on_step()
        return self._result(is_end=False)

    def finish(self) -> Result:
        self._on_step()
        return self._result(is_end=True)

    def settle(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _result(self, is_end: bool) -> Result:
        text = next((one.text for one in reversed(self._script) if one.sound_samples <= self._sound_samples), "")
        if not text:
            return Result("")
        span = Span(0, self._heard_samples, text, self._words(text) if self._task.words else ())
        return Result(text, (span,) if is_end else (), "" if self._task.language else self._language)

    def _words(self, text: str) -> tuple[Word, ...]:
        words = text.split()
        edges = [self._heard_samples * place // len(words) for place in range(len(words) + 1)]
        return tuple(Word(*place) for place in zip(edges, edges[1:], words, strict=False))


class FakeEngine(Engine):
    """Every recogniser reads the same script."""

    name = "fake"
    detects = True
    tells_words = True
    lanes = 64  # nothing is computed, and a step may be made to wait

    def __init__(
        self,
        script: tuple[Line, ...] = DEFAULT_SCRIPT,
        languages: tuple[str, ...] = ("en",),
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.languages = languages
        self._script = script
        self._on_step = on_step

    def open(self) -> FakeRecogniser:
        return FakeRecogniser(self._script, self._on_step, self.languages[0])

    def is_incremental(self, language: str) -> bool:
        return True


def load(settings: AsrSettings) -> Engine:
    """The engine with a script of its own."""
    return FakeEngine()

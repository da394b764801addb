"""A recogniser for tests and benchmarks: it reads a script aloud as sound goes by, whatever was said.

A script is a list of lines: after so much sound in a stretch, the stretch reads so. Silence is not counted, so silence
alone reads "".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asr_service.engines.base import Engine, Result, Span

SOUND = 100  # of 32 768: a sample at or above this is sound


@dataclass(frozen=True, slots=True)
class Line:
    """From `sound_samples` of sound on, the stretch reads `text`."""

    sound_samples: int
    text: str


DEFAULT_SCRIPT = (Line(4_800, "one"), Line(9_600, "one two"), Line(16_000, "one two three"))


class FakeRecogniser:
    """Counts sound; `on_step` is called in each step, on the caller's thread."""

    def __init__(self, script: tuple[Line, ...], on_step: Callable[[], None]) -> None:
        self._script = script
        self._on_step = on_step
        self._heard_samples = 0
        self._sound_samples = 0

    def start(self, language: str) -> None:
        self._heard_samples = self._sound_samples = 0

    def accept(self, pcm: bytes) -> str:
        self._on_step()
        samples = np.frombuffer(pcm, np.int16).astype(np.int32)
        self._heard_samples += len(samples)
        self._sound_samples += int(np.count_nonzero(np.abs(samples) >= SOUND))
        return self._text()

    def finish(self) -> Result:
        text = self._text()
        return Result(text, (Span(0, self._heard_samples, text),) if text else ())

    def close(self) -> None:
        pass

    def _text(self) -> str:
        reached = [line.text for line in self._script if line.sound_samples <= self._sound_samples]
        return reached[-1] if reached else ""


class FakeEngine:
    """Every recogniser reads the same script."""

    name = "fake"

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
        return FakeRecogniser(self._script, self._on_step)


def load() -> Engine:
    """The engine with a script of its own."""
    return FakeEngine()

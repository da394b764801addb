"""Learnt detectors beside the recogniser, each optional: what is speech, and whether a speaker is done.

Without them loudness and the text decide. Their libraries are imported only where one is wanted.
"""

from pathlib import Path
from typing import Protocol


class SpeechStream(Protocol):
    """Hears the frames of one stream, in order."""

    def probability(self, frame: bytes) -> float:
        """How likely the latest sound is speech; takes a tenth of a millisecond at most."""


class SpeechDetector(Protocol):
    """Tells speech from other sound, for any number of streams."""

    def open(self) -> SpeechStream:
        """A detector for one more stream."""


class TurnDetector(Protocol):
    """Tells from the last eight seconds of sound whether their speaker is done."""

    def probability(self, pcm: bytes) -> float:
        """How likely it is; blocks, and any thread may call."""


class Detectors:
    """Those that are wanted; none is there before `load`."""

    def __init__(self, *, has_speech: bool = False, turn_model: Path | None = None) -> None:
        self.speech: SpeechDetector | None = None
        self.turn: TurnDetector | None = None
        self._has_speech = has_speech
        self._turn_model = turn_model

    def load(self) -> None:
        """Load them; this blocks. FileNotFoundError or ValueError names the file that is at fault."""
        if self._has_speech:
            from asr_service.engines.silero import Silero

            self.speech = Silero.load()
        if self._turn_model is not None:
            from asr_service.engines.turn_model import TurnModel

            self.turn = TurnModel.load(self._turn_model)

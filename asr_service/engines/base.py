"""What a recogniser of speech looks like from outside; everything behind it is one library's business.

Calls block, and one recogniser has one caller at a time; several recognisers of one engine work side by side. Audio is
PCM16 little-endian mono at 16 000 Hz. An engine may raise anything when its library fails.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, in samples since the first that was accepted after `start`."""

    start_samples: int
    end_samples: int
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What was said, "" for nothing, and when."""

    text: str
    spans: tuple[Span, ...] = ()


class Recogniser(Protocol):
    """Reads one stretch of speech after the other. The same audio after `start` reads the same, however it is cut."""

    def start(self, language: str) -> None:
        """A new stretch begins, in one of the engine's languages; an unfinished one is forgotten."""

    def accept(self, pcm: bytes) -> str | None:
        """Hear whole samples; return what the stretch reads like so far, None when it was not read again."""

    def finish(self) -> Result:
        """End the stretch. Call `start` before more audio."""

    def close(self) -> None:
        """Free what the recogniser holds; a second call does nothing."""


class Engine(Protocol):
    """A model that recognisers are made from. `languages`: what it understands, BCP 47, its main one first."""

    name: str
    languages: tuple[str, ...]

    def open(self) -> Recogniser:
        """Another recogniser; this may take long and much memory."""

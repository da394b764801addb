"""What an engine is: blocking, without knowledge of the wire, of segments or of other engines.

A slot makes one segment at a time. `synthesise` yields blocks of PCM16 mono as they are made; it looks at the stop
token at least once a block, and whether it ended, was stopped, closed or failed, the slot is free for the next request
when it returns. Failures are EngineFailed; any other exception is a fault of the adapter.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.threads import StopToken


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice: what a client calls it, and the language (BCP 47, lower case) it speaks; "" for whatever it is given."""

    name: str
    language: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; known once it has started."""

    languages: tuple[str, ...]
    voices: tuple[Voice, ...]
    max_chars: int  # of one request; the caller cuts longer text
    streaming: Literal["whole", "sentence", "chunk"]  # how early the first block comes


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """One segment: speakable text, its language (BCP 47), a voice or none, and the speed (1.0 is usual)."""

    text: str
    language: str = "en"
    voice: str | None = None
    speed: float = 1.0


class Slot(Protocol):
    """The right to make one segment at a time; used by one thread at a time."""

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks of PCM16 at the engine's rate. Raises EngineFailed."""
        ...

    def close(self) -> None:
        """Give back what the slot holds; a second call does nothing."""
        ...


class Engine(Protocol):
    """A speech engine. `start` comes first; afterwards its attributes do not change."""

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def start(self) -> None:
        """Load what is shared by all slots. Raises EngineFailed."""
        ...

    def has_voice(self, name: str) -> bool:
        """Whether `name` may stand in a request; there may be more such names than `capabilities.voices` lists."""
        ...

    def open_slot(self) -> Slot:
        """A slot that is ready to speak. Raises EngineFailed."""
        ...

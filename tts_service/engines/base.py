"""What an engine is: blocking, without knowledge of the wire, of segments or of other engines.

A slot makes one segment at a time. `synthesise` yields blocks of PCM16 mono as they are made; it looks at the stop
token at least once a block, and whether it ended, was stopped, closed or failed, the slot is free for the next request
when it returns. Failures are EngineFailed; any other exception is a fault of the adapter.

What an engine cannot do stands in its capabilities, so that it is refused, or done by the service, before any sound.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from shared.errors import Unsupported
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
    can_clone: bool = False  # it speaks like a reference, once its slot has prepared it
    has_speed: bool = True  # it keeps to a request's speed; else the service changes the speed of what it made
    has_instruction: bool = False  # it keeps to a request's instruction
    reads_numbers: bool = False  # it says numbers, dates and units itself; else the service writes them as words
    version: str = ""  # of its weights: what was prepared by one version is of no use to another


@dataclass(frozen=True, slots=True)
class Reference:
    """How a voice of one's own sounds: a recording (WAV, PCM16 mono, 16 kHz or more, 3 to 30 s) and what is said in it.

    `revision` names both: another recording or another text has another one.
    """

    revision: str
    path: Path = field(repr=False)
    transcript: str = field(repr=False)  # may be empty when nobody wrote it down
    language: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """What a slot prepared of a reference: bytes that any slot of the same engine and version understands."""

    revision: str
    prepared: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """One segment: speakable text, its language (BCP 47), a voice or none, and the speed (1.0 is usual).

    `speaker` stands for `voice` where there is one; `instruction` says in words how it is to be spoken.
    """

    text: str
    language: str = "en"
    voice: str | None = None
    speed: float = 1.0
    speaker: Speaker | None = None
    instruction: str | None = None


class Slot(Protocol):
    """The right to make one segment at a time; used by one thread at a time."""

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks of PCM16 at the engine's rate. Raises EngineFailed."""
        ...

    def prepare(self, reference: Reference) -> bytes:
        """What makes a speaker of a reference. Raises EngineFailed; Unsupported by an engine that cannot clone."""
        ...

    def close(self) -> None:
        """Give back what the slot holds; a second call does nothing."""
        ...


class ClonesNothing:
    """The part of a slot whose engine has voices of its own alone."""

    def prepare(self, reference: Reference) -> bytes:
        """Raises Unsupported."""
        raise Unsupported("The speech engine has no voices but its own.", service="tts", param="voice")


class ClosesNothing:
    """The part of an engine whose slots hold all that there is to end."""

    def close(self) -> None:
        """Nothing is waited for."""


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

    def close(self) -> None:
        """End what loads, from any thread; whoever waits for it is told EngineFailed. Slots are closed on their own."""
        ...

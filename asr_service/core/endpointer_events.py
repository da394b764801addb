"""What the endpointer is told and what it answers. Positions count samples from the first frame of the stream."""

from dataclasses import dataclass
from enum import Enum
from math import inf


class EndpointReason(Enum):
    """Which rule ended the utterance."""

    SHORT_PAUSE = "short_pause"
    COMPLETE = "complete"
    SILENCE = "silence"
    UNCHANGED = "unchanged"
    MAX_LENGTH = "max_length"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class Frame:
    """The next `frame_samples` were heard: their RMS (full scale is 1), and a model's probability of speech, if any."""

    rms: float
    speech_probability: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.rms < inf:
            raise ValueError(f"rms must be finite and not below 0, not {self.rms}")
        if self.speech_probability is not None and not 0.0 <= self.speech_probability <= 1.0:
            raise ValueError(f"speech_probability must be 0 to 1, not {self.speech_probability}")


@dataclass(frozen=True, slots=True)
class HypothesisChanged:
    """The utterance reads so now. `heard_until_samples`: up to where the recogniser had heard, where it is known.

    `language`: BCP 47, "" where it is not known. May also be sent for a text that stayed the same, to say that it was
    heard further.
    """

    text: str
    heard_until_samples: int | None = None
    language: str = ""


@dataclass(frozen=True, slots=True)
class TurnJudged:
    """A model has heard the utterance up to `heard_until_samples`: how probable it is that the speaker is done."""

    probability: float
    heard_until_samples: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must be 0 to 1, not {self.probability}")


@dataclass(frozen=True, slots=True)
class Flush:
    """The talker, or the end of the stream, has ended the utterance."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at `at_samples`; what a recogniser hears should begin at `pre_roll_from_samples`."""

    at_samples: int
    pre_roll_from_samples: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """The utterance may have ended at `at_samples`, where the speech before this pause ends."""

    at_samples: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The utterance of the candidate goes on; speech began again at `at_samples`."""

    at_samples: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The utterance reaches from `start_samples` to `at_samples`, where the last sound taken for speech ends.

    Sounds shorter than `onset_ms` after that do not count, a last plosive may be one of them: let a recogniser hear on.
    """

    at_samples: int
    start_samples: int
    reason: EndpointReason


Event = Frame | HypothesisChanged | TurnJudged | Flush
Action = SpeechStarted | Candidate | Resumed | Endpoint

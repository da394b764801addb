"""What can happen to a conversation. All in the past tense; audio never passes here, only what is known about it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import get_args


class Stage(StrEnum):
    """The service that a failure comes from."""

    ASR = "asr"
    LLM = "llm"
    TTS = "tts"


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The person began to speak."""

    utterance_id: str


@dataclass(frozen=True, slots=True)
class PartialHeard:
    """What was understood so far; `text` begins with `committed`."""

    utterance_id: str
    text: str
    committed: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class CandidateHeard:
    """A pause that could be the end, and the text if it is."""

    utterance_id: str
    text: str


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """Speech went on after a candidate."""

    utterance_id: str


@dataclass(frozen=True, slots=True)
class EndpointReached:
    """The utterance ended; its final follows."""

    utterance_id: str


@dataclass(frozen=True, slots=True)
class SegmentHeard:
    """A stretch of a final; seconds from the start of the stream."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class FinalHeard:
    """The fixed text of an utterance."""

    utterance_id: str
    text: str
    language: str = ""
    segments: tuple[SegmentHeard, ...] = ()


@dataclass(frozen=True, slots=True)
class UtteranceCleared:
    """The person took back what is being said; no final follows."""


@dataclass(frozen=True, slots=True)
class TextTyped:
    """A turn that was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnEdited:
    """What was understood in a turn is corrected."""

    turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The person wants the answer to stop."""


@dataclass(frozen=True, slots=True)
class PersonaChanged:
    """Somebody else answers from now on; what was under way is void. An opening line is said at once."""

    opening_line: str = ""


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """More text of an answer."""

    reply_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ReplyTextEnded:
    """The text of an answer is complete."""

    reply_id: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class AudioReady:
    """The first audio of an answer is there."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class PlayoutMarked:
    """How much of an answer has been heard."""

    reply_id: str
    heard_ms: int
    heard_text: str


@dataclass(frozen=True, slots=True)
class PlayoutFinished:
    """All of an answer has been heard (or shown, when it has no audio)."""

    reply_id: str
    heard_ms: int
    heard_text: str


@dataclass(frozen=True, slots=True)
class StageFailed:
    """A service failed. With a reply_id it failed at that answer, without one it failed at listening."""

    stage: Stage
    code: str
    message: str
    is_retryable: bool
    reply_id: str | None = None


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The client is gone."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline that the conversation named has come."""


ConversationEvent = (
    SpeechStarted | PartialHeard | CandidateHeard | SpeechResumed | EndpointReached | FinalHeard | UtteranceCleared
    | TextTyped | TurnEdited | CancelAsked | PersonaChanged | ReplyDelta | ReplyTextEnded | AudioReady | PlayoutMarked
    | PlayoutFinished | StageFailed | Disconnected | Tick
)  # fmt: skip
EVENT_TYPES: tuple[type[ConversationEvent], ...] = get_args(ConversationEvent)

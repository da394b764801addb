"""What a conversation wants done. In the imperative; `Announce…` is told to the client, the rest to the services."""

from dataclasses import dataclass

from gateway.core.events import FinishReason, SegmentHeard


@dataclass(frozen=True, slots=True)
class RequestReply:
    """Ask for an answer to `user_text`; a held one stays inside until its release, a script is said as it is."""

    turn_id: str
    reply_id: str
    user_text: str
    is_held: bool = False
    script: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Let a held answer out: its audio may leave."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop an answer at every service, and drop what of it was not sent."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class PauseReply:
    """Let no audio of an answer leave for now, and keep what waits."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class ResumeReply:
    """Let an answer go on, from the sample at which it paused."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class SpeakText:
    """Give text of an answer to speech."""

    reply_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FinishSpeech:
    """No more text of this answer comes."""

    reply_id: str


@dataclass(frozen=True, slots=True)
class FlushRecogniser:
    """End the utterance now."""


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """Keep a turn: what was understood, what was *heard* of its answer; then tell the client that it is done."""

    turn_id: str
    reply_id: str | None
    user_text: str
    heard_text: str
    heard_ms: int
    finish_reason: FinishReason
    edits: str = ""  # the turn that this one corrects
    is_scripted: bool = False  # what was heard is no answer of the model's


@dataclass(frozen=True, slots=True)
class AdoptPersona:
    """From here on the new persona answers, and remembers nothing."""


@dataclass(frozen=True, slots=True)
class RewindHistory:
    """Forget a turn in the next prompts, and all that came after it."""

    to_turn_id: str


@dataclass(frozen=True, slots=True)
class AnnounceSpeechStarted:
    """The person is speaking."""

    turn_id: str
    utterance_id: str


@dataclass(frozen=True, slots=True)
class AnnouncePartial:
    """What was understood so far."""

    turn_id: str
    utterance_id: str
    text: str
    committed: str
    language: str


@dataclass(frozen=True, slots=True)
class AnnounceFinal:
    """What was understood."""

    turn_id: str
    utterance_id: str
    text: str
    language: str
    segments: tuple[SegmentHeard, ...]


@dataclass(frozen=True, slots=True)
class AnnounceEdited:
    """A turn takes the place of an earlier one, and of all that came after that."""

    turn_id: str
    edited_turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AnnounceReplyStarted:
    """An answer begins."""

    turn_id: str
    reply_id: str


@dataclass(frozen=True, slots=True)
class AnnounceToken:
    """More text of the answer."""

    turn_id: str
    reply_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AnnouncePaused:
    """Somebody speaks over the answer, which waits for what that is."""

    turn_id: str
    reply_id: str


@dataclass(frozen=True, slots=True)
class AnnounceResumed:
    """It was nothing that takes the word: the answer goes on."""

    turn_id: str
    reply_id: str


@dataclass(frozen=True, slots=True)
class AnnounceInterrupted:
    """The answer was stopped; no audio of it follows."""

    turn_id: str
    reply_id: str
    heard_ms: int
    heard_text: str


@dataclass(frozen=True, slots=True)
class AnnounceError:
    """Something failed; the session lives on."""

    code: str
    service: str
    message: str
    is_retryable: bool


@dataclass(frozen=True, slots=True)
class CountStale:
    """Something of an older answer or utterance came too late and was dropped."""

    what: str


ConversationAction = (
    RequestReply | ReleaseReply | CancelReply | PauseReply | ResumeReply | SpeakText | FinishSpeech | FlushRecogniser
    | CommitTurn | AdoptPersona | RewindHistory | AnnounceSpeechStarted | AnnouncePartial | AnnounceFinal
    | AnnounceEdited | AnnounceReplyStarted | AnnounceToken | AnnouncePaused | AnnounceResumed | AnnounceInterrupted
    | AnnounceError | CountStale
)  # fmt: skip

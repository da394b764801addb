"""The native WebSocket, version 1: binary PCM16 mono little-endian both ways, and these messages.

In, audio has the rate of `config`; out, it has `audio_out.sample_rate` and belongs to the last `segment`. Every message
out carries `seq`, which rises by one; messages about a turn carry `turn_id`, `reply_id` or `utterance_id`.
"""

from typing import ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from shared.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from shared.wire.asr import Endpointing, Segment
from shared.wire.codec import Codec, Message
from shared.wire.tts import SPEECH_RATE

PROTOCOL = 1
TEXT_LIMIT_CHARS = 8_000
DAY_MS = 86_400_000


class AudioOut(BaseModel):
    """How audio is sent to this client."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    encoding: Literal["pcm16"] = "pcm16"
    sample_rate: int = Field(SPEECH_RATE, ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE, description="Hz.")
    transport: Literal["binary", "json"] = Field(
        "binary", description="`json` sends audio_response, llm_token, transcription."
    )


class Config(Message):
    """Settings of the session; what is left out keeps its value. A new persona clears the conversation."""

    type: ClassVar[str] = "config"
    sample_rate: int | None = Field(
        None,
        ge=MIN_SAMPLE_RATE,
        le=MAX_SAMPLE_RATE,
        validation_alias=AliasChoices("sample_rate", "sampleRate"),
        description="Of the audio that the client sends, Hz; 16 000 unless told.",
    )
    language: str | None = Field(None, max_length=16, description="BCP 47; pins what is listened for.")
    persona: str | None = Field(None, max_length=64, description="An id of GET /v1/personas.")
    voice: str | None = Field(None, max_length=128, description="A voice of the tts_service.")
    model: str | None = Field(None, max_length=128, description="A model of the llm_service.")
    mode: Literal["dialogue", "transcription"] | None = Field(
        None, description="`transcription` hears and never answers."
    )
    greets: bool | None = Field(None, description="A persona that is chosen says its opening line; not unless told.")
    endpointing: Endpointing | None = None
    audio_out: AudioOut | None = None


class AudioChunk(Message):
    """PCM16 as base64, for clients without binary frames."""

    type: ClassVar[str] = "audio_chunk"
    audio: str


class TextInput(Message):
    """A typed turn."""

    type: ClassVar[str] = "text"
    text: str = Field(max_length=TEXT_LIMIT_CHARS, pattern=r"\S", description="Not blank.")


class Commit(Message):
    """Push-to-talk: the utterance is over now."""

    type: ClassVar[str] = "commit"


class Clear(Message):
    """Forget the utterance that is being spoken."""

    type: ClassVar[str] = "clear"


class Cancel(Message):
    """Stop the answer, as if the person had spoken over it."""

    type: ClassVar[str] = "cancel"


class Played(Message):
    """How much of a reply has come out of the speaker: at least each quarter of a second, and once at its end.

    From the first mark of a reply on, marks alone decide what was heard of it; without any, the server's clock does.
    """

    type: ClassVar[str] = "played"
    reply_id: str
    ms: int = Field(ge=0, le=DAY_MS)


class Edit(Message):
    """Correct what was understood in a turn; the answer is made again, and what came after it is forgotten."""

    type: ClassVar[str] = "edit"
    turn_id: str
    text: str = Field(max_length=TEXT_LIMIT_CHARS, pattern=r"\S", description="Not blank.")


class Resume(Message):
    """Go on with a session after a cut, instead of the new one: on a new connection, before anything else is sent.

    Answered with a second `ready`, then comes what was missed; or with an error, and the new session stays. What comes
    before that `ready` is of the new session.
    """

    type: ClassVar[str] = "resume"
    session_id: str = Field(max_length=64)
    token: str = Field(max_length=128)
    last_seq: int = Field(ge=0, le=2**53, description="Of the last message that came.")
    audio_bytes: int = Field(
        0, ge=0, le=2**53, description="Of the binary frames that came after that message: they are not sent again."
    )


class Ping(Message):
    """Answered with pong."""

    type: ClassVar[str] = "ping"


class Ready(Message):
    """The session is open. Of one that goes on, `seq` is the client's own `last_seq`, and what it missed follows."""

    type: ClassVar[str] = "ready"
    protocol: int = PROTOCOL
    session_id: str
    token: str = Field(description="A secret: whoever has it may go on with this session.")
    capabilities: list[str]
    resumed: bool = Field(False, description="This is the session that `resume` asked for.")
    audio_bytes: int = Field(
        0, description="Audio of the client that arrived so far; what it sent after that is lost unless sent again."
    )
    resume_ms: int = Field(0, description="How long after a cut the session can be resumed.")


class Loading(Message):
    """A service is not ready yet; the session goes on by itself when it is."""

    type: ClassVar[str] = "loading"
    service: str
    progress: float | None = Field(None, ge=0, le=1)


class Degraded(Message):
    """Parley does with less while it is under load, one step after the other, or has its means back."""

    type: ClassVar[str] = "degraded"
    level: Literal["full", "no_hq", "fast_voice", "text_only"] = Field(
        description="`no_hq`: nothing is rendered anew; `fast_voice`: the cheaper voice speaks; `text_only`: none does."
    )
    message: str = Field(description="The same for a person.")


class SpeechStarted(Message):
    """The person began to speak."""

    type: ClassVar[str] = "speech_started"
    turn_id: str
    utterance_id: str


class Partial(Message):
    """What was understood so far: `text` begins with `committed`, which never changes again."""

    type: ClassVar[str] = "partial"
    turn_id: str
    utterance_id: str
    text: str
    committed: str
    language: str


class Final(Message):
    """What was understood; exactly one for an utterance."""

    type: ClassVar[str] = "final"
    turn_id: str
    utterance_id: str
    text: str
    language: str
    segments: list[Segment]


class TurnEdited(Message):
    """A corrected turn takes the place of an earlier one, and of all that came after that; its answer follows.

    All of them stay in the store, where GET /v1/conversations/{id} tells which ones count.
    """

    type: ClassVar[str] = "turn_edited"
    turn_id: str
    edited_turn_id: str
    text: str


class ReplyStarted(Message):
    """An answer begins."""

    type: ClassVar[str] = "reply_started"
    turn_id: str
    reply_id: str


class Token(Message):
    """More text of the answer."""

    type: ClassVar[str] = "token"
    turn_id: str
    reply_id: str
    text: str


class SegmentStarted(Message):
    """The audio that follows speaks `text`, from `start_ms` of the reply on."""

    type: ClassVar[str] = "segment"
    turn_id: str
    reply_id: str
    text: str
    start_ms: int


class ReplyDone(Message):
    """The answer is over, and the turn is in the store. `text` is what was heard of it."""

    type: ClassVar[str] = "reply_done"
    turn_id: str
    reply_id: str
    text: str
    finish_reason: Literal["stop", "length", "interrupted", "error"]
    timings: dict[str, int] = Field(
        description="Milliseconds from the end of speech (or the typed text) to each stage."
    )


class ReplyPaused(Message):
    """Somebody speaks over the answer: stop playing, and keep what came. No frame of it follows until `reply_resumed`.

    Or else `interrupted` or `reply_done` comes next. Who goes on playing hears at most `GATEWAY_BACKCHANNEL_MS` more.
    """

    type: ClassVar[str] = "reply_paused"
    turn_id: str
    reply_id: str


class ReplyResumed(Message):
    """It was a noise or a mere "mhm": play on from the same sample."""

    type: ClassVar[str] = "reply_resumed"
    turn_id: str
    reply_id: str


class Interrupted(Message):
    """The answer was stopped; no frame of it follows. `heard_text` is what the history keeps."""

    type: ClassVar[str] = "interrupted"
    turn_id: str
    reply_id: str
    heard_ms: int
    heard_text: str


class HqAudio(Message):
    """A better rendering of the answer has replaced the stored one."""

    type: ClassVar[str] = "hq_audio"
    reply_id: str
    url: str


class Error(Message):
    """Something went wrong; the session lives on unless it closes."""

    type: ClassVar[str] = "error"
    code: str
    service: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


class Pong(Message):
    """The answer to ping."""

    type: ClassVar[str] = "pong"


ClientMessage = Config | AudioChunk | TextInput | Commit | Clear | Cancel | Played | Edit | Resume | Ping
ServerMessage = (
    Ready | Loading | Degraded | SpeechStarted | Partial | Final | TurnEdited | ReplyStarted | Token | SegmentStarted
    | ReplyDone | ReplyPaused | ReplyResumed | Interrupted | HqAudio | Error | Pong
)  # fmt: skip
CLIENT: Codec[ClientMessage] = Codec([Config, AudioChunk, TextInput, Commit, Clear, Cancel, Played, Edit, Resume, Ping])
SERVER: Codec[ServerMessage] = Codec(
    [
        Ready, Loading, Degraded, SpeechStarted, Partial, Final, TurnEdited, ReplyStarted, Token, SegmentStarted,
        ReplyDone, ReplyPaused, ReplyResumed, Interrupted, HqAudio, Error, Pong,
    ]
)  # fmt: skip

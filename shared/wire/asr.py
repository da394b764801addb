"""gateway ↔ asr_service, `WS /v1/stream`: binary PCM16 and these messages in, these messages out.

Positions (`…_samples`) count samples at 16 000 Hz from the start of the stream, whatever the rate of the audio sent.
"""

from typing import ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from shared.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from shared.wire.codec import Codec, Message

STREAM_RATE = 16_000  # Hz; what positions count and recognisers hear
PLAYING_LIMIT_CHARS = 262_144  # two seconds at 48 000 Hz

EndpointReason = Literal["short_pause", "complete", "silence", "unchanged", "max_length", "flush"]


class Endpointing(BaseModel):
    """When an utterance ends; what is left out keeps its value."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    end_silence_ms: int | None = Field(
        None, ge=100, le=10_000, description="Silence that ends an utterance whatever was said."
    )
    short_pause_ms: int | None = Field(
        None, ge=60, le=10_000, description="Pause that ends it after final punctuation."
    )
    complete_pause_ms: int | None = Field(
        None, ge=0, le=10_000, description="Pause that ends it after text that looks complete; 0 for no such rule."
    )
    stable_nochange_ms: int | None = Field(None, ge=200, le=30_000, description="Unchanged text that ends it.")
    silence_rms: float | None = Field(
        None, ge=0.0001, le=0.5, description="RMS of full scale 1 under which a frame is silent."
    )
    max_utterance_ms: int | None = Field(None, ge=1_000, le=60_000, description="Longest utterance; then it is cut.")
    onset_ms: int | None = Field(None, ge=20, le=500, description="Speech that confirms a start or a resumption.")
    candidate_ms: int | None = Field(None, ge=60, le=5_000, description="Pause after which a candidate is sent.")
    pre_roll_ms: int | None = Field(None, ge=0, le=1_000, description="Sound before a start that is decoded with it.")


class Segment(BaseModel):
    """A stretch of a final: start and end in seconds from the start of the stream."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    start: float
    end: float
    text: str


class Configure(Message):
    """Settings of this stream, first or while it runs."""

    type: ClassVar[str] = "config"
    sample_rate: int | None = Field(
        None,
        ge=MIN_SAMPLE_RATE,
        le=MAX_SAMPLE_RATE,
        validation_alias=AliasChoices("sample_rate", "sampleRate"),
        description="Of the PCM16 that follows, Hz; 16 000 unless told.",
    )
    language: str | None = Field(None, max_length=16, description="BCP 47; pins the language, or `auto`.")
    endpointing: Endpointing | None = None


class Flush(Message):
    """End the utterance now; its final follows, or an empty one when nothing was being said."""

    type: ClassVar[str] = "flush"


class Clear(Message):
    """Forget the utterance; no final follows."""

    type: ClassVar[str] = "clear"


class Playing(Message):
    """What is played to the talker: from now on, or after what was sent before it. Its echo is then no speech."""

    type: ClassVar[str] = "playing"
    sample_rate: int = Field(STREAM_RATE, ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE, description="Of `audio`, Hz.")
    audio: str = Field(
        max_length=PLAYING_LIMIT_CHARS,
        description="PCM16 as base64, as it is sent to be played: ahead of time is fine, by two minutes at most.",
    )


class Hush(Message):
    """Nothing is played any more: what was sent as `playing` and is not played yet never will be."""

    type: ClassVar[str] = "hush"


class AsrReady(Message):
    """The stream can be heard."""

    type: ClassVar[str] = "ready"
    engine: str
    languages: list[str]


class SpeechStarted(Message):
    """Somebody speaks, since `at_samples`."""

    type: ClassVar[str] = "speech_started"
    utterance_id: str
    at_samples: int


class Partial(Message):
    """What was said so far: `text` begins with `committed`, which never changes again."""

    type: ClassVar[str] = "partial"
    utterance_id: str
    text: str
    committed: str
    language: str
    at_samples: int


class Candidate(Message):
    """A pause that could be the end, and the text if it is."""

    type: ClassVar[str] = "candidate"
    utterance_id: str
    text: str
    at_samples: int


class Resumed(Message):
    """Speech went on after a candidate."""

    type: ClassVar[str] = "resumed"
    utterance_id: str
    at_samples: int


class Endpoint(Message):
    """The utterance ended at `at_samples`, its last sample of speech; its final follows."""

    type: ClassVar[str] = "endpoint"
    utterance_id: str
    at_samples: int
    reason: EndpointReason


class Final(Message):
    """The fixed text of an utterance; exactly one for each `speech_started` that was not cleared."""

    type: ClassVar[str] = "final"
    utterance_id: str
    text: str
    language: str
    segments: list[Segment]
    start_samples: int
    end_samples: int
    reason: EndpointReason


class AsrError(Message):
    """Something was wrong; the stream lives on unless it closes."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    retryable: bool = False


AsrIn = Configure | Flush | Clear | Playing | Hush
AsrOut = AsrReady | SpeechStarted | Partial | Candidate | Resumed | Endpoint | Final | AsrError
ASR_IN: Codec[AsrIn] = Codec([Configure, Flush, Clear, Playing, Hush])
ASR_OUT: Codec[AsrOut] = Codec([AsrReady, SpeechStarted, Partial, Candidate, Resumed, Endpoint, Final, AsrError])

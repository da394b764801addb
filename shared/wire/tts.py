"""gateway ↔ tts_service, `WS /v1/stream`: one connection speaks many replies, each named in every message.

Out, a binary frame is `length of reply_id (1 byte) | reply_id | PCM16`, at the rate that `start` asked for; it belongs
to the reply's last `segment`. Where `start` asked for Opus, a frame holds one packet of 20 ms instead. The encoder goes
through the reply without a break, so a packet may begin in one segment and end in the next; the last one is filled with
silence, and a decoder is some 7 ms behind. Positions are samples of the PCM16 in either case.
"""

from typing import ClassVar, Literal

from pydantic import Field

from shared.errors import InvalidAudio
from shared.pcm import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, checked
from shared.wire.codec import Codec, Message

SPEECH_RATE = 24_000  # Hz, unless asked otherwise


class Start(Message):
    """A reply is going to be spoken."""

    type: ClassVar[str] = "start"
    reply_id: str = Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")
    voice: str | None = Field(None, max_length=128, description="A voice of this service; its default unless told.")
    language: str = Field("en", max_length=16, description="BCP 47; what text in no script of its own is read as.")
    speed: float = Field(1.0, ge=0.25, le=4.0)
    sample_rate: int = Field(
        SPEECH_RATE, ge=MIN_SAMPLE_RATE, le=MAX_SAMPLE_RATE, description="Of the PCM16 sent back, Hz."
    )
    instruction: str | None = Field(
        None, max_length=500, description="How it is to be spoken, in words; refused by an engine that takes none."
    )
    tier: Literal["fast", "hq"] = Field(
        "fast", description="`hq`: by the finer engine, which is later; refused by a service without one."
    )
    encoding: Literal["pcm16", "opus"] = Field(
        "pcm16", description="Of the audio sent back; `opus` at 8, 12, 16, 24 or 48 kHz only."
    )


class Text(Message):
    """More text of a reply, cut anywhere."""

    type: ClassVar[str] = "text"
    reply_id: str
    delta: str


class End(Message):
    """The text of a reply is complete; `done` follows when all of it was spoken."""

    type: ClassVar[str] = "end"
    reply_id: str


class Cancel(Message):
    """Stop a reply; `done` with `cancelled` follows when its engine has stopped, and no audio after it."""

    type: ClassVar[str] = "cancel"
    reply_id: str


class TtsReady(Message):
    """The service can speak."""

    type: ClassVar[str] = "ready"
    engine: str
    voices: list[str]


class SegmentStarted(Message):
    """The audio that follows speaks `text`, from `start_samples` of the reply on."""

    type: ClassVar[str] = "segment"
    reply_id: str
    index: int
    text: str
    start_samples: int


class Done(Message):
    """The last message of a reply: all its audio came before."""

    type: ClassVar[str] = "done"
    reply_id: str
    outcome: Literal["completed", "cancelled", "failed"]
    total_samples: int


class TtsError(Message):
    """Something was wrong with a reply, or with the connection when `reply_id` is absent."""

    type: ClassVar[str] = "error"
    reply_id: str | None = None
    code: str
    message: str
    retryable: bool = False


TtsIn = Start | Text | End | Cancel
TtsOut = TtsReady | SegmentStarted | Done | TtsError
TTS_IN: Codec[TtsIn] = Codec([Start, Text, End, Cancel])
TTS_OUT: Codec[TtsOut] = Codec([TtsReady, SegmentStarted, Done, TtsError])


def encode_audio(reply_id: str, audio: bytes) -> bytes:
    """A binary frame with PCM16 or an Opus packet of a reply."""
    name = reply_id.encode("ascii")
    return bytes([len(name)]) + name + audio


def decode_audio(frame: bytes) -> tuple[str, bytes]:
    """(reply_id, PCM16) of a binary frame, or InvalidAudio."""
    reply_id, audio = decode_frame(frame)
    return reply_id, checked(audio)


def decode_frame(frame: bytes) -> tuple[str, bytes]:
    """(reply_id, what it holds) of a binary frame, or InvalidAudio."""
    if not frame or not frame[0] or len(frame) < 1 + frame[0] or not frame[1 : 1 + frame[0]].isascii():
        raise InvalidAudio("The binary frame has no reply_id in front.")
    return frame[1 : 1 + frame[0]].decode("ascii"), frame[1 + frame[0] :]

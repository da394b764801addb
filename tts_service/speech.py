"""`POST /v1/audio/speech`, in the form of OpenAI: a text becomes a file, streamed from its first sound.

A field that the engine cannot keep to is refused before any sound: also `instructions`, which some clients send to any
model, because speech that takes no notice of them would be taken for what was asked for.
"""

from typing import Final, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.wire.tts import SPEECH_RATE
from tts_service.encoders import FORMATS
from tts_service.speech_body import EventBody
from tts_service.spoken_response import SpokenResponse, naming
from tts_service.synthesiser import Synthesiser

INPUT_LIMIT_CHARS: Final = 4_096
SOUNDS: Final = {form.media_type: {"schema": {"type": "string", "format": "binary"}} for form in FORMATS.values()}
EVENTS: Final = {"text/event-stream": {"schema": {"type": "string"}}}


class SpeechRequest(BaseModel):
    """OpenAI's fields, `language` and `tier`. Unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    model: str = Field("tts-1", max_length=128, description="Any name; the service speaks with the engine it has.")
    input: str = Field(min_length=1, max_length=INPUT_LIMIT_CHARS, description="What is said.")
    voice: str | None = Field(
        None,
        max_length=128,
        description='A voice of GET /v1/voices, also as `{"id": …}`; the service\'s default unless told.',
    )
    instructions: str | None = Field(
        None,
        max_length=INPUT_LIMIT_CHARS,
        description="How it is to be spoken, in words; refused by an engine that takes none.",
    )
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = Field(
        "mp3",
        description=f"The file: `opus` in Ogg, `aac` as ADTS, `pcm` as PCM16 without a header; mono, {SPEECH_RATE} Hz.",
    )
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = Field(
        "audio", description="The file itself, or events: `speech.audio.delta`, `speech.audio.done`."
    )
    language: str = Field("en", max_length=16, description="BCP 47; what text in no script of its own is read as.")
    tier: Literal["fast", "hq"] = Field(
        "fast", description="`hq`: by the finer engine, which is later; refused by a service without one."
    )

    @field_validator("voice", mode="before")
    @classmethod
    def _by_id(cls, voice: object) -> object:
        """OpenAI's clients name a voice of their own by an object."""
        return voice.get("id", voice) if isinstance(voice, dict) else voice


def speech_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/audio/speech", response_class=Response, responses={200: {"content": {**SOUNDS, **EVENTS}}})
    async def speech(request: SpeechRequest) -> Response:
        synthesiser.check_ready()
        with naming(instruction="instructions"):
            manner = synthesiser.manner(
                language=request.language,
                voice=request.voice,
                speed=request.speed,
                instruction=(request.instructions or "").strip() or None,
                tier=request.tier,
            )
        body = EventBody(len(request.input)) if request.stream_format == "sse" else None
        return SpokenResponse(synthesiser, manner, request.input, FORMATS[request.response_format], body)

    return router

"""`POST /tts`, the shortest way to a spoken text: answered with a WAV, streamed from its first sound.

The voice is named by the path of its file, which is never opened: it stands for the operator's voice of that name.
"""

from typing import Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from tts_service.encoders import FORMATS
from tts_service.reply import TEXT_LIMIT_CHARS
from tts_service.spoken_response import SpokenResponse, naming
from tts_service.synthesiser import Synthesiser

LANGUAGE: Final = "en"  # of text in no script of its own
SOUND: Final = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}


class PlainRequest(BaseModel):
    """Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    text: str = Field(min_length=1, max_length=TEXT_LIMIT_CHARS, description="What is said.")
    speaker_voice_path: str | None = Field(
        None, max_length=1024, description="A voice of GET /v1/voices, or its file; the service's default unless told."
    )
    cfg_scale: float = Field(
        1.0, ge=0.5, le=2.0, description="Taken from older clients; no engine here has such a scale."
    )


def plain_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.post("/tts", response_class=Response, responses={200: {"content": SOUND}})
    async def tts(request: PlainRequest) -> Response:
        synthesiser.check_ready()
        with naming(voice="speaker_voice_path"):
            manner = synthesiser.manner(language=LANGUAGE, voice=request.speaker_voice_path or None, speed=1.0)
        return SpokenResponse(synthesiser, manner, request.text, FORMATS["wav"])

    return router

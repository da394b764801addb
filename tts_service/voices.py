"""`GET /v1/voices`: what a client may ask to be spoken by."""

from fastapi import APIRouter
from pydantic import BaseModel

from tts_service.synthesiser import Synthesiser


class VoiceEntry(BaseModel):
    """A voice; `language` is empty when it speaks whatever it is given."""

    id: str
    name: str
    language: str


class VoiceList(BaseModel):
    """All voices of the engine; `default` is null when each language has its own."""

    engine: str
    default: str | None
    voices: list[VoiceEntry]


def voice_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/voices")
    async def voices() -> VoiceList:
        synthesiser.check_ready()
        return VoiceList(
            engine=synthesiser.engine.name,
            default=synthesiser.settings.default_voice,
            voices=[
                VoiceEntry(id=voice.name, name=voice.label or voice.name, language=voice.language)
                for voice in synthesiser.engine.capabilities.voices
            ],
        )

    return router

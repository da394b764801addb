"""`GET /speaker_info`: the voices of recordings, which of them are prepared, and how often that was of use."""

from fastapi import APIRouter
from pydantic import BaseModel

from tts_service.synthesiser import Synthesiser
from tts_service.voices import VoiceEntry, fields_of


class Cache(BaseModel):
    """The prepared speakers; `memory`, `disk` and `prepared` count where they were found since the start."""

    entries: int
    limit: int
    bytes: int
    memory: int
    disk: int
    prepared: int


class Speaker(VoiceEntry):
    """A voice of a recording, and whether it is prepared."""

    in_memory: bool


class SpeakerInfo(BaseModel):
    """The voices of recordings and the cache of what was prepared of them."""

    engine: str
    default: str | None
    loaded: list[str]
    speakers: list[Speaker]
    cache: Cache


def speaker_info_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.get("/speaker_info")
    async def speaker_info() -> SpeakerInfo:
        synthesiser.check_ready()
        return told(synthesiser)

    return router


def told(synthesiser: Synthesiser) -> SpeakerInfo:
    """As it is now."""
    known, speakers = synthesiser.voices, synthesiser.speakers
    in_memory = set(speakers.in_memory())
    listed = [
        Speaker(**fields_of(known, voice), in_memory=bool(voice.reference and voice.reference.revision in in_memory))
        for voice in known.brought()
    ]
    return SpeakerInfo(
        engine=synthesiser.engine.name,
        default=synthesiser.settings.default_voice,
        loaded=[speaker.name for speaker in listed if speaker.in_memory],
        speakers=listed,
        cache=Cache(entries=len(in_memory), limit=speakers.most, bytes=speakers.memory_bytes(), **speakers.found),
    )

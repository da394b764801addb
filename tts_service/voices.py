"""`/v1/voices`: what a client may ask to be spoken by, and the voices that people bring.

A recording is refused before it is received where that is possible; what is received is bounded in length and in time,
and decoded on few threads of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import anyio
from anyio import CapacityLimiter
from fastapi import APIRouter, Request
from pydantic import BaseModel

from shared import threads
from shared.errors import NotFound, ServiceUnavailable, TooManySessions
from shared.threads import StopToken
from tts_service.known_voices import Kind, KnownVoice, KnownVoices
from tts_service.recording import Recording, checked_recording
from tts_service.synthesiser import Synthesiser
from tts_service.voice_form import form_schema, received

UPLOADS_AT_ONCE: Final = 4
DECODED_AT_ONCE: Final = 1


class VoiceEntry(BaseModel):
    """A voice; `language` is empty when it speaks whatever it is given. The engine may not be able to `use` it."""

    id: str
    name: str
    language: str
    kind: Kind
    usable: bool
    gender: str = ""


class VoiceDetails(VoiceEntry):
    """What else is known of one that somebody brought; null of others."""

    created: str | None = None
    duration_ms: int | None = None
    transcript: str | None = None
    revision: str | None = None


class VoiceList(BaseModel):
    """All voices; `default` is null when each language has its own."""

    engine: str
    default: str | None
    voices: list[VoiceEntry]


class DeletedVoice(BaseModel):
    """As OpenAI tells that something is gone."""

    id: str
    object: str = "voice"
    deleted: bool = True


def voice_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()
    known, uploads = synthesiser.voices, Uploads()

    @router.get("/v1/voices")
    async def voices() -> VoiceList:
        synthesiser.check_ready()
        return VoiceList(
            engine=synthesiser.engine.name,
            default=synthesiser.settings.default_voice,
            voices=[VoiceEntry(**fields_of(known, voice)) for voice in known.all()],
        )

    @router.post("/v1/voices", status_code=201, openapi_extra={"requestBody": form_schema()})
    async def add(request: Request) -> VoiceDetails:
        synthesiser.check_ready()
        known.check_may_bring()
        with uploads.admitted():
            async with received(request) as (file, wanted):
                known.check_new(wanted.name)
                return _details(known, await known.add(wanted, await uploads.decoded(file)))

    @router.get("/v1/voices/{voice_id}")
    async def one(voice_id: str) -> VoiceDetails:
        synthesiser.check_ready()
        found = known.find(voice_id)
        if found is None:
            raise NotFound("There is no such voice.", service="tts", param="voice_id")
        return _details(known, found)

    @router.delete("/v1/voices/{voice_id}")
    async def delete(voice_id: str) -> DeletedVoice:
        if not known.is_loaded:
            raise ServiceUnavailable("The voices are being read.", service="tts", retry_after_ms=1000)
        await known.delete(voice_id)
        return DeletedVoice(id=voice_id)

    return router


class Uploads:
    """The recordings that are being received, and the threads that decode them."""

    def __init__(self) -> None:
        self._decoding = CapacityLimiter(DECODED_AT_ONCE)
        self._places = CapacityLimiter(UPLOADS_AT_ONCE)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Be received for the length of the block. Raises TooManySessions."""
        place = object()
        try:
            self._places.acquire_on_behalf_of_nowait(place)
        except anyio.WouldBlock:
            raise TooManySessions(
                f"{UPLOADS_AT_ONCE} recordings are being received already.", service="tts", retry_after_ms=1000
            ) from None
        try:
            yield
        finally:
            self._places.release_on_behalf_of(place)

    async def decoded(self, file: BinaryIO) -> Recording:
        """What a file becomes. Raises InvalidAudio and MessageTooLarge. A cancel ends it at its next piece."""

        def make(stop: StopToken) -> Iterator[Recording]:
            yield checked_recording(file, stop.is_stopped)

        made = list[Recording]()
        async with threads.iterate(make, 1, self._decoding) as recordings:
            async for recording in recordings:
                made.append(recording)
        return made[0]


def fields_of(known: KnownVoices, voice: KnownVoice) -> dict[str, Any]:
    """Those of a `VoiceEntry`."""
    return {
        "id": voice.id,
        "name": voice.name,
        "language": voice.language,
        "kind": voice.kind,
        "usable": voice.kind == "engine" or known.may_be_brought,
        "gender": voice.gender,
    }


def _details(known: KnownVoices, voice: KnownVoice) -> VoiceDetails:
    own = voice.own
    if own is None:
        return VoiceDetails(**fields_of(known, voice))
    return VoiceDetails(
        **fields_of(known, voice),
        created=own.created,
        duration_ms=own.duration_ms,
        transcript=own.transcript,
        revision=own.revision,
    )

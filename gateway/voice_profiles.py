"""The voices that people bring: received here, kept by the tts_service, and whose they are by the store.

Older clients bring one by a sample alone, and what their form leaves out is found out here.
What is said in the sample is written down by the recogniser, its language is that of the persona who answers unless
told, its name is that of the file. Whoever uploads a sample to this path says by that that the person whose voice it is
agreed to its being used (docs/rest.md); one who says no is refused.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from gateway.house import House
from gateway.openai_routes import VOICES
from gateway.service_calls import TTS, ServiceCalls, ServiceRequest, check_on, refusal_of
from gateway.single_turn import heard_in
from gateway.turn_form import FIELDS, FIELDS_LIMIT_BYTES, FILE_LIMIT_BYTES, UPLOAD_DEADLINE_S
from shared import ids, upload
from shared.errors import BadRequest, InternalError, InvalidAudio, InvalidMessage

NAME_CHARS: Final = 64
USER_CHARS: Final = 128
LABELS: Final = ("name", "language", "transcript", "consent")
NO: Final = {"false", "0", "no", "off"}
LIMITS: Final = upload.UploadLimits(
    service="gateway",
    called="A sample",
    missing="file: a sample of the voice is required, in a multipart form.",
    file_bytes=FILE_LIMIT_BYTES,
    fields_bytes=FIELDS_LIMIT_BYTES,
    field_bytes=FIELDS_LIMIT_BYTES,
    fields=FIELDS,
    names=("file", "audio_file", "audio", "sample"),
)


@asynccontextmanager
async def _received(request: Request) -> AsyncIterator[tuple[BinaryIO, FormData]]:
    try:
        async with upload.received(request.scope, request.receive, LIMITS, UPLOAD_DEADLINE_S) as received:
            yield received
    except ClientDisconnect:
        raise BadRequest("The sample did not arrive whole.", service="gateway", param="file") from None


async def bring(request: Request, calls: ServiceCalls, *, fills: bool) -> Response:
    """Keep a voice and whose it is; answered with what is known of it. Raises typed errors, the tts_service's too.

    `fills`: what the form leaves out is found out.
    """
    house: House = request.app.state.house
    check_on(house, TTS)
    async with _received(request) as (file, form):
        user_id = _text(form, "user_id")[:USER_CHARS] or "local"
        fields = {name: _text(form, name) for name in LABELS}
        if fills:
            fields = await _filled(house, calls, file, form, fields)
        file.seek(0)
        body = {"files": {"file": ("sample", file)}, "data": fields}
        async with calls.asked(house, TTS, ServiceRequest("POST", VOICES.path, body=body)) as response:
            if response.status_code != 201:
                raise await refusal_of(TTS, response)
            await response.aread()
            made = response.json()
    consent = "uploaded as a voice profile" if fills and not _text(form, "consent") else "given with the upload"
    try:
        await house.store.voices.add(user_id, made["name"], made["language"], consent, made["id"])
    except (SQLAlchemyError, OSError):  # a voice that is nobody's could not be erased with its person
        await forget_sound(house, calls, made["id"])
        raise InternalError("The voice could not be kept.", service="gateway") from None
    return JSONResponse(made, status_code=201)


async def _filled(
    house: House, calls: ServiceCalls, file: BinaryIO, form: FormData, given: dict[str, str]
) -> dict[str, str]:
    if given["consent"].lower() in NO:
        raise InvalidMessage("consent: without it no voice is kept.", service="gateway", param="consent")
    language = given["language"] or house.personas[house.settings.default_persona].language
    transcript = given["transcript"] or await _said(house, calls, file, language)
    return {"name": given["name"] or _name(form), "language": language, "transcript": transcript, "consent": "true"}


async def forget(house: House, calls: ServiceCalls, voice_id: str, user_id: str) -> Response:
    """Delete a voice, and that it was this person's; answered as the tts_service does."""
    check_on(house, TTS)
    async with calls.asked(house, TTS, ServiceRequest("DELETE", VOICES.below(voice_id).path)) as response:
        if response.status_code != 200:
            raise await refusal_of(TTS, response)
        await response.aread()
        await house.store.voices.remove(voice_id, user_id)
        return JSONResponse(response.json())


async def forget_sound(house: House, calls: ServiceCalls, voice_id: str) -> bool:
    """Delete the recording of a voice; whether it is gone now. Raises typed errors where nobody answers."""
    async with calls.asked(house, TTS, ServiceRequest("DELETE", VOICES.below(voice_id).path)) as response:
        return response.status_code in (200, 404)


async def listed(house: House, calls: ServiceCalls) -> dict[str, Any]:
    """The voices that are of recordings, and not the engine's own."""
    check_on(house, TTS)
    async with calls.asked(house, TTS, ServiceRequest("GET", VOICES.path)) as response:
        if response.status_code != 200:
            raise await refusal_of(TTS, response)
        await response.aread()
        voices = response.json()["voices"]
    return {"voice_profiles": [voice for voice in voices if voice["kind"] != "engine"]}


async def _said(house: House, calls: ServiceCalls, file: BinaryIO, language: str) -> str:
    heard = await heard_in(house, calls, file, language)
    if not heard.text:
        message = "Nothing that is said in the sample was understood; send `transcript` with it."
        raise InvalidAudio(message, service="asr", param="file")
    return heard.text[:1_000]


def _name(form: FormData) -> str:
    """As the file is called."""
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    called = (files[0].filename or "").replace("\\", "/").rpartition("/")[2].partition(".")[0]
    return called[:NAME_CHARS].strip() or ids.new_id("voice")


def _text(form: FormData, name: str) -> str:
    found = form.get(name)
    return found.strip() if isinstance(found, str) else ""

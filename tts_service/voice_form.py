"""The form that a voice comes in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request

from shared import upload
from shared.errors import BadRequest, InvalidMessage
from tts_service.core.voice_labels import plain_language, plain_name, plain_transcript

FILE_LIMIT_BYTES: Final = 25 * 1024 * 1024
FIELDS_LIMIT_BYTES: Final = 64 * 1024  # everything around the file
UPLOAD_DEADLINE_S: Final = 300.0  # 25 MB at 700 kbit/s; a place is held as long
YES: Final = {"true", "1", "yes", "on"}

NAME_FAULT = "name: call the voice by 1 to 64 characters on one line, without slashes."
TRANSCRIPT_FAULT = "transcript: write down what is said in the recording, in at most 1,000 characters."
LANGUAGE_FAULT = "language: name the language of the recording by its tag, such as en, zh or pt-br."
CONSENT_FAULT = "consent: send true, which says that the person whose voice this is agreed to its being used."
LIMITS: Final = upload.UploadLimits(
    service="tts",
    called="A recording",
    missing="file: a recording is required, in a multipart form.",
    file_bytes=FILE_LIMIT_BYTES,
    fields_bytes=FIELDS_LIMIT_BYTES,
    field_bytes=8 * 1024,
    fields=16,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a voice is to be, its labels clean. Whoever made one said that its owner agrees."""

    name: str
    language: str
    transcript: str = field(repr=False)


@asynccontextmanager
async def received(request: Request, deadline_s: float = UPLOAD_DEADLINE_S) -> AsyncIterator[tuple[BinaryIO, Wanted]]:
    """The file, at its start, and what is wanted; the file is closed when the block is left.

    Raises as shared.upload does, BadRequest for a client that left, and InvalidMessage for a label that is wrong.
    """
    try:
        async with upload.received(request.scope, request.receive, LIMITS, deadline_s) as (file, form):
            yield file, _wanted(form)
    except ClientDisconnect:
        raise BadRequest("The file did not arrive whole.", service="tts", param="file") from None


def _wanted(form: FormData) -> Wanted:
    name = plain_name(_text(form, "name"))
    if name is None:
        raise InvalidMessage(NAME_FAULT, service="tts", param="name")
    transcript = plain_transcript(_text(form, "transcript"))
    if transcript is None:
        raise InvalidMessage(TRANSCRIPT_FAULT, service="tts", param="transcript")
    language = plain_language(_text(form, "language"))
    if language is None:
        raise InvalidMessage(LANGUAGE_FAULT, service="tts", param="language")
    if _text(form, "consent").strip().lower() not in YES:
        raise InvalidMessage(CONSENT_FAULT, service="tts", param="consent")
    return Wanted(name, language, transcript)


def _text(form: FormData, name: str) -> str:
    found = form.get(name)
    return found if isinstance(found, str) else ""


def form_schema() -> dict[str, Any]:
    """The form in the words of OpenAPI."""
    texts = {
        "name": "What the voice is called; no other voice here is.",
        "transcript": "What is said in the recording, word for word.",
        "language": "BCP 47, such as en or zh.",
        "consent": "`true`: the person whose voice this is agreed to its being used.",
    }
    properties: dict[str, Any] = {name: {"type": "string", "description": told} for name, told in texts.items()}
    properties["file"] = {
        "type": "string",
        "format": "binary",
        "description": "3 to 30 s of one voice: WAV, FLAC, MP3, Ogg or M4A, 16 kHz or more.",
    }
    schema = {"type": "object", "required": ["file", *texts], "properties": properties}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}

"""The form that a voice comes in: received into a spooled temporary file, bounded in length, fields and time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import anyio
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from shared.errors import BadRequest, InternalError, InvalidMessage, MessageTooLarge
from tts_service.core.voice_labels import plain_language, plain_name, plain_transcript

FILE_LIMIT_BYTES: Final = 25 * 1024 * 1024
FIELDS_LIMIT_BYTES: Final = 64 * 1024  # everything around the file
FIELD_LIMIT_BYTES: Final = 8 * 1024
MAX_FIELDS: Final = 16
UPLOAD_DEADLINE_S: Final = 300.0  # 25 MB at 700 kbit/s; a place is held as long
YES: Final = {"true", "1", "yes", "on"}

NAME_FAULT = "name: call the voice by 1 to 64 characters on one line, without slashes."
TRANSCRIPT_FAULT = "transcript: write down what is said in the recording, in at most 1,000 characters."
LANGUAGE_FAULT = "language: name the language of the recording by its tag, such as en, zh or pt-br."
CONSENT_FAULT = "consent: send true, which says that the person whose voice this is agreed to its being used."
FILE_FAULT = "file: a recording is required, in a multipart form."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a voice is to be, its labels clean. Whoever made one said that its owner agrees."""

    name: str
    language: str
    transcript: str = field(repr=False)


@asynccontextmanager
async def received(request: Request, deadline_s: float = UPLOAD_DEADLINE_S) -> AsyncIterator[tuple[BinaryIO, Wanted]]:
    """The file, at its start, and what is wanted; the file is closed when the block is left.

    Raises MessageTooLarge, InvalidMessage and BadRequest; InternalError where there is no room for it.
    """
    form = await _form(Request(request.scope, _limited(request)), deadline_s)
    try:
        yield _file(form), _wanted(form)
    finally:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                value.file.close()  # at once, on this thread: a cancel cannot come between


async def _form(request: Request, deadline_s: float) -> FormData:
    try:
        with anyio.fail_after(deadline_s):
            return await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_LIMIT_BYTES)
    except TimeoutError:
        raise BadRequest("The file took too long to arrive.", service="tts", param="file") from None
    except ClientDisconnect:
        raise BadRequest("The file did not arrive whole.", service="tts", param="file") from None
    except OSError:  # of the temporary file
        raise InternalError("There is no room to receive the file in.", service="tts", param="file") from None
    except UnicodeError:  # the sender names its own charset
        raise InvalidMessage("The form's charset is none.", service="tts") from None


def _limited(request: Request) -> Any:
    """The request's body, with MessageTooLarge as soon as it is clear that it is longer than any allowed one."""
    left_bytes = FILE_LIMIT_BYTES + FIELDS_LIMIT_BYTES
    told = request.headers.get("content-length", "")
    is_told_too_long = told.isascii() and told.isdigit() and (len(told) > 18 or int(told) > left_bytes)

    async def limited() -> Message:
        nonlocal left_bytes
        if is_told_too_long:
            raise _too_large()
        message = await request.receive()
        left_bytes -= len(message.get("body", b""))
        if left_bytes < 0:
            raise _too_large()
        return message

    return limited


def _file(form: FormData) -> BinaryIO:
    found = form.get("file")
    if not isinstance(found, UploadFile):
        raise InvalidMessage(FILE_FAULT, service="tts", param="file")
    if (found.size or 0) > FILE_LIMIT_BYTES:
        raise _too_large()
    return found.file


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


def _too_large() -> MessageTooLarge:
    limit_mb = FILE_LIMIT_BYTES // 1024 // 1024
    return MessageTooLarge(f"A recording has at most {limit_mb} MB.", service="tts", param="file")


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

"""The form that a file comes in: received into a spooled temporary file, bounded in length, fields and time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

import anyio
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from asr_service.transcription_wire import TranscriptionRequest
from shared.errors import BadRequest, InvalidMessage, MessageTooLarge

FILE_LIMIT_BYTES: Final = 25 * 1024 * 1024
FIELDS_LIMIT_BYTES: Final = 256 * 1024  # everything around the file
FIELD_LIMIT_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 64
LISTS: Final = ("timestamp_granularities", "include")
UPLOAD_DEADLINE_S: Final = 600.0  # 25 MB at 350 kbit/s; a place is held as long


@asynccontextmanager
async def received(
    scope: Scope, receive: Receive, deadline_s: float
) -> AsyncIterator[tuple[BinaryIO, TranscriptionRequest]]:
    """The file, at its start, and what is wanted; the file is closed when the block is left.

    MessageTooLarge, InvalidMessage and BadRequest for a form that is none; ClientDisconnect.
    """
    form = await _form(Request(scope, _limited(scope, receive)), deadline_s)
    try:
        yield _file(form), _wanted(form)
    finally:
        for value in form.values():
            if isinstance(value, UploadFile):
                value.file.close()  # at once, on this thread: a cancel cannot come between


async def _form(request: Request, deadline_s: float) -> FormData:
    try:
        with anyio.fail_after(deadline_s):
            return await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=FIELD_LIMIT_BYTES)
    except TimeoutError:
        raise BadRequest("The file took too long to arrive.", service="asr", param="file") from None
    except UnicodeError:  # the sender names its own charset
        raise InvalidMessage("The form's charset is none.", service="asr") from None


def _limited(scope: Scope, receive: Receive) -> Receive:
    """`receive`, with MessageTooLarge as soon as it is clear that the body is longer than any allowed one."""
    limit_bytes = FILE_LIMIT_BYTES + FIELDS_LIMIT_BYTES
    told = dict(scope["headers"]).get(b"content-length", b"0")
    left_bytes = -1 if told.isdigit() and int(told) > limit_bytes else limit_bytes

    async def limited() -> Message:
        nonlocal left_bytes
        if left_bytes < 0:
            raise _too_large()
        message = await receive()
        left_bytes -= len(message.get("body", b""))
        if left_bytes < 0:
            raise _too_large()
        return message

    return limited


def _file(form: FormData) -> BinaryIO:
    found = form.get("file")
    if not isinstance(found, UploadFile):
        raise InvalidMessage("file: a file is required, in a multipart form.", service="asr", param="file")
    if (found.size or 0) > FILE_LIMIT_BYTES:
        raise _too_large()
    return found.file


def _wanted(form: FormData) -> TranscriptionRequest:
    fields: dict[str, object] = {}
    for name, value in form.multi_items():
        plain = name.removesuffix("[]")
        if plain in LISTS:
            fields[plain] = form.getlist(name)
        elif value != "":  # what a client leaves empty, it does not ask for
            fields[plain] = value
    try:
        return TranscriptionRequest.model_validate(fields)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
        param = str(first["loc"][0]) if first["loc"] else None
        raise InvalidMessage(f"{param or 'form'}: {first['msg']}.", service="asr", param=param) from None


def _too_large() -> MessageTooLarge:
    limit_mb = FILE_LIMIT_BYTES // 1024 // 1024
    return MessageTooLarge(f"A file has at most {limit_mb} MB.", service="asr", param="file")

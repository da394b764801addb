"""The form that a file to be transcribed comes in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.types import Receive, Scope

from asr_service.transcription_wire import TranscriptionRequest
from shared import upload
from shared.errors import InvalidMessage

FILE_LIMIT_BYTES: Final = 25 * 1024 * 1024
FIELDS_LIMIT_BYTES: Final = 256 * 1024  # everything around the file
LIMITS: Final = upload.UploadLimits(
    service="asr",
    called="A file",
    missing="file: a file is required, in a multipart form.",
    file_bytes=FILE_LIMIT_BYTES,
    fields_bytes=FIELDS_LIMIT_BYTES,
    field_bytes=64 * 1024,
    fields=64,
)
LISTS: Final = ("timestamp_granularities", "include")
UPLOAD_DEADLINE_S: Final = 600.0  # 25 MB at 350 kbit/s; a place is held as long


@asynccontextmanager
async def received(
    scope: Scope, receive: Receive, deadline_s: float
) -> AsyncIterator[tuple[BinaryIO, TranscriptionRequest]]:
    """The file, at its start, and what is wanted; the file is closed when the block is left.

    Raises as shared.upload does, and InvalidMessage for a field that is wrong.
    """
    async with upload.received(scope, receive, LIMITS, deadline_s) as (file, form):
        yield file, _wanted(form)


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

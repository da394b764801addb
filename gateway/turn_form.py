"""What a client sends for one turn: a form with a recording, a form with a text, or the text as JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Receive, Scope

from shared import upload
from shared.errors import BadRequest, InvalidJson, InvalidMessage
from shared.wire.codec import load_object
from shared.wire.native import TEXT_LIMIT_CHARS

FILE_LIMIT_BYTES: Final = 25 * 1024 * 1024
FIELDS_LIMIT_BYTES: Final = 64 * 1024
UPLOAD_DEADLINE_S: Final = 300.0
TEXT_DEADLINE_S: Final = 30.0
FIELDS: Final = 16
RECORDING_BYTES: Final = FILE_LIMIT_BYTES + FIELDS_LIMIT_BYTES
TEXT_BYTES: Final = 2 * FIELDS_LIMIT_BYTES
LIMITS: Final = upload.UploadLimits(
    service="gateway",
    called="A recording",
    missing="file: a recording is required, in a multipart form.",
    file_bytes=FILE_LIMIT_BYTES,
    fields_bytes=FIELDS_LIMIT_BYTES,
    field_bytes=FIELDS_LIMIT_BYTES,
    fields=FIELDS,
    names=("file", "audio_file", "audio"),
)


class TurnWanted(BaseModel):
    """The fields of a turn. Unknown ones are ignored, and so is what a client leaves empty."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    text: str | None = Field(None, max_length=TEXT_LIMIT_CHARS, pattern=r"\S", repr=False)
    conversation_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    user_id: str | None = Field(None, max_length=128)
    persona: str | None = Field(None, max_length=64)
    voice: str | None = Field(None, max_length=128)
    language: str | None = Field(None, min_length=2, max_length=16)
    stream: bool = False


@asynccontextmanager
async def recording_in(scope: Scope, receive: Receive) -> AsyncIterator[tuple[BinaryIO | None, TurnWanted]]:
    """The file, at its start, and what is wanted. Raises as shared.upload does, and InvalidMessage for a bad field."""
    async with upload.received(scope, receive, LIMITS, UPLOAD_DEADLINE_S) as (file, form):
        yield file, wanted_in(texts_of(form))


@asynccontextmanager
async def text_in(scope: Scope, receive: Receive) -> AsyncIterator[tuple[BinaryIO | None, TurnWanted]]:
    """No file, and what is wanted, which has a text. Raises BadRequest, InvalidJson and InvalidMessage."""
    request = Request(scope, receive)
    try:
        with anyio.fail_after(TEXT_DEADLINE_S):
            fields = await _fields(request)
    except TimeoutError:
        raise BadRequest("The text took too long to arrive.", service="gateway") from None
    wanted = wanted_in(fields)
    if wanted.text is None:
        raise InvalidMessage("text: a text is required.", service="gateway", param="text")
    yield None, wanted


async def _fields(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return load_object((await request.body()).decode())
        except UnicodeError:
            raise InvalidJson("The body is not UTF-8.", service="gateway") from None
    try:
        async with request.form(max_files=0, max_fields=FIELDS, max_part_size=FIELDS_LIMIT_BYTES) as form:
            return texts_of(form)
    except UnicodeError:
        raise InvalidMessage("The form's charset is none.", service="gateway") from None


def texts_of(form: FormData) -> dict[str, Any]:
    """The fields of a form that are no files."""
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


def wanted_in(fields: dict[str, Any]) -> TurnWanted:
    """The same, checked. Raises InvalidMessage for the first that is wrong."""
    told = {name: value for name, value in fields.items() if value not in ("", None)}
    try:
        return TurnWanted.model_validate(told)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
        param = str(first["loc"][0]) if first["loc"] else None
        raise InvalidMessage(f"{param or 'form'}: {first['msg']}.", service="gateway", param=param) from None

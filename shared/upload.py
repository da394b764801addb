"""A form with one file: received into a spooled temporary file, bounded in length, fields and time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

import anyio
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from shared.errors import BadRequest, InternalError, InvalidMessage, MessageTooLarge


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What a service takes, and what it calls the file in a refusal."""

    service: str
    called: str  # "A file"
    missing: str  # the sentence for a form without one
    file_bytes: int
    fields_bytes: int  # of everything around the file
    field_bytes: int
    fields: int
    names: tuple[str, ...] = ("file",)  # that the file may have in the form; the first that is there is meant

    def too_large(self) -> MessageTooLarge:
        """The refusal of a longer one."""
        limit_mb = self.file_bytes // 1024 // 1024
        return MessageTooLarge(f"{self.called} has at most {limit_mb} MB.", service=self.service, param="file")


@asynccontextmanager
async def received(
    scope: Scope, receive: Receive, limits: UploadLimits, deadline_s: float
) -> AsyncIterator[tuple[BinaryIO, FormData]]:
    """The file, at its start, and the form; the file is closed when the block is left.

    Raises MessageTooLarge, InvalidMessage and BadRequest for a form that is none; InternalError where there is no room
    for it; ClientDisconnect.
    """
    form = await _form(Request(scope, _limited(scope, receive, limits)), limits, deadline_s)
    try:
        yield _file(form, limits), form
    finally:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                value.file.close()  # at once, on this thread: a cancel cannot come between


async def _form(request: Request, limits: UploadLimits, deadline_s: float) -> FormData:
    service = limits.service
    try:
        with anyio.fail_after(deadline_s):
            return await request.form(max_files=1, max_fields=limits.fields, max_part_size=limits.field_bytes)
    except TimeoutError:
        raise BadRequest("The file took too long to arrive.", service=service, param="file") from None
    except OSError:  # of the temporary file
        raise InternalError("There is no room to receive the file in.", service=service, param="file") from None
    except UnicodeError:  # the sender names its own charset
        raise InvalidMessage("The form's charset is none.", service=service) from None


def _limited(scope: Scope, receive: Receive, limits: UploadLimits) -> Receive:
    """`receive`, with MessageTooLarge as soon as it is clear that the body is longer than any allowed one."""
    left_bytes = limits.file_bytes + limits.fields_bytes
    told = dict(scope["headers"]).get(b"content-length", b"")
    is_told_too_long = told.isdigit() and (len(told) > 18 or int(told) > left_bytes)

    async def limited() -> Message:
        nonlocal left_bytes
        if is_told_too_long:
            raise limits.too_large()
        message = await receive()
        left_bytes -= len(message.get("body", b""))
        if left_bytes < 0:
            raise limits.too_large()
        return message

    return limited


def _file(form: FormData, limits: UploadLimits) -> BinaryIO:
    found = next((one for name in limits.names if isinstance(one := form.get(name), UploadFile)), None)
    if found is None:
        raise InvalidMessage(limits.missing, service=limits.service, param="file")
    if (found.size or 0) > limits.file_bytes:
        raise limits.too_large()
    return found.file

"""The form of a voice is bounded: in length, also where nobody told it, in time, and in how many come at once."""

import io
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from starlette.requests import Request

from shared.errors import (
    BadRequest,
    InternalError,
    InvalidAudio,
    InvalidMessage,
    MessageTooLarge,
    ParleyError,
    TooManySessions,
)
from tests.support.uploads import wav
from tests.support.voices import FORM, spoken, voice_wav
from tts_service.voice_form import FIELDS_LIMIT_BYTES, FILE_LIMIT_BYTES, Wanted, received
from tts_service.voices import UPLOADS_AT_ONCE, Uploads

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

BOUNDARY = "=-=-="


def part(head: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def form(file: bytes, **fields: str) -> bytes:
    texts = b"".join(part(f'name="{name}"', value.encode()) for name, value in {**FORM, **fields}.items())
    return texts + part('name="file"; filename="a.wav"', file) + f"--{BOUNDARY}--\r\n".encode()


class Sender:
    """A client that sends one piece after the other, and then leaves or waits for ever."""

    def __init__(self, pieces: Iterator[bytes], *, leaves: bool = False, told: str = "", charset: str = "") -> None:
        self._pieces = pieces
        self._leaves = leaves
        self.sent = 0
        kind = f"multipart/form-data; boundary={BOUNDARY}{charset}"
        headers = [(b"content-type", kind.encode()), *([(b"content-length", told.encode())] if told else [])]
        self.request = Request({"type": "http", "method": "POST", "headers": headers}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        for piece in self._pieces:
            self.sent += len(piece)
            return {"type": "http.request", "body": piece, "more_body": True}
        if not self._leaves:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}


async def refused(sender: Sender, deadline_s: float = 20) -> ParleyError:
    with pytest.raises(ParleyError) as raised:
        async with received(sender.request, deadline_s):
            pass
    return raised.value


def endless() -> Iterator[bytes]:
    yield part('name="file"; filename="a.wav"', b"").removesuffix(b"\r\n")
    while True:
        yield bytes(1 << 20)


async def test_a_form_is_a_file_at_its_start_and_clean_labels() -> None:
    body = form(voice_wav(), name="  Anna \n Maria ", language="PT_br")
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))

    async def receive() -> dict[str, Any]:
        piece = next(pieces, b"")
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    request = Request(Sender(iter(())).request.scope, receive)
    async with received(request) as (file, wanted):
        assert wanted == Wanted("Anna Maria", "pt-br", FORM["transcript"])
        assert file.read() == voice_wav()
    assert file.closed


async def test_the_words_of_a_voice_are_not_shown() -> None:
    assert "secret" not in repr(Wanted("Anna", "en", "a secret"))


async def test_an_endless_body_is_refused_when_it_is_too_long() -> None:
    sender = Sender(endless())
    assert isinstance(await refused(sender), MessageTooLarge)
    assert sender.sent <= FILE_LIMIT_BYTES + FIELDS_LIMIT_BYTES + 2 * (1 << 20)


@pytest.mark.parametrize("told", [str(FILE_LIMIT_BYTES * 2), "9" * 400])
async def test_a_body_that_says_it_is_too_long_is_not_read(told: str) -> None:
    sender = Sender(endless(), told=told)
    assert isinstance(await refused(sender), MessageTooLarge)
    assert sender.sent == 0


async def test_a_body_that_does_not_come_is_given_up() -> None:
    refusal = await refused(Sender(iter([form(b"")[:100]])), deadline_s=0)
    assert (type(refusal), refusal.message) == (BadRequest, "The file took too long to arrive.")


async def test_a_client_that_leaves_is_told_so_that_nothing_is_kept() -> None:
    refusal = await refused(Sender(iter([form(voice_wav())[:1_000]]), leaves=True))
    assert (type(refusal), refusal.message) == (BadRequest, "The file did not arrive whole.")


async def test_a_charset_that_does_not_fit_is_refused() -> None:
    body = form(b"").replace(b"Anna", b"\xff\xfe\xfa")
    assert isinstance(await refused(Sender(iter([body]), charset="; charset=undefined")), InvalidMessage)


async def test_so_many_recordings_are_received_at_once_and_no_more() -> None:
    uploads = Uploads()
    with ExitStack() as inside:
        for _ in range(UPLOADS_AT_ONCE):
            inside.enter_context(uploads.admitted())
        with pytest.raises(TooManySessions), uploads.admitted():
            pass
    with uploads.admitted():
        pass


async def test_where_there_is_no_room_for_a_file_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    body = form(bytes(4 << 20))
    refusal = await refused(Sender(body[at : at + 100_000] for at in range(0, len(body), 100_000)))
    assert (type(refusal), refusal.message) == (InternalError, "There is no room to receive the file in.")


class Slow(io.BytesIO):
    """A file whose first bytes come when the test lets them."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.began, self.gate = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.began.set()
        assert self.gate.wait(10), "the test lets it go"
        return super().read(size)


async def test_a_cancel_ends_the_decoder_at_its_next_piece() -> None:
    uploads, file = Uploads(), Slow(wav(spoken(50)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(uploads.decoded, file)
        while not file.began.is_set():
            await checkpoint()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        file.gate.set()
    assert file.tell() < len(file.getvalue()) // 2


async def test_a_decoded_file_is_a_recording_or_a_refusal() -> None:
    uploads = Uploads()
    assert (await uploads.decoded(io.BytesIO(voice_wav()))).duration_ms > 4_000
    with pytest.raises(InvalidAudio):
        await uploads.decoded(io.BytesIO(b"no sound"))

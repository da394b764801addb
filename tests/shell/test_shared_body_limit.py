"""Bodies that are too long are refused with a 413 of ours, and never kept."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from shared import body_limit
from shared.app import create_app
from shared.body_limit import BodyLimit
from shared.health import Readiness
from tests.support.llm import serving

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

LIMIT_BYTES = 1000
TOO_LARGE = {
    "error": {
        "message": "The body of a request has at most 1000 bytes here.",
        "type": "invalid_request_error",
        "param": None,
        "code": "message_too_large",
    }
}


class Note(BaseModel):
    text: str


class Office:
    """A service that takes notes and packages; it keeps how many bytes reached it."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.has_left = False
        self.app = create_app("An office", Readiness({}), body_limit_bytes=LIMIT_BYTES)
        self._add_routes(self.app)

    def _add_routes(self, app: FastAPI) -> None:
        @app.post("/notes")
        async def note(note: Note) -> int:
            return len(note.text)

        @app.post("/packages")
        async def package(request: Request) -> int:
            await self._read(request)
            return self.received_bytes

        @app.post("/echo")
        async def echo(request: Request) -> Response:
            return StreamingResponse(request.stream())

    async def _read(self, request: Request) -> None:
        try:
            async for piece in request.stream():
                self.received_bytes += len(piece)
        except ClientDisconnect:
            self.has_left = True


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def address(office: Office) -> AsyncIterator[str]:
    async with serving(office.app) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
        yield client


async def pieces(count: int, size_bytes: int) -> AsyncIterator[bytes]:
    """A body whose length is not announced."""
    for _ in range(count):
        yield bytes(size_bytes)


async def status_of(address: str, head: str) -> bytes:
    """How a request is answered of which only the head is sent."""
    host, _, port = address.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(f"POST /packages HTTP/1.1\r\nHost: office\r\n{head}\r\n\r\n".encode())
        return (await stream.receive())[: len(b"HTTP/1.1 413")]


@pytest.mark.parametrize("length", [LIMIT_BYTES + 1, 10**17, 10**19])
async def test_a_body_that_is_announced_too_long_is_refused_before_a_byte_is_read(address: str, length: int) -> None:
    assert await status_of(address, f"Content-Length: {length}") == b"HTTP/1.1 413"


async def test_who_waits_for_leave_to_send_too_much_does_not_get_it(address: str) -> None:
    said = await status_of(address, f"Content-Length: {LIMIT_BYTES + 1}\r\nExpect: 100-continue")

    assert said == b"HTTP/1.1 413"


async def test_who_waits_for_leave_to_send_what_is_within_the_limit_gets_it(address: str) -> None:
    said = await status_of(address, f"Content-Length: {LIMIT_BYTES}\r\nExpect: 100-continue")

    assert said == b"HTTP/1.1 100"


@pytest.mark.parametrize("path", ["/notes", "/packages"])
async def test_a_body_that_turns_out_too_long_is_refused(office: Office, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=pieces(11, 100), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()) == (413, TOO_LARGE)
    assert office.received_bytes <= LIMIT_BYTES


async def test_a_body_at_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    contents: list[Any] = [bytes(LIMIT_BYTES), pieces(10, LIMIT_BYTES // 10)]
    found = [(await client.post("/packages", content=content)).json() for content in contents]

    assert found == [LIMIT_BYTES, 2 * LIMIT_BYTES]  # it counts on


@pytest.mark.parametrize("is_announced", [True, False])
async def test_who_still_sends_reads_why_it_was_refused(client: httpx.AsyncClient, is_announced: bool) -> None:
    content: Any = bytes(8 * 2**20) if is_announced else pieces(128, 2**16)
    answer = await client.post("/packages", content=content)

    assert (answer.status_code, answer.json()) == (413, TOO_LARGE)
    assert answer.headers["connection"] == "close"


async def test_what_is_refused_has_left_to_the_one_who_reads_it(office: Office, client: httpx.AsyncClient) -> None:
    await client.post("/packages", content=pieces(11, 100))

    assert office.has_left


async def test_an_answer_that_has_begun_is_cut_by_a_body_that_turns_out_too_long() -> None:
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (message := await receive())["type"] == "http.request":
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(600), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    await BodyLimit(app, LIMIT_BYTES)({"type": "http", "headers": []}, receive, send)

    assert [len(message.get("body", b"")) for message in sent] == [0, 600]


async def test_a_sender_that_goes_on_and_on_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "LINGER_S", 0.01)
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the app is not asked")

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": bytes(600), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    await BodyLimit(app, LIMIT_BYTES)({"type": "http", "headers": [(b"content-length", b"1001")]}, receive, send)

    assert [message.get("more_body", False) for message in sent] == [False, True, False]
    assert sent[0]["status"] == 413

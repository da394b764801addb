"""Who waits for an answer when the server ends: each is told so, and what they wait for stays until then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI, Response
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import farewell
from shared.app import create_app
from shared.farewell import Farewell, Requests
from shared.health import Readiness
from tests.support.llm import serving

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

HTTP: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


class Inn:
    """A service that keeps its guests waiting; it notes what happens."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.come = anyio.Event()
        self.app = create_app("An inn", Readiness({}), self._open)
        self._add_routes(self.app)

    @asynccontextmanager
    async def _open(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self.seen.append("closed")

    def _add_routes(self, app: FastAPI) -> None:
        @app.get("/waits")
        async def waits() -> None:
            self.come.set()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(100):  # what it has to put away takes a while
                        await checkpoint()
                self.seen.append("left")

        @app.get("/trickles")
        async def trickles() -> Response:
            return StreamingResponse(self._trickle())

    async def _trickle(self) -> AsyncIterator[bytes]:
        yield b"one"
        self.come.set()
        await anyio.sleep_forever()


async def test_who_was_told_nothing_gets_a_503_before_the_service_closes() -> None:
    inn, answers = Inn(), list[httpx.Response]()

    async def ask(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
            answers.append(await client.get("/waits"))

    async with anyio.create_task_group() as tasks, serving(inn.app) as address:
        tasks.start_soon(ask, address)
        await inn.come.wait()

    (answer,) = answers
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"] == {
        "message": "The service is stopping.",
        "type": "server_error",
        "param": None,
        "code": "service_unavailable",
    }
    assert inn.seen == ["left", "closed"]


async def test_who_was_told_a_part_is_cut_where_nobody_tells_the_end() -> None:
    inn, told = Inn(), bytearray()

    async def ask(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
            with suppress(httpx.RemoteProtocolError):
                async with client.stream("GET", "/trickles") as response:
                    async for piece in response.aiter_raw():
                        told.extend(piece)
                told.extend(b" and an end")

    async with anyio.create_task_group() as tasks, serving(inn.app) as address:
        tasks.start_soon(ask, address)
        await inn.come.wait()

    assert bytes(told) == b"one"


async def cancelled(app: ASGIApp) -> tuple[list[Message], bool]:
    """What an app says that is cancelled while it waits, and whether the cancel went on."""
    sent, has_gone_on = list[Message](), True

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async with anyio.create_task_group() as tasks:

        async def serve() -> None:
            nonlocal has_gone_on
            await Farewell(app, Requests())(HTTP, receive, send)
            has_gone_on = False

        tasks.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return sent, has_gone_on


async def test_an_answer_whose_end_was_told_amid_the_cancel_is_whole() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        try:
            await receive()
        finally:
            await send({"type": "http.response.body", "body": b"the end"})

    sent, has_gone_on = await cancelled(app)

    assert ([message.get("body") for message in sent], has_gone_on) == ([None, b"the end"], False)


async def test_an_answer_that_has_begun_gets_no_second_beginning() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await receive()

    assert await cancelled(app) == ([START], True)


async def test_a_request_that_never_ends_holds_up_the_end_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "FAREWELL_S", 0.01)
    requests = Requests()

    with requests.counted():
        async with requests.told():
            pass


async def test_without_requests_nothing_is_waited_for() -> None:
    requests = Requests()
    with requests.counted():
        pass

    with anyio.fail_after(0):  # a wait would be the end
        await requests.until_none()

"""A gateway as a process that is killed and started again on the same port, between stand-ins that live on.

The stand-ins are in the process of the test: ears for numbers, a voice that speaks letter by letter, and a model that
repeats its answer to whoever asks again under the same key.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

import anyio
import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from shared.clock import now_s
from tests.support import own_service
from tests.support.house_processes import free_ports
from tests.support.http_stand_in import HttpStandIn, QuietHandler
from tests.support.mortal import Mortal
from tests.support.replicas import Ears, Narrator, started

BACK_OFF_S = (0.02, 0.04, 0.08)  # between two attempts to reach a gateway; the last one again and again
PIECE_CHARS = 25
NO_RESUME = ("session_not_found", "invalid_message")
Message = dict[str, str]
Event = dict[str, Any]


class _Watched(Mortal):
    """Answers `/ready`, so that a gateway takes it for a service."""

    async def start(self) -> None:
        """Listen, at the port of the last time."""
        self._server = await serve(self._converse, "127.0.0.1", self.port, compression=None, process_request=_ready)
        self.port = self._server.sockets[0].getsockname()[1]


def _ready(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "{}") if request.path == "/ready" else None


class WatchedEars(_Watched, Ears):
    """Ears that a gateway in another process can look at."""


class WatchedNarrator(_Watched, Narrator):
    """The same for a voice."""


class Scribe(HttpStandIn):
    """A model. `write` makes an answer of a question and its number; who repeats a key is told the same again."""

    def __init__(self, write: Callable[[str, int], str], each_s: float = 0.0) -> None:
        self._write = write
        self._lock = Lock()
        self.each_s = each_s  # between two pieces of an answer
        self.prompts: list[list[Message]] = []  # each once, however often it was asked
        self.asked_again = 0
        self.asked_otherwise = 0  # again, and something else
        self._answers: dict[str, tuple[list[Message], str]] = {}
        super().__init__(_Writing)

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self.prompts.clear()
            self._answers.clear()

    def answer(self, key: str, prompt: list[Message]) -> str:
        """What it says to this under that key."""
        with self._lock:
            if key in self._answers:
                self.asked_again += 1
                self.asked_otherwise += self._answers[key][0] != prompt
            else:
                self.prompts.append(prompt)
                self._answers[key] = prompt, self._write(prompt[-1]["content"], len(self.prompts))
            return self._answers[key][1]

    def dismiss(self, key: str) -> None:
        """Nobody will ask again; who does all the same is told something else."""
        with self._lock:
            self._answers.pop(key, None)


class _Writing(QuietHandler):
    def handle(self) -> None:
        """Whoever asks may be killed at any moment."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:  # noqa: N802  # the name is the library's
        self._close(HTTPStatus.OK)

    def do_DELETE(self) -> None:  # noqa: N802  # the name is the library's
        self._stand_in.dismiss(self.headers["Idempotency-Key"])
        self._close(HTTPStatus.NO_CONTENT)

    def do_POST(self) -> None:  # noqa: N802  # the name is the library's
        body = self.rfile.read(length := int(self.headers["Content-Length"]))
        if len(body) < length:
            return  # who asked was killed
        if not self.path.endswith("/chat/completions"):
            return self._close(HTTPStatus.NOT_FOUND)
        prompt = json.loads(body)["messages"]
        text = self._stand_in.answer(self.headers["Idempotency-Key"], prompt)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        for event in _events(text):
            self.wfile.write(event)
            time.sleep(self._stand_in.each_s)

    def _close(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _events(text: str) -> Iterator[bytes]:
    for at in range(0, len(text), PIECE_CHARS):
        yield _event({"delta": {"content": text[at : at + PIECE_CHARS]}})
    yield _event({"delta": {}, "finish_reason": "stop"})
    yield b"data: [DONE]\n\n"


def _event(choice: dict[str, Any]) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n".encode()


class MortalGateway:
    """`python -m gateway` on one port, with one database and one folder of sessions, life after life."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_ports(1)
        self.log = folder / "gateway.log"
        self._settings = settings | {"GATEWAY_PORT": str(self.port)}
        self._life = ExitStack()
        self._began_s = 0.0
        self.reached = anyio.Event()  # in this life, by a client
        self.start_ms: list[float] = []  # from the start of a process until a client was connected

    @contextmanager
    def living(self) -> Iterator[None]:
        """It is alive inside the block, but for the kills."""
        self.start()
        try:
            yield
        finally:
            self._life.close()

    def start(self) -> None:
        """Begin a life; it is not waited for."""
        self._began_s, self.reached = now_s(), anyio.Event()
        with self.log.open("ab") as log:
            self._life.enter_context(own_service.started("gateway", self._settings, stderr=log.fileno()))

    def kill(self) -> None:
        """End it as a crash does, and begin the next life."""
        self._life.close()
        self.start()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        """A connection to it, as soon as there is somebody to connect to."""
        async with await self._connection() as connection:
            yield connection

    async def _connection(self) -> ClientConnection:
        url, attempts = f"ws://127.0.0.1:{self.port}/ws", 0
        while True:
            try:
                connection = await connect(url, compression=None, proxy=None, max_size=None)
            except (OSError, TimeoutError, WebSocketException):
                await anyio.sleep(BACK_OFF_S[min(attempts, len(BACK_OFF_S) - 1)])
                attempts += 1
                continue
            if not self.reached.is_set():
                self.start_ms.append(1000 * (now_s() - self._began_s))
                self.reached.set()
            return connection

    async def turns(self, session_id: str) -> list[Event]:
        """What it kept of a conversation; nothing of one that it does not know."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"http://127.0.0.1:{self.port}/v1/conversations/{session_id}")
        turns: list[Event] = answer.json()["turns"] if answer.is_success else []
        return turns

    async def resume(self, connection: ClientConnection, **place: object) -> Event:
        """Ask for a session, and wait for its `ready`, or for the error that says why not."""
        await connection.send(json.dumps({"type": "resume", **place}))
        while True:
            told: Event = json.loads(await connection.recv())
            if told.get("resumed") or told.get("code") in NO_RESUME:
                return told  # what came before is of the session that was not wanted

    @property
    def complaints(self) -> list[str]:
        """What its lives wrote down as errors."""
        return self.log.read_text().splitlines()


@asynccontextmanager
async def mortal_gateway(folder: Path, scribe: Scribe, **settings: str) -> AsyncIterator[MortalGateway]:
    """A gateway between its stand-ins."""
    async with started(WatchedEars()) as asr_url, started(WatchedNarrator(at_once=True)) as tts_url:
        wanted = {
            "GATEWAY_ASR_URL": asr_url,
            "GATEWAY_LLM_URL": scribe.url.removesuffix("/v1"),
            "GATEWAY_TTS_URL": tts_url,
            "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/parley.db",
            "GATEWAY_SESSIONS_DIR": f"{folder}/sessions",
            "GATEWAY_LEAD_MS": "30000",
            "GATEWAY_MAX_SESSIONS": "50",
            "GATEWAY_DEGRADES_TO": "full",
            "GATEWAY_LOG_LEVEL": "ERROR",
            "GATEWAY_MEMORY": "false",  # what comes to mind of other sessions would depend on their order
        }
        gateway = MortalGateway(folder, wanted | settings)
        with scribe.running(), gateway.living():
            yield gateway

"""Files sent whole to the asr_service, over HTTP or as a server would hand them on, and what comes back."""

import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from anyio import to_thread
from starlette.testclient import TestClient
from starlette.types import Message

from asr_service.app import build_app
from asr_service.core.endpointer import EndpointerParams
from asr_service.detectors import Detectors
from asr_service.engines.base import Engine
from asr_service.engines.fake import Line
from asr_service.hearing import Hearing
from asr_service.scheduler import DecodeScheduler
from asr_service.settings import AsrSettings
from asr_service.transcriptions import TranscriptionResponse, Transcriptions
from tests.support.speech import cut, silence, tone

PATH = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
MS = 16  # samples
WORDS = (Line(200 * MS, "one"), Line(400 * MS, "one two"), Line(700 * MS, "one two three"))
UTTERANCE = silence(500) + tone(1_000) + silence(1_000)
TWO_UTTERANCES = UTTERANCE + tone(500)


def client_of(made: Engine | None = None, **settings: Any) -> TestClient:
    """A service on the engine that is given, else on the one that the settings name."""
    return TestClient(build_app(AsrSettings(**settings), (lambda: made) if made else None))


def is_ready(client: TestClient) -> None:
    """Until the service is ready; the test's own timeout is the limit."""
    while client.get("/ready").status_code != 200:
        pass


def sent(client: TestClient, file: bytes, name: str = "speech.wav", path: str = PATH, **fields: Any) -> Any:
    """The answer to a file; `fields` with a list are sent as OpenAI's clients send lists."""
    form = {f"{key}[]" if isinstance(value, list) else key: value for key, value in fields.items()}
    return client.post(path, files={"file": (name, file)}, data=form)


def error_of(answer: Any) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal; its shape is OpenAI's."""
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].endswith(".")
    assert "Traceback" not in answer.text
    return answer.status_code, body["error"]["code"], body["error"]["param"]


def events_of(text: str) -> list[dict[str, Any]]:
    """What a stream of events says; one that was not cut off by an error ends with a mark."""
    *blocks, end = text.split("\n\n")
    assert end == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    told = [block.removeprefix("data: ") for block in blocks]
    events = [json.loads(one) for one in told if one != "[DONE]"]
    assert (told[-1] == "[DONE]") != ("error" in events[-1])
    assert len(told) - len(events) <= 1
    return events


class Caller:
    """Sends a file and reads the answer, as a server would for a client that may leave."""

    def __init__(self, file: bytes, **fields: str) -> None:
        request = httpx.Request("POST", f"http://asr{PATH}", files={"file": file}, data=fields)
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        self.scope: dict[str, Any] = {"type": "http", "headers": headers}
        self._parts = cut(request.read(), 100_000)
        self._left = anyio.Event()
        self.is_sending = anyio.Event()
        self.may_send = anyio.Event()
        self.may_send.set()
        self.told: list[Message] = []
        self.is_gone = False

    def leave(self) -> None:
        self._left.set()
        self.may_send.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_of(self.text)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.told).decode()

    async def receive(self) -> Message:
        self.is_sending.set()
        await self.may_send.wait()
        if self._parts and not self._left.is_set():
            return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.is_gone:
            raise OSError("the connection is gone")
        self.told.append(message)

    async def call(self, transcriptions: Transcriptions) -> None:
        await TranscriptionResponse(transcriptions, is_translation=False)(self.scope, self.receive, self.send)


def served(scheduler: DecodeScheduler, **settings: Any) -> Transcriptions:
    return Transcriptions(AsrSettings(**settings), scheduler, lambda: Hearing(EndpointerParams(), Detectors()))


class Gate:
    """Holds the steps of an engine, from `close` to `open`, on their threads."""

    def __init__(self) -> None:
        self.is_held = threading.Event()
        self._may_go = threading.Event()
        self._may_go.set()

    def close(self) -> None:
        self._may_go.clear()

    def open(self) -> None:
        self._may_go.set()

    def step(self) -> None:
        if not self._may_go.is_set():
            self.is_held.set()
            self._may_go.wait()


@asynccontextmanager
async def held(caller: Caller, transcriptions: Transcriptions, gate: Gate) -> AsyncIterator[None]:
    """While the first step of `caller`'s file is being decoded; when the block is left, `caller` has its answer."""
    gate.close()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.call, transcriptions)
        try:
            await to_thread.run_sync(gate.is_held.wait, abandon_on_cancel=True)
            yield
        finally:
            gate.open()

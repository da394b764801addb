"""A canned answer behind real HTTP on loopback: for tests and benchmarks, never a default.

Its delays are exact because they are events: `Canned.gates` holds an answer back before one of its texts. A test may
put any other script in the place of `answer`, a hostile one too.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from llm_service.engines.base import Manner, Target
from llm_service.settings import LlmSettings
from shared.health import READY

_HEAD_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, and the way to answer it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    stream: SocketStream

    async def begin(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """The status line and headers; the body ends when the connection does."""
        lines = [f"HTTP/1.1 {status} Canned", f"Content-Type: {kind}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def event(self, payload: object) -> None:
        """One server-sent event; an object is sent as JSON."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        await self.stream.send(f"data: {text}\n\n".encode())

    async def tell(self, status: int, body: object, **headers: str) -> None:
        """A whole answer in JSON, such as a refusal."""
        await self.begin(status, "application/json", **headers)
        await self.stream.send(json.dumps(body).encode())


Script = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Canned:
    """The script of a well-behaved server: some texts, each after its gate."""

    texts: tuple[str, ...] = ("This", " is", " a", " canned", " answer", ".")
    context_tokens: int = 1024
    gates: Mapping[int, anyio.Event] = field(default_factory=dict)

    async def __call__(self, exchange: Exchange) -> None:
        prompt_tokens = sum(len(message["content"].split()) for message in exchange.body["messages"])
        if prompt_tokens > self.context_tokens:
            await exchange.tell(400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": ""}})
            return
        await exchange.begin()
        await exchange.event(_chunk({"role": "assistant", "content": None}))
        for index, text in enumerate(self.texts):
            if gate := self.gates.get(index):
                await gate.wait()
            await exchange.event(_chunk({"content": text}))
        await exchange.event(_chunk({}, "stop"))
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(self.texts)}
        await exchange.event({"choices": [], "usage": usage})
        await exchange.event("[DONE]")


class FakeEngine:
    """A server of scripts behind the Engine protocol. Counts its connections; `cut_short` counts clients that left."""

    name = "fake"

    def __init__(self, answer: Script, manner: Manner | None = None) -> None:
        self.answer = answer
        self.listing: Script = _list_models
        self.manner = manner or Manner(model=None)
        self.cut_short = 0
        self._connections = 0
        self._changed = anyio.Event()
        self._target: Target | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not a database's
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._serve, name="fake upstream")
            self._target = Target(f"http://127.0.0.1:{port}/v1", {})
            try:
                yield
            finally:
                self._target = None
            tasks.cancel_scope.cancel()

    async def target(self, within_s: float) -> Target | None:
        """Where it answers."""
        return self._target

    async def readiness(self) -> str:
        """Always ready."""
        return READY

    async def until(self, is_so: Callable[["FakeEngine"], bool]) -> None:
        """Wait for a state of its counts."""
        while not is_so(self):
            await self._changed.wait()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._connections

    def _count(self, change: int) -> None:
        self._connections += change
        self._changed.set()
        self._changed = anyio.Event()

    async def _serve(self, stream: SocketStream) -> None:
        self._count(1)
        try:
            async with stream:
                self.cut_short += not await self._exchange(stream)
        finally:
            self._count(-1)

    async def _exchange(self, stream: SocketStream) -> bool:
        """Whether the client stayed to the end."""
        has_ended = False
        async with anyio.create_task_group() as tasks:
            try:
                exchange = await _read(stream)
                tasks.start_soon(_cancel_when_gone, stream, tasks.cancel_scope)
                await (self.listing(exchange) if exchange.method == "GET" else self.answer(exchange))
                has_ended = True
            except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
                pass
            tasks.cancel_scope.cancel()
        return has_ended


async def _read(stream: SocketStream) -> Exchange:
    buffered = BufferedByteReceiveStream(stream)
    head = (await buffered.receive_until(b"\r\n\r\n", _HEAD_LIMIT_BYTES)).decode("latin-1")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    body = await buffered.receive_exactly(int(headers.get("content-length", "0")))
    method, path, _ = head.split(" ", 2)
    return Exchange(method, path, headers, json.loads(body or b"{}"), stream)


async def _list_models(exchange: Exchange) -> None:
    await exchange.tell(200, {"object": "list", "data": [{"id": "canned", "object": "model"}]})


async def _cancel_when_gone(stream: SocketStream, scope: anyio.CancelScope) -> None:
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        scope.cancel()


def _chunk(delta: Mapping[str, str | None], finish_reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def load(settings: LlmSettings) -> FakeEngine:
    """A server that gives the canned answer to everything."""
    return FakeEngine(Canned(context_tokens=settings.context_tokens))

"""Serve an app on loopback, read chat completions from it as a client does, and play servers behind it."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from llm_service.app import assemble
from llm_service.engines.base import Engine
from llm_service.engines.fake import Exchange, Script
from llm_service.settings import LlmSettings

HELLO = [{"role": "user", "content": "Hello, how are you?"}]
DONE = "[DONE]"
TOOL_TEMPLATE = Path(__file__).with_name("tool_template.jinja")  # ChatML that knows tools


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The address at which the app is served inside the block. Small writes go out at once, as outside of tests."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        await server.is_up.wait()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True


@asynccontextmanager
async def talking_to(engine: Engine, settings: LlmSettings | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service around an engine."""
    app = assemble(settings or LlmSettings(engine="fake"), engine)
    async with serving(app) as address, httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
        yield client


async def streamed(client: httpx.AsyncClient, **fields: Any) -> list[str]:
    """The payloads of a streamed answer, `[DONE]` too."""
    body = {"messages": HELLO, "stream": True, **fields}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        await check_ok(response)
        return [payload async for payload in payloads(response)]


async def payloads(response: httpx.Response) -> AsyncIterator[str]:
    """Each event's payload, when it comes."""
    async for line in response.aiter_lines():
        if line:
            assert line.startswith("data: "), line
            yield line.removeprefix("data: ")


async def check_ok(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise AssertionError(f"{response.status_code}: {(await response.aread()).decode()}")


def text_of(events: list[str]) -> str:
    """The whole answer."""
    deltas = [choice["delta"].get("content", "") for event in loaded(events) for choice in event.get("choices", [])]
    return "".join(deltas)


def loaded(events: list[str]) -> list[dict[str, Any]]:
    """The JSON of the events."""
    return [json.loads(event) for event in events if event != DONE]


def sample(name: str, **labels: str) -> float:
    """A figure of this process's metrics; 0 before it was counted first."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def delta(text: str) -> dict[str, Any]:
    """A chunk with text."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def says(*events: object) -> Script:
    """A server that sends these events and ends the connection."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        for event in events:
            await exchange.event(event)

    return script


def sends(*pieces: bytes) -> Script:
    """A server that sends these bytes and ends the connection."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.stream.send(piece)

    return script


def stalls(*events: object) -> Script:
    """A server that sends these events and then nothing, without an end."""

    async def script(exchange: Exchange) -> None:
        await says(*events)(exchange)
        await anyio.sleep_forever()

    return script


def refuses(status: int, body: object, **headers: str) -> Script:
    """A server that gives this status and body."""

    async def script(exchange: Exchange) -> None:
        await exchange.tell(status, body, **headers)

    return script

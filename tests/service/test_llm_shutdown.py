"""A SIGTERM in the middle of answers: each client is told, in its own form, that it may ask again."""

import json
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from llm_service.engines.fake import FakeEngine
from tests.support.house_processes import free_ports
from tests.support.llm import HELLO, check_ok, delta, payloads, stalls
from tests.support.own_service import started

pytestmark = [pytest.mark.service, pytest.mark.anyio]

CHAT, COMPLETIONS, PLAIN = "/v1/chat/completions", "/v1/completions", "/llm"
STOPPING = {"type": "server_error", "param": None, "code": "service_unavailable"}


@dataclass
class Running:
    """The service as a process of its own, and the model's server that it asks."""

    process: subprocess.Popen[bytes]
    client: httpx.AsyncClient
    server: FakeEngine

    async def until_ready(self) -> None:
        """Ask until it is; the test's own limit is the limit."""
        while True:
            assert self.process.poll() is None, "the service has ended"
            try:
                if (await self.client.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                await checkpoint()

    def stop(self) -> None:
        """As an operator does."""
        self.process.send_signal(signal.SIGTERM)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    server, port = FakeEngine(stalls(delta("half"))), str(free_ports(1))
    async with server.running():
        target = await server.target(0)
        assert target is not None
        settings = {"LLM_PORT": port, "LLM_ENGINE": "openai", "LLM_UPSTREAM_URL": target.address}
        settings |= {"LLM_SHUTDOWN_GRACE_S": "1", "LLM_IDLE_TIMEOUT_S": "60"}
        with started("llm_service", settings, subprocess.PIPE) as process:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                found = Running(process, client, server)
                await found.until_ready()
                yield found


@dataclass
class Heard:
    """What one client got."""

    status: int
    retry_after: str | None
    events: list[dict[str, Any]]


async def listen(one: Running, path: str, body: dict[str, Any], **headers: str) -> Heard:
    """Read an answer to its end, whole or streamed."""
    async with one.client.stream("POST", path, json=body, headers=headers) as response:
        if not body.get("stream"):
            events = [json.loads(await response.aread())]
        else:
            await check_ok(response)
            events = [json.loads(event) async for event in payloads(response)]
        return Heard(response.status_code, response.headers.get("retry-after"), events)


ASKED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    (CHAT, {"messages": HELLO}, {}),
    (PLAIN, {"messages": HELLO}, {}),
    (CHAT, {"messages": HELLO}, {"Idempotency-Key": "whole"}),
    (CHAT, {"messages": HELLO, "stream": True}, {}),
    (CHAT, {"messages": HELLO, "stream": True}, {"Idempotency-Key": "told"}),
    (COMPLETIONS, {"prompt": "once"}, {}),
]


async def test_who_waits_is_told_that_the_service_ends(running: Running) -> None:
    heard: dict[int, Heard] = {}

    async def ask(place: int) -> None:
        path, body, headers = ASKED[place]
        heard[place] = await listen(running, path, body, **headers)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for place in range(len(ASKED)):
                tasks.start_soon(ask, place)
            await running.server.until(lambda server: server.connections == len(ASKED))
            running.stop()
        await running.server.until(lambda server: server.connections == 0)
    _, complaints = running.process.communicate(timeout=30)

    for place, (_, body, _) in enumerate(ASKED):
        *told, last = heard[place].events
        assert {**last["error"], "message": None} == {**STOPPING, "message": None}
        if body.get("stream"):
            assert [event["choices"][0]["delta"].get("content") for event in told] == ["", "half"]
        else:
            assert (heard[place].status, heard[place].retry_after, told) == (503, "1", [])
    assert b"Exception in ASGI application" not in complaints
    assert running.process.returncode in (0, -signal.SIGTERM)

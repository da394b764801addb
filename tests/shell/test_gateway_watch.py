"""Looking at replicas: which are ready, which are back, and who is told when none answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas
from gateway.watch import LOADING, SILENT, ServiceWatch
from shared.health import READY

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

Conditions = dict[str, int | None]


async def nowhere(_: str, __: int) -> list[str]:
    """A name service that knows no name."""
    return []


class Looked(httpx.AsyncBaseTransport):
    """Replicas that answer a look with these statuses, by host; None does not answer."""

    def __init__(self, **statuses: int | None) -> None:
        self.statuses: Conditions = statuses
        self.looks: list[str] = []
        self._changed = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.looks.append(str(request.url))
        self._changed.set()
        self._changed = anyio.Event()
        status = self.statuses[request.url.host]
        if status is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, content=json.dumps({}))

    async def rounds(self, count: int = 2) -> None:
        """Until each that is looked at was looked at again so often, so that what the looks before showed is known."""
        seen = len(self.looks)
        while len(self.looks) < seen + count:
            await self._changed.wait()


@asynccontextmanager
async def watching(
    looked: Looked, monkeypatch: pytest.MonkeyPatch, *services: Replicas
) -> AsyncIterator[tuple[ServiceWatch, list[str]]]:
    """A watch that looks as fast as it can, and the outages that it tells."""
    plain = httpx.AsyncClient
    monkeypatch.setattr("gateway.watch.EVERY_S", 0.001)
    monkeypatch.setattr("gateway.watch.FIND_EVERY_S", 0.001)
    monkeypatch.setattr("gateway.watch.httpx.AsyncClient", lambda **_: plain(transport=looked))
    watch, outages = ServiceWatch(services), list[str]()
    async with anyio.create_task_group() as tasks:
        with watch.told(outages.append):
            tasks.start_soon(watch.run)
            yield watch, outages
            tasks.cancel_scope.cancel()


async def until(watch: ServiceWatch, state: str) -> None:
    """The test's own timeout is the limit."""
    while await watch.check("asr_service")() != state:
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ({"a": 200, "b": None}, READY),
        ({"a": 503, "b": 200}, READY),
        ({"a": 503, "b": None}, LOADING),
        ({"a": None, "b": None}, SILENT),
    ],
)
async def test_a_service_is_as_well_as_its_best_replica(
    statuses: Conditions, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = Looked(**statuses)
    async with watching(looked, monkeypatch, Replicas("asr_service", "ws://a ws://b", nowhere)) as (watch, outages):
        assert await watch.check("asr_service")() == LOADING
        await looked.rounds(2)
        await until(watch, state)

    assert {"http://a/ready", "http://b/ready"} <= set(looked.looks)
    assert outages == []


async def test_an_outage_is_told_once_when_the_last_replica_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(a=200, b=200)
    replicas = Replicas("asr_service", "ws://a ws://b", nowhere)
    async with watching(looked, monkeypatch, replicas) as (watch, outages):
        await until(watch, READY)
        looked.statuses["a"] = None
        await looked.rounds(5)
        looked.statuses["b"] = 503  # it lives
        await until(watch, LOADING)
        await looked.rounds(5)
        assert outages == []
        looked.statuses["b"] = None
        await until(watch, SILENT)
        while replicas.due():
            await anyio.lowlevel.checkpoint()
        await watch_is_quiet(outages)

    assert outages == ["asr_service"]


async def watch_is_quiet(outages: list[str]) -> None:
    while not outages:
        await anyio.lowlevel.checkpoint()


async def test_one_that_failed_in_use_is_back_when_a_look_finds_it_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(a=200)
    replicas = Replicas("asr_service", "ws://a", nowhere)
    async with watching(looked, monkeypatch, replicas) as (watch, outages):
        await until(watch, READY)
        replicas.lose("ws://a")
        assert replicas.conditions == {"ws://a": Condition.LOST}
        await until(watch, READY)

    assert outages == []


async def test_names_are_looked_up_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object) -> list[str]:
        hosts.append(f"10.0.0.{len(hosts) + 1}")
        return list(hosts)

    hosts: list[str] = []
    looked = Looked(voices=503, **{f"10.0.0.{number}": 503 for number in range(1, 1_000)})
    replicas = Replicas("tts_service", "ws://voices", resolve)
    async with watching(looked, monkeypatch, replicas):
        while len(replicas) < 4:
            await anyio.lowlevel.checkpoint()

    assert list(replicas.conditions)[:2] == ["ws://10.0.0.1", "ws://10.0.0.2"]


def test_a_service_that_is_not_watched_is_reached_at_its_urls() -> None:
    watched = Replicas("asr_service", "ws://a")
    watch = ServiceWatch([watched])

    assert watch.replicas("asr_service", "ws://b") is watched
    assert list(watch.replicas("tts_service", "ws://b").conditions) == ["ws://b"]

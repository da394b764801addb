"""Stores of runs for tests: in memory and in a Redis that the test starts, one or two replicas; answers to be made."""

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotYet

from llm_service.core.idempotency import IdempotencyParams
from llm_service.memory_runs import MemoryRuns
from llm_service.redis_runs import RedisRuns
from llm_service.runs import Claim, RunLimits, Runs, Signal
from shared.errors import ParleyError
from tests.support.house_processes import free_ports

SMALL = IdempotencyParams(life_s=600, max_running=60, max_entries=100, max_bytes=10_000, max_entry_bytes=1000)
LASTING = RunLimits(grace_s=600, run_s=600)
HASTY = RunLimits(grace_s=0, run_s=600)
PIECES = (b"one ", b"two ", b"three")
CLAIM = Claim("key", "fingerprint")


class Making:
    """An answer that can be made again and again, held back before one of its pieces, and failed at its end."""

    def __init__(self, *pieces: bytes, held_at: int | None = None, failure: Exception | None = None) -> None:
        self.pieces = pieces or PIECES
        self.gate = anyio.Event()
        self.calls = 0
        self.running = 0
        self._held_at = held_at
        self._failure = failure
        self._changed = anyio.Event()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        self._count(1)
        try:
            async with aclosing(self._made()) as pieces:
                yield pieces
        finally:
            self._count(-1)

    async def until(self, is_so: Callable[["Making"], bool]) -> None:
        """Wait for a state of its counts."""
        while not is_so(self):
            await self._changed.wait()

    async def _made(self) -> AsyncGenerator[bytes, None]:
        for index, piece in enumerate(self.pieces):
            if index == self._held_at:
                await self.gate.wait()
            yield piece
        if self._held_at is not None and self._held_at >= len(self.pieces):
            await self.gate.wait()
        if self._failure:
            raise self._failure

    def _count(self, change: int) -> None:
        self.calls += change > 0
        self.running += change
        self._changed.set()
        self._changed = anyio.Event()


@dataclass
class Told:
    """What one client got."""

    body: bytes = b""
    is_replayed: bool | None = None
    failure: ParleyError | None = None
    begun: anyio.Event = field(default_factory=anyio.Event)
    more: Signal = field(default_factory=Signal)


async def ask(runs: Runs, making: Making, claim: Claim = CLAIM, told: Told | None = None) -> Told:
    """Read an answer to its end."""
    told = told or Told()
    try:
        async with runs.reading(claim, making) as reading:
            told.is_replayed = reading.is_replayed
            async for piece in reading.pieces:
                told.body += piece
                told.begun.set()
                told.more.give()
    except ParleyError as failure:
        told.failure = failure
    return told


@dataclass
class Stores:
    """Two replicas, or one twice; `expire` lets the life of kept answers pass."""

    one: Runs
    other: Runs
    expire: Callable[[], None]


@asynccontextmanager
async def in_memory(params: IdempotencyParams, limits: RunLimits) -> AsyncIterator[Stores]:
    """One replica without Redis."""
    now_s = [0.0]

    def expire() -> None:
        now_s[0] += params.life_s

    runs = MemoryRuns(params, limits, lambda: now_s[0])
    async with runs.opened():
        yield Stores(runs, runs, expire)


@asynccontextmanager
async def in_redis(
    url: str, params: IdempotencyParams, limits: RunLimits, replicas: int, lock_s: float = 10.0
) -> AsyncIterator[Stores]:
    """Replicas that share a Redis, which is emptied first."""
    with Redis.from_url(url) as client:
        client.flushall()

        def expire() -> None:
            for key in client.scan_iter():
                assert 0 < client.pttl(key) <= 1000 * params.life_s + 10_000, key
                client.delete(key)

        one = RedisRuns(url, params, limits, lock_s)
        other = RedisRuns(url, params, limits, lock_s) if replicas > 1 else one
        async with one.opened():
            if other is one:
                yield Stores(one, one, expire)
                return
            async with other.opened():
                yield Stores(one, other, expire)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of a Redis of its own. Where none is installed, CI fails and others skip."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    port = free_ports(1)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            with Redis(port=port) as client:
                while not _answers(client):
                    assert server.poll() is None, "redis-server has ended"
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except NotYet:
        return False

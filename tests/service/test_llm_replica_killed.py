"""Two replicas as processes of their own with one Redis: one is killed in the middle of an answer that has a key."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from llm_service.engines.fake import Canned, Exchange, FakeEngine
from tests.support.house_processes import free_ports
from tests.support.llm import DONE, HELLO, check_ok, delta, payloads, says
from tests.support.llm_runs import redis_server
from tests.support.own_service import started

pytestmark = [pytest.mark.service, pytest.mark.anyio]

CHAT = "/v1/chat/completions"
LOST = "half of an answer"
LOCK_S = 1  # how long the key of a dead replica stays taken
JOINED, REPLAYED = (f'parley_llm_idempotency_total{{outcome="{outcome}"}} 1.0' for outcome in ("join", "replay"))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Upstream(FakeEngine):
    """The model's server: it stalls in the middle of its first answer, and gives every later one whole."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.asked = 0
        self.stalled = anyio.Event()

    async def _script(self, exchange: Exchange) -> None:
        self.asked += 1
        if self.asked > 1:
            return await Canned()(exchange)
        await says(delta(LOST))(exchange)
        self.stalled.set()
        await anyio.sleep_forever()


@dataclass
class Replica:
    """A process of the service."""

    process: subprocess.Popen[bytes]
    client: httpx.AsyncClient

    async def ask(self, **fields: Any) -> httpx.Response:
        return await self.client.post(CHAT, json={"messages": HELLO, **fields}, headers={"Idempotency-Key": "k"})

    async def counts(self, sample: str) -> bool:
        """Whether its metrics have this line."""
        return sample in (await self.client.get("/metrics")).text

    async def until_ready(self) -> None:
        """Ask until it is; the test's own limit is the limit."""
        while True:
            assert self.process.poll() is None, "the replica has ended"
            try:
                if (await self.client.get("/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                await checkpoint()

    def kill(self) -> int:
        """End it as a crash does; its exit status."""
        self.process.kill()
        return self.process.wait()


@asynccontextmanager
async def replica(redis: str, upstream: str) -> AsyncIterator[Replica]:
    port = str(free_ports(1))
    settings = {
        "LLM_PORT": port,
        "LLM_ENGINE": "openai",
        "LLM_UPSTREAM_URL": upstream,
        "LLM_REDIS_URL": redis,
        "LLM_REDIS_LOCK_S": str(LOCK_S),
    }
    with started("llm_service", settings) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield Replica(process, client)


@dataclass
class House:
    """Two replicas, and the server that both ask."""

    mortal: Replica
    other: Replica
    upstream: Upstream


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    upstream = Upstream()
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        async with upstream.running():
            target = await upstream.target(0)
            assert target is not None
            async with replica(redis, target.address) as mortal, replica(redis, target.address) as other:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(mortal.until_ready)
                    tasks.start_soon(other.until_ready)
                yield House(mortal, other, upstream)


@dataclass
class Left:
    """What the client of a replica heard before that was killed."""

    events: list[str] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)
    failure: httpx.TransportError | None = None

    async def stream_from(self, one: Replica) -> None:
        asked: dict[str, Any] = {"json": {"messages": HELLO, "stream": True}, "headers": {"Idempotency-Key": "k"}}
        try:
            async with one.client.stream("POST", CHAT, **asked) as response:
                await check_ok(response)
                async for event in payloads(response):
                    self.events.append(event)
                    if LOST in event:
                        self.begun.set()
        except httpx.TransportError as failure:
            self.failure = failure

    async def ask(self, one: Replica) -> None:
        try:
            await one.ask()
        except httpx.TransportError as failure:
            self.failure = failure


def is_broken_off(answer: httpx.Response) -> bool:
    """Whether it says that who made the answer has gone; a client asks again then."""
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) >= 1
        return True
    return answer.status_code == 200 and '"service_unavailable"' in answer.text


async def until_answered(house: House, **fields: Any) -> httpx.Response:
    """Ask the replica that lives until the key of the dead one is free; each try waits there, none sleeps here."""
    while is_broken_off(answer := await house.other.ask(**fields)):
        assert house.upstream.asked == 1
    return answer


async def check_kept(house: House, answer: httpx.Response, **fields: Any) -> None:
    """Ask again until the answer comes from what was kept; just after its last byte it may be joined still."""
    while not await house.other.counts(REPLAYED):
        again = await house.other.ask(**fields)
        assert (again.content, again.headers.get("Idempotent-Replayed")) == (answer.content, "true")


async def test_the_key_of_a_replica_that_was_killed_is_answered_by_another_one_and_kept(house: House) -> None:
    left = Left()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.ask, house.mortal)
        await house.upstream.stalled.wait()
        assert house.mortal.kill() < 0

    answer = await until_answered(house)
    await check_kept(house, answer)

    assert left.failure is not None
    assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (200, None)
    assert answer.json()["choices"][0]["message"]["content"] == "This is a canned answer."
    assert house.upstream.asked == 2


async def test_nothing_of_a_stream_that_was_killed_is_in_the_stream_that_takes_its_place(house: House) -> None:
    left = Left()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.stream_from, house.mortal)
        await left.begun.wait()
        assert house.mortal.kill() < 0

    answer = await until_answered(house, stream=True)
    await check_kept(house, answer, stream=True)

    assert left.failure is not None
    assert DONE not in left.events
    assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (200, None)
    assert (answer.text.count(LOST), answer.text.count(f"data: {DONE}")) == (0, 1)
    assert house.upstream.asked == 2


async def test_who_waits_elsewhere_for_the_answer_of_a_replica_that_is_killed_is_told_to_ask_again(
    house: House,
) -> None:
    left, heard = Left(), list[httpx.Response]()

    async def wait_elsewhere() -> None:
        heard.append(await house.other.ask())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(left.ask, house.mortal)
        await house.upstream.stalled.wait()
        tasks.start_soon(wait_elsewhere)
        while not await house.other.counts(JOINED):
            assert not heard
        assert house.mortal.kill() < 0

    assert is_broken_off(heard[0])
    assert heard[0].json()["error"]["code"] == "service_unavailable"
    assert (await until_answered(house)).status_code == 200
    assert house.upstream.asked == 2

"""A gateway that is full: those who came late are told so at once, and those who talk notice nothing of them."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.whole_house import Caller, WholeHouse, whole_house

pytestmark = [pytest.mark.service, pytest.mark.anyio]

ANSWER = "Five can talk here. Whoever comes later is told to wait until one of them has left the room."
MOST = 5


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholeHouse]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with whole_house(folder, ANSWER, replicas=1, GATEWAY_MAX_SESSIONS=str(MOST)) as started:
        yield started


@dataclass
class Told:
    """What a connection was told until it was closed, or until the first message where it was not."""

    messages: list[dict[str, Any]]
    close_code: int | None
    took_s: float


async def connected(house: WholeHouse, stay: Callable[[], Any] | None = None) -> Told:
    """A connection to the gateway that reads; one that is taken stays as long as told, and leaves."""
    began_s = anyio.current_time()
    address = f"ws://{house.gateway.address}/ws"
    async with connect(address, compression=None, proxy=None, max_size=None) as connection:
        told = Told([json.loads(await connection.recv())], None, anyio.current_time() - began_s)
        if told.messages[0]["type"] == "ready":
            await (stay or checkpoint)()
            return told
        try:
            while True:
                told.messages.append(json.loads(await connection.recv()))
        except ConnectionClosed:
            told.close_code = connection.close_code
    return told


async def until_open(house: WholeHouse, count: int) -> None:
    """Until so many clients are connected."""
    while await house.figure(house.gateway, "parley_sessions", service="gateway") != count:
        await checkpoint()


async def calls(house: WholeHouse) -> tuple[float, int, list[str], float]:
    """What was asked of the services so far."""
    (recogniser,), (voice,) = house.replicas["asr"], house.replicas["tts"]
    streams = [await house.figure(one, "parley_sessions") for one in (recogniser, voice)]
    return streams[0], house.model.asked, house.voice.asked.copy(), streams[1]


def answer_of(caller: Caller) -> tuple[list[tuple[str, int]], bytes, list[tuple[str, str]]]:
    """Segments, audio and end of its answer."""
    segments = list(zip(caller.of("segment", "text"), caller.of("segment", "start_ms"), strict=True))
    done = list(zip(caller.of("reply_done", "text"), caller.of("reply_done", "finish_reason"), strict=True))
    return segments, caller.audio, done


async def test_one_too_many_is_refused_at_once_and_the_others_finish_undisturbed(house: WholeHouse) -> None:
    await until_open(house, 0)
    async with house.call() as alone:
        await alone.send(type="text", text="hello")
        await alone.see("reply_done")
    await until_open(house, 0)

    house.model.gate = anyio.Event()
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(house.call()) for _ in range(MOST)]
        for caller in callers:
            await caller.send(type="text", text="hello")
            await caller.see("segment")
        before = await calls(house)
        refused = await connected(house)
        after = await calls(house)
        house.model.gate.set()
        for caller in callers:
            await caller.see("reply_done")
    house.model.gate = None
    print(f"refused after {refused.took_s * 1000:.1f} ms")

    (told,) = refused.messages
    assert (told["type"], told["code"], told["service"]) == ("error", "too_many_sessions", "gateway")
    assert (told["retryable"], told["retry_after_ms"] > 0, refused.close_code) == (True, True, 1013)
    assert after == before
    segments, audio, done = answer_of(alone)
    assert " ".join(text for text, _ in segments) == ANSWER
    assert (done, len(audio) > 0) == ([(ANSWER, "stop")], True)
    assert [answer_of(caller) for caller in callers] == [(segments, audio, done)] * MOST


async def test_when_one_leaves_another_one_is_taken(house: WholeHouse) -> None:
    await until_open(house, 0)
    async with AsyncExitStack() as stack:
        for _ in range(MOST - 1):
            await stack.enter_async_context(house.call())
        async with house.call():
            assert (await connected(house)).messages[0]["type"] == "error"
        await until_open(house, MOST - 1)
        async with house.call() as taken:
            await taken.send(type="text", text="hello")
            done = await taken.see("reply_done")
            assert (await connected(house)).messages[0]["type"] == "error"

    assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")


async def test_of_fifty_that_come_at_once_as_many_are_taken_as_there_are_places(house: WholeHouse) -> None:
    await until_open(house, 0)
    told: list[Told] = []
    taken: list[float] = []
    all_told = anyio.Event()

    async def stay() -> None:
        taken.append(anyio.current_time())
        await all_told.wait()

    async def come() -> None:
        told.append(await connected(house, stay))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(come)
        while len(told) + len(taken) < 50:
            await checkpoint()
        await until_open(house, len(taken))
        all_told.set()

    kinds = Counter((one.messages[0]["type"], one.messages[0].get("code"), one.close_code) for one in told)
    assert kinds == {("ready", None, None): MOST, ("error", "too_many_sessions", 1013): 50 - MOST}
    assert {len(one.messages) for one in told} == {1}
    await until_open(house, 0)
    async with house.call() as one:
        await one.send(type="ping")
        await one.see("pong")

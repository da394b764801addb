"""A session whose connection is cut anywhere: nothing is lost or doubled, and the history is that of an uncut one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.gateway_house import TestHouse, open_house
from tests.support.replicas import Ears, Narrator, spoken, started
from tests.support.traveller import Traveller

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = " ".join(["Hello there my friend. It is a fine day. How are you?"] * 3)
WORD = 1_600  # samples
SILENCE = bytes(2 * 3_200)
SPEECH = SILENCE + b"".join(word.to_bytes(2, "little") * WORD for word in (1, 2, 3)) + SILENCE
HEARD_MS = 900  # of an answer of 1.3 s: far beyond what the clock alone would count while a test runs
WHOLE_MS = 10_000

Drive = Callable[[Traveller], Awaitable[None]]
Between = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """What of a session must not depend on how often it was cut."""

    types: list[str]
    texts: list[str]
    audio: bytes
    done: list[tuple[str, str]]
    prompts: list[list[dict[str, str]]]
    turns: list[tuple[str, str, str]]
    frames: int


async def typed(client: Traveller) -> None:
    """Two typed turns; the second is stopped when a part of it was heard, and a third one follows."""
    client.send(type="text", text="hello")
    await listen(client, 1)
    client.send(type="text", text="tell me a story")
    await listen(client, 2, HEARD_MS)
    client.send(type="cancel")
    await client.see("reply_done", 2)
    client.send(type="text", text="and then?")
    await listen(client, 3)


async def listen(client: Traveller, count: int, ms: int = WHOLE_MS) -> None:
    """Hear all of the answer, and tell that so much was played."""
    reply = await client.see("reply_started", count)
    await client.hear(count * len(spoken(ANSWER)))
    client.send(type="played", reply_id=reply["reply_id"], ms=ms)
    if ms == WHOLE_MS:
        await client.see("reply_done", count)


async def said(client: Traveller) -> None:
    """A spoken turn, heard to its end."""
    for at in range(0, len(SPEECH), 640):
        client.send_audio(SPEECH[at : at + 640])
        await checkpoint()
    await listen(client, 1)


@asynccontextmanager
async def house_of(folder: Path) -> AsyncIterator[TestHouse]:
    async with (
        started(Ears()) as asr_url,
        started(Narrator(at_once=True)) as tts_url,
        open_house(folder, asr_url=asr_url, tts_url=tts_url, lead_ms=30_000) as house,
    ):
        house.llm.tokens = [ANSWER[at : at + 25] for at in range(0, len(ANSWER), 25)]
        yield house


async def run(house: TestHouse, drive: Drive, cuts: Collection[int], between: Between = checkpoint) -> Seen:
    """One session whose connection is cut at these frames, with something that happens in between."""
    house.llm.prompts.clear()
    async with anyio.create_task_group() as tasks:
        client = Traveller(house, tasks, cuts, between)
        await client.call()
        await client.see("ready")
        await drive(client)
        seen = await seen_of(house, client)
        client.leave()
    return seen


async def seen_of(house: TestHouse, client: Traveller) -> Seen:
    events = client.events
    assert not client.refusals
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    turns = await house.house.store.turns(events[0]["session_id"]) or []
    texts: dict[str, str] = {}
    for event in events:
        if event["type"] == "token":
            texts[event["reply_id"]] = texts.get(event["reply_id"], "") + event["text"]
    return Seen(
        [event["type"] for event in events if event["type"] not in ("token", "partial")],
        list(texts.values()),
        client.audio,
        [(event["finish_reason"], event["text"]) for event in events if event["type"] == "reply_done"],
        unique(house.llm.prompts),
        [(turn["user_text"], turn["heard_text"], turn["finish_reason"]) for turn in turns],
        len(client.frames),
    )


def unique(prompts: list[list[dict[str, str]]]) -> list[list[dict[str, str]]]:
    """An answer may be asked for again, under its key; what was asked is the same."""
    return [prompt for at, prompt in enumerate(prompts) if at == 0 or prompt != prompts[at - 1]]


def compare(cut: Seen, whole: Seen, at: object) -> None:
    """All but the number of frames, which depends on how text was put together."""
    names: list[Any] = ["types", "texts", "audio", "done", "prompts", "turns"]
    for name in names:
        assert getattr(cut, name) == getattr(whole, name), (name, at)


@pytest.mark.parametrize("restarts", [False, True], ids=["cut", "restarted"])
@pytest.mark.parametrize("drive", [typed, said])
async def test_a_session_is_whole_wherever_its_connection_is_cut(drive: Drive, restarts: bool, tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        whole = await run(house, drive, [])
        for at in range(1, whole.frames):
            compare(await run(house, drive, [at], house.restart if restarts else checkpoint), whole, at)

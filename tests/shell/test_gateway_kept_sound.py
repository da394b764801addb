"""The sound of a session's answers reaches the store, and its client is told when it became better."""

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.lasting_session import LastingSession
from gateway.session import Session
from gateway.store import KeptTurn, Store
from gateway.turn_audio import KeptAudio
from gateway.two_tier import TwoTier
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.services import PIECE
from tests.support.two_tiers import FakeFiner, Tally

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."


@dataclass
class Scene:
    """A gateway that keeps the sound of answers."""

    house: TestHouse
    finer: FakeFiner
    tally: Tally

    async def sound(self, turn_id: str) -> KeptAudio:
        audio = await self.house.house.store.audio.get(turn_id)
        assert audio is not None
        return audio


@asynccontextmanager
async def scene(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    finer, tally = FakeFiner(), Tally()
    async with open_house(folder, **settings) as house:
        parts = house.house
        async with TwoTier(parts.store.audio, parts.load, finer, tally).opened() as tiers:
            house.house = replace(parts, two_tier=tiers)
            await house.restart()
            yield Scene(house, finer, tally)


def pcm_of(audio: KeptAudio) -> bytes:
    with wave.open(io.BytesIO(audio.content)) as file:
        assert file.getframerate() == audio.sample_rate == 24_000
        content: bytes = file.readframes(file.getnframes())
    return content


async def ask(on: Scene, transport: str = "binary") -> tuple[MemoryClient, Session]:
    client, session = await on.house.open(transport)
    client.send(type="text", text="Who is there?")
    return client, session


async def test_what_the_client_heard_is_kept_and_it_is_told_when_that_became_better(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.finer.gate = anyio.Event()
        client, session = await ask(on)
        done = await client.see("reply_done")
        await on.finer.asks.until("asked")
        turn_id, reply_id = done["turn_id"], done["reply_id"]
        audio = await on.sound(turn_id)
        (turn,) = await on.house.turns(session)
        on.finer.gate.set()
        told = await client.see("hq_audio")
        better = await on.sound(turn_id)

    assert pcm_of(audio) == b"".join(frame for frame in client.frames if isinstance(frame, bytes)) != b""
    assert (audio.tier, list(audio.offsets_ms)) == ("fast", [one["start_ms"] for one in turn["segments"]])
    wanted = on.finer.asked[0]
    start = on.house.tts.starts[0]
    assert (wanted.message_id, wanted.text) == (reply_id, turn["heard_text"])
    assert (wanted.voice, wanted.language) == (start.voice, start.language)
    assert (told["reply_id"], told["url"]) == (reply_id, f"/v1/turns/{turn_id}/audio")
    assert (better.tier, len(better.offsets_ms)) == ("hq", len(audio.offsets_ms))


async def test_in_json_it_is_the_same_sound(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        client, _ = await ask(on, "json")
        await client.see("hq_audio")

    assert on.tally.counts == {"fast": 1, "hq": 1}


async def test_of_an_interrupted_answer_only_what_was_heard_is_kept_and_spoken_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.house.tts.pieces = 60
        on.house.llm.tokens = [ANSWER]
        on.finer.gate = anyio.Event()
        client, session = await ask(on)
        await client.hear(60)
        reply_id = (await client.see("reply_started"))["reply_id"]
        client.send(type="played", reply_id=reply_id, ms=320)
        client.send(type="cancel")
        done = await client.see("reply_done")
        await on.finer.asks.until("asked")
        audio = await on.sound(done["turn_id"])
        (turn,) = await on.house.turns(session)

    assert (done["finish_reason"], turn["heard_ms"], audio.duration_ms) == ("interrupted", 320, 320)
    assert pcm_of(audio) == PIECE * 32
    assert (on.finer.asked[0].text, list(audio.offsets_ms)) == (turn["heard_text"], [0])
    assert 0 < len(turn["heard_text"]) < len(ANSWER)


async def test_an_answer_that_nobody_spoke_has_no_sound(tmp_path: Path) -> None:
    async with scene(tmp_path, tts_enabled=False) as on:
        client, _ = await ask(on)
        done = await client.see("reply_done")
        assert await on.house.house.store.audio.get(done["turn_id"]) is None

    assert (done["text"], on.tally.counts) == (ANSWER, {})


async def test_who_has_left_is_not_told_and_the_better_sound_is_kept(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.finer.gate = anyio.Event()
        client, session = await ask(on)
        done = await client.see("reply_done")
        await on.finer.asks.until("asked")
        client.leave()
        assert isinstance(session, LastingSession)
        await session.end()
        on.finer.gate.set()
        await on.tally.until("hq")
        assert (await on.sound(done["turn_id"])).tier == "hq"

    assert (on.tally.counts, "hq_audio" in client.types) == ({"fast": 1, "hq": 1}, False)


async def test_who_was_cut_off_is_told_when_they_are_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.finer.gate = anyio.Event()
        client, _ = await ask(on)
        done = await client.see("reply_done")
        ready = await client.see("ready")
        client.leave(1006)
        await on.finer.asks.until("asked")
        on.finer.gate.set()
        await on.tally.until("hq")
        again = await on.house.call()
        again.send(type="resume", session_id=ready["session_id"], token=ready["token"], last_seq=done["seq"])
        assert (await again.see("hq_audio"))["reply_id"] == done["reply_id"]


async def test_a_turn_that_could_not_be_kept_has_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(store: Store, conversation_id: str, user_id: str, turn: KeptTurn) -> None:
        raise OSError(28, "There is no room.")

    async with scene(tmp_path) as on:
        monkeypatch.setattr(Store, "add_turn", fail)
        client, _ = await ask(on)
        await client.see("reply_done")

    assert (on.tally.counts, on.finer.asked) == ({}, [])


async def test_the_beginning_of_what_another_gateway_sent_is_missed_so_it_is_only_spoken_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.house.tts.pieces = 20
        on.house.llm.tokens = ["Hello there. ", "My friend."]
        on.house.llm.gate = anyio.Semaphore(1)
        client, _ = await ask(on)
        await client.hear(20)
        ready, last = await client.see("ready"), client.events[-1]
        await on.house.restart()
        on.house.llm.gate = None
        again = await on.house.call()
        again.send(type="resume", session_id=ready["session_id"], token=ready["token"], last_seq=last["seq"])
        done = await again.see("reply_done")
        await again.see("hq_audio")

    sounds = sum(isinstance(frame, bytes) for frame in again.frames)
    assert (done["text"], on.finer.asked[0].text) == ("Hello there. My friend.",) * 2
    assert (sounds > 0, on.tally.counts) == (True, {"hq": 1})

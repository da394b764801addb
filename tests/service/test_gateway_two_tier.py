"""Answers that a real tts_service with two engines speaks again, and what a client of the gateway hears of them."""

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from gateway import turn_audio
from gateway.core.events import Stage
from gateway.load import HouseLoad
from gateway.replicas import Replicas
from gateway.rerender_client import RerenderClient, RerenderParams
from gateway.store import Store
from gateway.two_tier import HeardReply, TwoTier
from shared.wire.native import HqAudio
from tests.support.kept import files_in, kept
from tests.support.rest_house import gateway
from tests.support.two_tier_voices import Voices
from tests.support.two_tiers import PCM, Ears, Tally, heard
from tts_service.engines.fake import FAILS

pytestmark = [pytest.mark.service, pytest.mark.anyio]

TEXT = "Alpha one, and so on. Alpha two."
SEGMENTS = (("Alpha one,", 0), ("and so on.", 300), ("Alpha two.", 700))
HURRIED = RerenderParams(look_every_s=0.01, first_pause_s=0.01, tries=2)


@dataclass
class Scene:
    """A gateway with one turn in its store, and what keeps its sound."""

    client: httpx.AsyncClient
    store: Store
    load: HouseLoad
    tiers: TwoTier
    tally: Tally

    async def sound(self) -> tuple[str, bytes]:
        """The tier and the bytes that a client hears."""
        answer = (await self.client.get("/v1/turns/trn_1/audio")).raise_for_status()
        return answer.headers["X-Tier"], answer.content

    async def offsets_ms(self) -> list[int]:
        audio = await self.store.audio.get("trn_1")
        assert audio is not None
        return list(audio.offsets_ms)


@asynccontextmanager
async def scene(folder: Path, *voices: Voices) -> AsyncIterator[Scene]:
    """A gateway; the sound is kept by parts of its house with hurried looks."""
    async with gateway(folder, audio_dir=folder / "audio") as (app, client):
        house, tally = app.state.house, Tally()
        await house.store.add_turn("ses_1", "ann", kept("trn_1"))
        replicas = Replicas("tts_service", " ".join(one.address for one in voices))
        finer = RerenderClient(replicas, 1.0, HURRIED)
        async with TwoTier(house.store.audio, house.load, finer, tally).opened() as tiers:
            yield Scene(client, house.store, house.load, tiers, tally)


@pytest.fixture
async def voices(tmp_path: Path) -> AsyncIterator[Voices]:
    async with Voices(tmp_path / "tts").served() as served:
        yield served


def answer(**others: Any) -> HeardReply:
    return heard(**({"text": TEXT, "segments": SEGMENTS} | others))


def length_of(content: bytes) -> tuple[int, float]:
    """Rate and seconds."""
    with wave.open(io.BytesIO(content)) as file:
        return file.getframerate(), file.getnframes() / file.getframerate()


async def test_the_finer_voice_takes_the_place_of_the_first_one(tmp_path: Path, voices: Voices) -> None:
    ears = Ears()
    async with scene(tmp_path, voices) as on:
        voices.hq.hold()
        on.tiers.keep(answer(tell=ears))
        await on.tally.until("fast")
        assert (length_of((await on.sound())[1]), await on.offsets_ms()) == ((8_000, 1.0), [0, 300, 700])
        voices.hq.let()
        await on.tally.until("hq")
        told = ears.told[0]
        assert isinstance(told, HqAudio)
        assert (await on.client.get(told.url)).headers["X-Tier"] == "hq"
        rate, length_s = length_of((await on.sound())[1])
        first, second, third = await on.offsets_ms()
        turns = (await on.client.get("/v1/conversations/ses_1")).json()["turns"]

    assert (voices.said(), voices.fast.requests) == (["Alpha one, and so on.", "Alpha two."], [])
    assert {(request.voice, request.language) for request in voices.hq.requests} == {("tone", "en")}
    assert (rate, [turn["audio"] for turn in turns]) == (24_000, ["hq"])
    assert 0 == first < second < third < 1_000 * length_s
    assert (len(files_in(tmp_path / "audio")), voices.kept()) == (1, [])


async def test_of_an_interrupted_answer_no_word_more_is_said_than_was_heard(tmp_path: Path, voices: Voices) -> None:
    async with scene(tmp_path, voices) as on:
        on.tiers.keep(answer(text="Alpha one, and"))
        await on.tally.until("hq")
        _, length_s = length_of((await on.sound())[1])
        offsets_ms = await on.offsets_ms()

    assert voices.said() == ["Alpha one, and"]
    assert offsets_ms[2] == int(length_s * 1_000)


async def test_what_the_finer_engine_cannot_say_stays_as_it_was(tmp_path: Path, voices: Voices) -> None:
    ears = Ears()
    async with scene(tmp_path, voices) as on:
        on.tiers.keep(answer(text=f"It goes {FAILS}.", tell=ears))
        await on.tally.until("failed")
        tier, content = await on.sound()
        assert (tier, length_of(content), await on.offsets_ms()) == ("fast", (8_000, 1.0), [0, 300, 700])

    assert (len(voices.said()), ears.told) == (HURRIED.tries, [])


async def test_a_voice_that_the_finer_engine_lacks_is_not_replaced_by_another(tmp_path: Path, voices: Voices) -> None:
    async with scene(tmp_path, voices) as on:
        on.tiers.keep(answer(voice="somebody else"))
        await on.tally.until("refused")
        assert (await on.sound())[0] == "fast"


async def test_a_house_that_does_with_less_asks_for_nothing(tmp_path: Path, voices: Voices) -> None:
    async with scene(tmp_path, voices) as on:
        on.load.note_refusal(Stage.TTS)
        on.tiers.keep(answer())
        await on.tally.until("loaded")
        assert (await on.sound())[0] == "fast"

    assert voices.said() == []


async def test_without_a_finer_engine_the_first_sound_stays(tmp_path: Path) -> None:
    async with Voices(tmp_path / "tts").served(is_two_tier=False) as plain, scene(tmp_path, plain) as on:
        on.tiers.keep(answer())
        await on.tally.until("no_engine")
        assert (await on.sound())[0] == "fast"


async def test_who_is_listening_hears_to_the_end_what_they_began_with(tmp_path: Path, voices: Voices) -> None:
    long = PCM * 1_000  # more than lies between two sockets
    async with scene(tmp_path, voices) as on:
        voices.hq.hold()
        on.tiers.keep(answer(pcm=long))
        await on.tally.until("fast")
        async with on.client.stream("GET", "/v1/turns/trn_1/audio") as playing:
            pieces = playing.aiter_bytes()
            begun = await anext(pieces)
            voices.hq.let()
            await on.tally.until("hq")
            assert (await on.sound())[0] == "hq"
            rest = b"".join([piece async for piece in pieces])

    with wave.open(io.BytesIO(begun + rest)) as file:
        assert (file.getframerate(), file.readframes(len(long))) == (8_000, long)
    assert len(begun) < 100_000


class PowerLoss(Exception):
    """Nothing after it happens."""


async def test_a_gateway_that_dies_between_the_file_and_its_commit_leaves_the_first_sound_whole(
    tmp_path: Path, voices: Voices, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears, really = Ears(), turn_audio._replace

    def fail(turn_id: str, name: str, audio: turn_audio.KeptAudio, connection: Any) -> list[str]:
        if audio.tier == "hq":
            raise PowerLoss
        return really(turn_id, name, audio, connection)

    monkeypatch.setattr(turn_audio, "_replace", fail)
    async with scene(tmp_path, voices) as on:
        on.tiers.keep(answer(tell=ears))
        await on.tally.until("fault")
        before = await on.sound(), await on.offsets_ms()
    async with scene(tmp_path, voices) as on:
        assert (await on.sound(), await on.offsets_ms()) == before

    assert (before[0][0], before[1], length_of(before[0][1])) == ("fast", [0, 300, 700], (8_000, 1.0))
    assert ears.told == []


async def test_a_gateway_that_ends_meanwhile_leaves_the_first_sound_whole(tmp_path: Path, voices: Voices) -> None:
    ears = Ears()
    async with scene(tmp_path, voices) as on:
        voices.hq.hold()
        on.tiers.keep(answer(tell=ears))
        while not voices.said():
            await checkpoint()
    voices.hq.let()
    async with scene(tmp_path, voices) as again:
        assert ((await again.sound())[0], await again.offsets_ms()) == ("fast", [0, 300, 700])

    assert (on.tally.counts, ears.told) == ({"fast": 1, "left": 1}, [])


async def test_a_turn_that_is_forgotten_meanwhile_leaves_no_sound_anywhere(tmp_path: Path, voices: Voices) -> None:
    ears = Ears()
    async with scene(tmp_path, voices) as on:
        voices.hq.hold()
        on.tiers.keep(answer(tell=ears))
        while not voices.said():
            await checkpoint()
        await on.client.delete("/v1/conversations/ses_1")
        voices.hq.let()
        await on.tally.until("gone")
        assert (await on.client.get("/v1/turns/trn_1/audio")).status_code == 404

    assert (files_in(tmp_path / "audio"), voices.kept(), ears.told) == ({}, [], [])


async def test_another_replica_speaks_when_the_first_one_dies_at_it(tmp_path: Path) -> None:
    dies, ends, ended = Voices(tmp_path / "dies"), anyio.Event(), anyio.Event()

    async def die(*, task_status: TaskStatus[None]) -> None:
        async with dies.served():
            task_status.started()
            await ends.wait()
        ended.set()

    async with Voices(tmp_path / "stays").served() as stays, anyio.create_task_group() as tasks:
        await tasks.start(die)
        async with scene(tmp_path, dies, stays) as on:
            dies.hq.hold()
            on.tiers.keep(answer())
            while not dies.said():
                await checkpoint()
            ends.set()
            await ended.wait()
            await on.tally.until("hq")
            assert (await on.sound())[0] == "hq"

    assert stays.said() == ["Alpha one, and so on.", "Alpha two."]

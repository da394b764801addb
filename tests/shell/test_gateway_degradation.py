"""A house under load: what its clients are told at each step down and back, and what they still get."""

from pathlib import Path

import anyio
import pytest

from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse
from tests.support.loaded_house import ANSWER, FULL, LEVELS, ask, calm, loaded_house, press, sounds, told
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_each_step_down_and_back_is_told_to_every_client(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        one, _ = await house.open()
        other, _ = await house.open()
        press(house, hands, 3)
        for client in (one, other):
            await client.see("degraded", count=3)
        for _ in range(3):
            calm(house, hands)
        for client in (one, other):
            last = await client.see("degraded", count=6)
            assert told(client) == [*LEVELS, "fast_voice", "no_hq", "full"]
            assert last["message"]


async def test_who_comes_to_a_loaded_house_is_told_where_it_stands(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        press(house, hands, 2)
        client, _ = await house.open()
        await client.see("degraded")

        assert client.types[:2] == ["ready", "degraded"]
        assert told(client) == ["fast_voice"]


async def test_who_has_left_is_told_nothing(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        client, session = await house.open()
        client.leave()
        await house.asr.tally.wait_for("disconnected")
        while house.lobby.session(session.session_id) is not None:
            await anyio.lowlevel.checkpoint()
        press(house, hands)

        assert told(client) == []


async def test_the_cheaper_voice_speaks_from_its_step_on_and_no_longer(tmp_path: Path) -> None:
    async with loaded_house(tmp_path, fast_voice="plain") as (house, hands):
        client, _ = await house.open()
        client.send(type="config", voice="grand")
        for count, step in enumerate([None, press, press, calm], start=1):
            if step is not None:
                step(house, hands)
            await ask(client, count)

        assert [start.voice for start in house.tts.starts] == ["grand", "grand", "plain", "grand"]
        assert {start.tier for start in house.tts.starts} == {"fast"}


async def test_without_a_cheaper_voice_the_own_one_goes_on(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        client, _ = await house.open()
        client.send(type="config", voice="grand")
        press(house, hands, 2)
        await ask(client, 1)

        assert [start.voice for start in house.tts.starts] == ["grand"]


async def test_text_alone_counts_as_read_when_it_is_complete_and_the_voice_comes_back(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        client, session = await house.open()
        press(house, hands, 3)
        done = await ask(client, 1)
        silent = client.types, len(house.tts.starts), sounds(client)
        calm(house, hands)
        await ask(client, 2)

        assert silent == (["ready", "degraded", "reply_started", "token", "reply_done"], 0, 0)
        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert "".join(event["text"] for event in client.events if event["type"] == "token") == 2 * ANSWER
        assert [turn["heard_text"] for turn in await house.turns(session)] == [ANSWER, ANSWER]
        assert house.llm.prompts[1][-2]["content"] == ANSWER
        assert sounds(client) > 0


async def test_a_long_text_is_shown_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.text_pace.STALL_S", 1_000.0)  # what waits for a voice waits longer than any test
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.tokens = [f"word{number} " for number in range(400)]
        client, _ = await house.open()
        press(house, hands, 3)
        done = await ask(client, 1)

        assert done["text"] == "".join(house.llm.tokens).strip()


async def test_an_answer_that_was_prepared_as_text_is_held_until_the_turn_is_over(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        client, _ = await house.open()
        press(house, hands, 3)
        await client.see("degraded", count=3)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("hello", "utt_1"))
        await house.asr.say(asr.Candidate(utterance_id="utt_1", text="hello", at_samples=0))
        await house.llm.tally.wait_for("closed")
        client.send(type="ping")
        await client.see("pong")
        held = client.types
        await house.asr.say(
            asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"), final("Hello.", "utt_1")
        )
        done = await client.see("reply_done")

        assert not {"reply_started", "token", "reply_done"} & set(held)
        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert house.llm.tally.seen.count("asked") == 1


async def test_text_that_is_cut_short_was_not_read(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(1)
        client, session = await house.open()
        press(house, hands, 3)
        client.send(type="text", text="go")
        await client.see("token")
        client.send(type="cancel")
        done = await client.see("reply_done")

        assert (done["finish_reason"], done["text"]) == ("interrupted", "")
        assert [turn["finish_reason"] for turn in await house.turns(session)] == ["interrupted"]


async def test_an_answer_under_way_keeps_the_voice_that_it_began_with(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(1)
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.hear(1)
        press(house, hands, 3)
        await client.see("degraded", count=3)
        before = sounds(client)
        for _ in range(3):
            house.llm.gate.release()
        done = await client.see("reply_done")

        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert sounds(client) > before


async def come_back(house: TestHouse, client: MemoryClient) -> MemoryClient:
    """The gateway is killed and starts again, and the client goes on with its session."""
    ready, last_seq = client.events[0], client.events[-1]["seq"]
    behind = client.frames[client.frames.index(client.events[-1]) + 1 :]
    audio_bytes = sum(len(frame) for frame in behind)
    await house.restart()
    again = await house.call()
    await again.see("ready")
    asked = {"session_id": ready["session_id"], "token": ready["token"]}
    again.send(type="resume", last_seq=last_seq, audio_bytes=audio_bytes, **asked)
    await again.see("ready", count=2)
    return again


async def test_an_answer_that_is_shown_goes_on_being_shown_after_a_restart(tmp_path: Path) -> None:
    async with loaded_house(tmp_path) as (house, hands):
        house.llm.gate = anyio.Semaphore(1)
        client, _ = await house.open()
        press(house, hands, 3)
        client.send(type="text", text="go")
        await client.see("token")
        again = await come_back(house, client)
        for _ in range(3):
            house.llm.gate.release()
        done = await again.see("reply_done")

        assert (done["text"], done["finish_reason"]) == (ANSWER, "stop")
        assert (house.tts.starts, sounds(client), sounds(again)) == ([], 0, 0)


@pytest.mark.parametrize("is_full", [False, True], ids=["silent", "refused"])
async def test_an_answer_that_was_begun_aloud_is_never_ended_in_silence(is_full: bool, tmp_path: Path) -> None:
    async with loaded_house(tmp_path, apologises=False) as (house, hands):
        house.llm.gate, house.tts.pieces = anyio.Semaphore(1), 1
        client, _ = await house.open()
        client.send(type="text", text="go")
        await client.hear(1)
        if is_full:
            house.tts.refusal = FULL
        else:
            press(house, hands, 3)
            await client.see("degraded", count=3)
        again = await come_back(house, client)
        for _ in range(3):
            house.llm.gate.release()
        done = await again.see("reply_done")

        assert len(house.tts.starts) == 2
        assert done["finish_reason"] == ("error" if is_full else "stop")
        assert (done["text"] == ANSWER) is not is_full

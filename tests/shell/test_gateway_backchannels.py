"""Speech over an answer, between a client in memory and stand-ins: it pauses, and goes on or stops."""

from pathlib import Path

import anyio
import pytest

from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."
PIECES = 60


async def pause(house: TestHouse) -> MemoryClient:
    """A long answer over which somebody makes a sound; its client, which was told to wait."""
    house.tts.pieces = PIECES
    client, _ = await house.open()
    client.send(type="text", text="tell me a long story")
    await client.hear(3)
    await house.asr.say(asr.SpeechStarted(utterance_id="utt_2", at_samples=0))
    await client.see("reply_paused")
    return client


def frames_between(client: MemoryClient, first: str, last: str) -> list[bytes]:
    """The audio between two messages."""
    kinds = ["audio" if isinstance(frame, bytes) else frame["type"] for frame in client.frames]
    between = client.frames[kinds.index(first) : kinds.index(last)]
    return [frame for frame in between if isinstance(frame, bytes)]


async def test_a_remark_pauses_the_answer_and_not_a_sample_of_it_is_lost(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client = await pause(house)
        await house.asr.say(partial("mhm", "utt_2"))
        await house.asr.say(asr.Candidate(utterance_id="utt_2", text="Mhm.", at_samples=0))
        resumed = await client.see("reply_resumed")
        await house.asr.say(asr.Endpoint(utterance_id="utt_2", at_samples=0, reason="silence"), final("Mhm.", "utt_2"))
        done = await client.see("reply_done")

        assert frames_between(client, "reply_paused", "reply_resumed") == []
        assert sum(isinstance(frame, bytes) for frame in client.frames) == PIECES * len(house.tts.texts)
        assert (done["reply_id"], done["finish_reason"], done["text"]) == (resumed["reply_id"], "stop", ANSWER)
        assert not {"interrupted", "speech_started", "partial", "final"} & set(client.types)
        assert len(house.llm.prompts) == 1
        assert "backchannels" in (await client.see("ready"))["capabilities"]


async def test_a_remark_is_kept_nowhere_and_stands_in_no_prompt(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client = await pause(house)
        await house.asr.say(final("嗯。", "utt_2"))
        done = await client.see("reply_done")
        client.send(type="text", text="and then?")
        await house.llm.tally.wait_for("asked", 2)
        session_id = (await client.see("ready"))["session_id"]
        turns = await house.house.store.turns(session_id)

        assert [turn["turn_id"] for turn in turns or []] == [done["turn_id"]]
        assert [message["content"] for message in house.llm.prompts[1][1:]] == [
            "tell me a long story", ANSWER, "and then?"
        ]  # fmt: skip


async def test_words_over_a_paused_answer_stop_it_and_no_audio_follows(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client = await pause(house)
        await house.asr.say(partial("stop it", "utt_2"))
        interrupted = await client.see("interrupted")
        await house.tts.tally.wait_for("disconnected")
        done = await client.see("reply_done")

        assert not [f for f in client.frames[client.frames.index(interrupted) :] if isinstance(f, bytes)]
        assert frames_between(client, "reply_paused", "interrupted") == []
        assert (done["finish_reason"], done["text"]) == ("interrupted", interrupted["heard_text"])


async def test_after_an_answer_that_stopped_in_its_pause_the_next_one_is_heard(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client = await pause(house)
        client.send(type="cancel")
        interrupted = await client.see("interrupted")
        await house.asr.say(asr.Endpoint(utterance_id="utt_2", at_samples=0, reason="silence"), final("go", "utt_2"))
        done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop")

        assert done["text"] == ANSWER
        assert frames_between(client, "interrupted", "reply_started") == []
        assert done["reply_id"] != interrupted["reply_id"]


async def test_speech_that_nobody_understands_stops_the_answer_after_its_bound(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True, backchannel_ms=100) as house:
        client = await pause(house)
        await client.see("interrupted")

        assert client.types.index("reply_paused") < client.types.index("interrupted")


async def test_without_backchannels_no_answer_pauses(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=False) as house:
        house.tts.pieces = PIECES
        client, _ = await house.open()
        client.send(type="text", text="tell me a long story")
        await client.hear(3)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_2", at_samples=0), partial("mhm", "utt_2"))
        await client.see("interrupted")

        assert "reply_paused" not in client.types
        assert "backchannels" not in (await client.see("ready"))["capabilities"]


async def test_marks_of_a_client_in_its_pause_are_believed(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client = await pause(house)
        reply_id = (await client.see("reply_paused"))["reply_id"]
        client.send(type="played", reply_id=reply_id, ms=20)
        client.send(type="ping")
        await client.see("pong")
        await anyio.wait_all_tasks_blocked()
        client.send(type="cancel")

        assert (await client.see("interrupted"))["heard_ms"] == 20

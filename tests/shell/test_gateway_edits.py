"""A turn that was understood wrongly is put right, between a client in memory and stand-ins for the services."""

from pathlib import Path

import pytest

from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."


async def ask(client: MemoryClient, text: str, count: int) -> str:
    """The id of a typed turn, the `count`th that was answered to its end."""
    client.send(type="text", text=text)
    done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop", count=count)
    return str(done["turn_id"])


def asked(house: TestHouse) -> list[str]:
    """What the newest prompt says after the persona."""
    return [message["content"] for message in house.llm.prompts[-1][1:]]


async def test_a_turn_of_before_is_asked_anew_and_what_followed_is_forgotten_but_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        turns = [await ask(client, text, count) for count, text in enumerate(("one", "too", "three"), start=1)]
        client.send(type="edit", turn_id=turns[1], text=" two ")
        edited = await client.see("turn_edited")
        await client.see("reply_done", count=4)
        assert asked(house) == ["one", ANSWER, "two"]
        await ask(client, "four", 5)
        kept = await house.turns(session)

        assert (edited["edited_turn_id"], edited["text"]) == (turns[1], "two")
        assert asked(house) == ["one", ANSWER, "two", ANSWER, "four"]
        assert [turn["user_text"] for turn in kept] == ["one", "too", "three", "two", "four"]
        assert [turn["is_current"] for turn in kept] == [True, False, False, True, True]
        assert [turn["edits"] for turn in kept] == [None, None, None, turns[1], None]
        assert [turn["edited_by"] for turn in kept] == [None, edited["turn_id"], None, None, None]


async def test_a_turn_that_is_being_answered_is_stopped_and_asked_anew(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.pieces = 300
        client, session = await house.open()
        client.send(type="text", text="rome")
        await client.hear(3)
        house.tts.pieces = 1
        turn_id = (await client.see("reply_started"))["turn_id"]
        client.send(type="edit", turn_id=turn_id, text="Rome")
        interrupted = await client.see("interrupted")
        done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop")
        kept = await house.turns(session)

        assert (interrupted["turn_id"], done["text"]) == (turn_id, ANSWER)
        assert asked(house) == ["Rome"]
        assert [(turn["user_text"], turn["is_current"]) for turn in kept] == [("rome", False), ("Rome", True)]
        assert list(done["timings"]) == ["first_token", "first_audio", "last_token", "done"]


async def test_a_correction_can_be_corrected_and_what_it_replaced_cannot(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        first = await ask(client, "won", 1)
        client.send(type="edit", turn_id=first, text="wan")
        second = (await client.see("reply_done", count=2))["turn_id"]
        client.send(type="edit", turn_id=first, text="nobody knows it any more")
        error = await client.see("error")
        client.send(type="edit", turn_id=second, text="one")
        await client.see("reply_done", count=3)
        kept = await house.turns(session)

        assert (error["code"], error["service"]) == ("invalid_message", "gateway")
        assert asked(house) == ["one"]
        assert [(turn["user_text"], turn["is_current"]) for turn in kept] == [
            ("won", False), ("wan", False), ("one", True)
        ]  # fmt: skip


async def test_an_edit_in_an_answer_that_pauses_lets_the_next_one_out(tmp_path: Path) -> None:
    async with open_house(tmp_path, backchannels=True) as house:
        client, _ = await house.open()
        first = await ask(client, "one", 1)
        house.tts.pieces = 60
        heard = sum(isinstance(frame, bytes) for frame in client.frames)
        client.send(type="text", text="two")
        await client.see("reply_started", count=2)
        await client.hear(heard + 3)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await client.see("reply_paused")
        client.send(type="edit", turn_id=first, text="ONE")
        done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop", count=2)

        assert (done["text"], asked(house)) == (ANSWER, ["ONE"])

"""What is said without asking a model, between a client in memory and stand-ins for the services."""

from pathlib import Path

import pytest

from gateway.core.apologies import APOLOGIES
from tests.support.gateway_house import open_house

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."


async def test_who_waits_for_a_model_that_is_gone_hears_an_apology_and_the_question_stays_open(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.is_down = True
        client, session = await house.open()
        client.send(type="text", text="are you there")
        failed = await client.see("reply_done")
        house.llm.is_down = False
        client.send(type="text", text="and now")
        await client.see("reply_done", count=2)
        kept = await house.turns(session)

        assert (failed["finish_reason"], failed["text"]) == ("error", APOLOGIES["en"])
        assert (await client.see("error"))["service"] == "llm"
        assert house.tts.texts[0] == APOLOGIES["en"]
        assert [turn["heard_text"] for turn in kept] == [APOLOGIES["en"], ANSWER]
        assert [message["content"] for message in house.llm.prompts[-1][1:]] == ["are you there\nand now"]


async def test_a_persona_apologises_in_its_own_language(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.is_down = True
        client, _ = await house.open()
        client.send(type="config", persona="sun_wukong")
        client.send(type="text", text="你好")

        assert (await client.see("reply_done"))["text"] == APOLOGIES["zh"]


async def test_without_a_voice_the_failure_is_told_and_nothing_said(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.is_down = True
        await house.tts.stop()
        client, _ = await house.open()
        client.send(type="text", text="are you there")
        done = await client.see("reply_done")
        await house.tts.start()

        assert (done["finish_reason"], done["text"]) == ("error", "")


async def test_apologies_can_be_turned_off(tmp_path: Path) -> None:
    async with open_house(tmp_path, apologises=False) as house:
        house.llm.is_down = True
        client, _ = await house.open()
        client.send(type="text", text="are you there")

        assert (await client.see("reply_done"))["text"] == ""
        assert client.types.count("reply_started") == 1


async def test_a_persona_that_is_chosen_says_its_opening_line_and_is_told_that_it_did(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        persona = house.house.personas["sun_wukong"]
        client.send(type="config", persona="sun_wukong", greets=True)
        done = await client.see("reply_done")
        client.send(type="text", text="你好")
        await client.see("reply_done", count=2)
        kept = await house.turns(session)

        assert (done["text"], done["finish_reason"]) == (persona.opening_line, "stop")
        assert house.tts.texts[0] == persona.opening_line
        assert [(turn["persona"], turn["user_text"]) for turn in kept] == [("sun_wukong", ""), ("sun_wukong", "你好")]
        system, *asked = house.llm.prompts[-1]
        assert system["content"].startswith(persona.system_prompt)
        assert system["content"].endswith(persona.opening_line)
        assert [message["content"] for message in asked] == ["你好"]


async def test_nobody_is_greeted_who_did_not_ask_for_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="config", persona="sun_wukong")
        client.send(type="ping")
        await client.see("pong")

        assert "reply_started" not in client.types

"""A session remembers what was said in an earlier one, asks with it again after a restart, and never waits for long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from gateway.memory import PastTalk
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.memories import past_talk

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

DOG, QUESTION = "My dog is called Biscuit.", "What is the name of my dog?"
CUT = 1006


@asynccontextmanager
async def remembering(folder: Path) -> AsyncIterator[tuple[TestHouse, PastTalk]]:
    """A house with a memory that searches by words."""
    async with past_talk(folder, None) as memory, open_house(folder) as house:
        house.house = replace(house.house, memory=memory)
        await house.restart()
        yield house, memory


async def said(house: TestHouse, text: str) -> MemoryClient:
    client, _ = await house.open()
    client.send(type="text", text=text)
    await client.see("reply_done")
    return client


def prompt_of(house: TestHouse) -> str:
    return "\n".join(message["content"] for message in house.llm.prompts[-1])


async def test_what_was_told_in_one_session_stands_in_the_next_ones_prompt_when_it_is_needed(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (house, memory):
        (await said(house, DOG)).leave()
        await memory.settled()
        await said(house, QUESTION)
        assert "Biscuit" in prompt_of(house)
        await said(house, "How are you today?")
        assert "Biscuit" not in prompt_of(house)


async def test_what_goes_on_in_a_session_is_not_told_to_itself(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (house, memory):
        client = await said(house, DOG)
        await memory.settled()
        client.send(type="text", text=QUESTION)
        await client.see("reply_done", count=2)
        assert prompt_of(house).count("Biscuit") == 1  # in its history


async def test_an_answer_that_is_asked_for_again_after_a_restart_is_asked_with_the_same_words(tmp_path: Path) -> None:
    async with remembering(tmp_path) as (house, memory):
        (await said(house, DOG)).leave()
        await memory.settled()
        house.llm.gate = anyio.Semaphore(1)
        client, _ = await house.open()
        ready = await client.see("ready")
        client.send(type="text", text=QUESTION)
        token = await client.see("token")
        await memory.forget("somebody")
        await house.restart()
        house.llm.gate = None
        back = await house.call()
        await back.see("ready")
        named = {"session_id": ready["session_id"], "token": ready["token"]}
        back.send(type="resume", last_seq=token["seq"], **named)
        await back.see("reply_done")

        assert house.llm.prompts[-1] == house.llm.prompts[-2]
        assert "Biscuit" in prompt_of(house)

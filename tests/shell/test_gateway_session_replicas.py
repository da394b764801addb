"""A whole session whose recogniser and voice die in the middle, with another one of each behind the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.replicas import Ears, Narrator, spoken, started

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

WORD = 1_600  # samples
SILENCE = bytes(2 * 3_200)
ANSWER = "Hello there. How are you? Fine."


@asynccontextmanager
async def house_of(folder: Path, ears: list[Ears], voices: list[Narrator]) -> AsyncIterator[TestHouse]:
    async with (
        started(*ears) as asr_url,
        started(*voices) as tts_url,
        open_house(folder, asr_url=asr_url, tts_url=tts_url) as house,
    ):
        house.llm.tokens = [ANSWER[at : at + 5] for at in range(0, len(ANSWER), 5)]
        yield house


async def talk(house: TestHouse, speech: bytes) -> MemoryClient:
    """A client that says this, and has been answered."""
    client = await house.call()
    await client.see("ready")
    for at in range(0, len(speech), 640):
        client.send_audio(speech[at : at + 640])
        await checkpoint()
    await client.see("reply_done")
    return client


@pytest.mark.parametrize("heard_samples", [4_000, 7_000, 8_900])
@pytest.mark.parametrize("spoken_letters", [0, 7, 20])
async def test_a_turn_is_heard_and_answered_once_though_all_die_in_the_middle_of_it(
    heard_samples: int, spoken_letters: int, tmp_path: Path
) -> None:
    ears, voices = [Ears(heard_samples), Ears()], [Narrator(dies_after=spoken_letters), Narrator()]
    speech = SILENCE + b"".join(word.to_bytes(2, "little") * WORD for word in (1, 2, 3)) + SILENCE
    async with house_of(tmp_path, ears, voices) as house:
        client = await talk(house, speech)

    finals = [event["text"] for event in client.events if event["type"] == "final"]
    done = [event for event in client.events if event["type"] == "reply_done"]
    assert (finals, [event["text"] for event in done]) == (["1 2 3"], [ANSWER])
    assert client.types.count("speech_started") == 1
    assert b"".join(frame for frame in client.frames if isinstance(frame, bytes)) == spoken(ANSWER)
    assert " ".join(event["text"] for event in client.events if event["type"] == "segment") == ANSWER
    assert "error" not in client.types

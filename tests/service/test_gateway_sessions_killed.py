"""A whole turn between processes, one of which is killed in the middle of it: nothing is heard twice, and nothing less.

The services are real, with two replicas of each; the models behind them say the same to everybody.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.live_client import read_pcm
from tests.support.whole_house import Caller, WholeHouse, whole_house

pytestmark = [pytest.mark.service, pytest.mark.anyio]

ANSWER = "Paris is the capital of France. It lies on the river Seine. More than two million people live there."
SECOND = "It lies on the river Seine."
SILENCE = bytes(2 * 16_000)
SPEECH = SILENCE + read_pcm("what_is_the_capital_of_france")
MIDDLE = 640 * (len(SPEECH) * 3 // 4 // 640)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholeHouse]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with whole_house(folder, ANSWER) as started:
        yield started


@dataclass
class Turn:
    """What a client saw of a turn, and what was kept of it, without the names of things."""

    heard: list[str]
    written: str
    segments: list[tuple[str, int]]
    audio: bytes
    done: list[tuple[str, str]]
    kept: list[tuple[str, str, str]]


async def turn_of(house: WholeHouse, caller: Caller) -> Turn:
    """The turn of a client that has said all, once it has been answered."""
    await caller.see("reply_done")
    kept: list[dict[str, Any]] = await house.turns(caller)
    assert caller.of("error", "code") == []
    assert [len(caller.of(kind, "turn_id")) for kind in ("speech_started", "final", "reply_started")] == [1, 1, 1]
    return Turn(
        heard=caller.of("final", "text"),
        written="".join(caller.of("token", "text")),
        segments=list(zip(caller.of("segment", "text"), caller.of("segment", "start_ms"), strict=True)),
        audio=caller.audio,
        done=list(zip(caller.of("reply_done", "text"), caller.of("reply_done", "finish_reason"), strict=True)),
        kept=[(turn["user_text"], turn["heard_text"], turn["finish_reason"]) for turn in kept],
    )


async def undisturbed(house: WholeHouse) -> Turn:
    async with house.call() as caller:
        await caller.say(SPEECH + SILENCE)
        turn = await turn_of(house, caller)
    assert (turn.written, turn.done) == (ANSWER, [(ANSWER, "stop")])
    assert turn.kept == [(*turn.heard, ANSWER, "stop")]
    assert " ".join(text for text, _ in turn.segments) == ANSWER
    assert turn.audio
    return turn


async def test_a_recogniser_that_is_killed_in_mid_utterance_costs_nothing_of_the_turn(house: WholeHouse) -> None:
    wanted, moved = await undisturbed(house), await house.moved("asr")
    async with house.call() as caller:
        await caller.say(SPEECH[:MIDDLE])
        await caller.see("partial")
        assert (await house.busy("asr")).kill() < 0
        await caller.say(SPEECH[MIDDLE:] + SILENCE)
        turn = await turn_of(house, caller)

    assert turn == wanted
    assert await house.moved("asr") == moved + 1


async def test_a_language_service_that_is_killed_in_mid_answer_costs_nothing_of_the_turn(house: WholeHouse) -> None:
    wanted, moved, asked = await undisturbed(house), await house.moved("llm"), house.model.asked
    house.model.stalls = True
    async with house.call() as caller:
        await caller.say(SPEECH + SILENCE)
        await caller.see("token")
        assert (await house.busy("llm")).kill() < 0
        turn = await turn_of(house, caller)

    assert turn == wanted
    assert (await house.moved("llm"), house.model.asked) == (moved + 1, asked + 2)


async def test_a_voice_that_is_killed_in_mid_sentence_costs_nothing_of_the_turn(house: WholeHouse) -> None:
    wanted, moved, asked = await undisturbed(house), await house.moved("tts"), house.voice.asked.copy()
    first_bytes = 48 * wanted.segments[1][1]
    house.voice.stalls_in = SECOND
    async with house.call() as caller:
        await caller.say(SPEECH + SILENCE)
        await caller.hear(first_bytes + 1)
        assert (await house.busy("tts")).kill() < 0
        turn = await turn_of(house, caller)

    assert turn == wanted
    assert await house.moved("tts") == moved + 1
    assert house.voice.asked[len(asked) :].count(SECOND) == 2

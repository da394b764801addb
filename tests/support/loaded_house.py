"""A gateway whose load a test makes, and whose clock it turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.core.events import Stage
from gateway.core.load_ladder import LadderParams
from gateway.load import HouseLoad
from shared.wire import tts
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house

ANSWER = "Hello there, my friend."
FULL = tts.TtsError(code="overloaded", message="Full.", retryable=True)
PARAMS = LadderParams(least_sessions=1)
LEVELS = ["no_hq", "fast_voice", "text_only"]


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def loaded_house(
    folder: Path, params: LadderParams = PARAMS, **settings: Any
) -> AsyncIterator[tuple[TestHouse, Hands]]:
    """A house whose load goes by a clock of its own."""
    hands = Hands()
    async with open_house(folder, HouseLoad(params, hands), **settings) as house:
        yield house, hands


def press(house: TestHouse, hands: Hands, steps: int = 1) -> None:
    """Speech refuses answers of others, until the house does with so many steps less."""
    for _ in range(steps):
        hands.now_s += 3.0
        house.house.load.note_refusal(Stage.TTS)


def calm(house: TestHouse, hands: Hands) -> None:
    """Nothing happens for as long as a step up takes."""
    hands.now_s += 60.0
    house.house.load.look()


def told(client: MemoryClient) -> list[str]:
    """The levels that a client was told of."""
    return [event["level"] for event in client.events if event["type"] == "degraded"]


async def ask(client: MemoryClient, count: int) -> dict[str, Any]:
    """A typed turn to its end: the client's `count`th."""
    client.send(type="text", text=f"question {count}")
    return await client.see("reply_done", count=count)


def sounds(client: MemoryClient) -> int:
    return sum(isinstance(frame, bytes) for frame in client.frames)

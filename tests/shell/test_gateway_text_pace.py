"""How far text may run ahead of its voice."""

import anyio
import pytest

from gateway.text_pace import AHEAD_CHARS, TextPace

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def hand_on_until_it_waits(pace: TextPace, pieces: int) -> list[int]:
    """How many pieces of ten characters were handed on before the pace made the teller wait."""
    told: list[int] = []

    async def tell() -> None:
        for number in range(pieces):
            await pace.wait()
            pace.hand_on("ten chars.\n")
            told.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return told


async def test_text_waits_for_its_voice() -> None:
    pace = TextPace(lambda: False)
    told = await hand_on_until_it_waits(pace, 100)

    assert len(told) == AHEAD_CHARS // len("tenchars.") + 1


async def test_voiced_text_makes_room_for_more() -> None:
    pace = TextPace(lambda: False)
    before = await hand_on_until_it_waits(pace, 100)
    pace.voice("ten chars. " * len(before))

    assert await hand_on_until_it_waits(pace, 100) == before


async def test_a_short_answer_never_waits() -> None:
    assert len(await hand_on_until_it_waits(TextPace(lambda: False), 10)) == 10


async def test_text_that_is_never_voiced_frees_the_pace_once_the_ear_is_dry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.text_pace.STALL_S", 0.001)
    pace = TextPace(lambda: True)
    pace.hand_on("x" * 1_000)
    await pace.wait()
    pace.hand_on("x" * 1_000)
    await pace.wait()

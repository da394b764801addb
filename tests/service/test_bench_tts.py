"""The benchmarks of speech run and say what they promise; their figures are for a person to read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from tests.bench.tts_first_audio import Together, percentile
from tests.bench.tts_process import FirstComeQueue
from tests.bench.tts_segmenter import TEXTS, tokens
from tts_service.core.synthesis_queue import Urgency

pytestmark = pytest.mark.service

TOP = Path(__file__).parents[2]


def last_line(*command: str) -> dict[str, Any]:
    """The last line that a benchmark prints, as JSON."""
    ran = subprocess.run([sys.executable, "-m", *command], cwd=TOP, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    line: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return line


def test_first_audio_is_measured_with_priorities_and_without() -> None:
    found = last_line("tests.bench.tts_first_audio", "--rounds", "1", "--loads", "one")

    assert set(found) == {"one"}
    for figures in (found["one"]["priorities"], found["one"]["first come"]):
        assert figures["replies"] == 4
        assert 0 < figures["p50_ms"] <= figures["p95_ms"]
        assert figures["cancel_p95_ms"] > 0


def test_the_segmenter_is_measured_on_every_text() -> None:
    found = last_line("tests.bench.tts_segmenter", "--chars", "2000")

    assert set(found) == set(TEXTS)
    assert all(figures["tokens"] > 200 and figures["us_per_token"] > 0 for figures in found.values())


def test_the_pieces_of_a_text_are_the_text() -> None:
    for text in TEXTS.values():
        whole = "".join(tokens(text, 500))
        assert (text * 500).startswith(whole)
        assert len(whole) >= 500


def test_the_other_queue_knows_no_priorities() -> None:
    queue: FirstComeQueue[str] = FirstComeQueue(1)
    for key, urgency in (("a", Urgency.FILE), ("b", Urgency.LATER), ("c", Urgency.FIRST)):
        queue.ask(key, urgency, due_s=9.0)
    order = []
    while (granted := queue.grant()) is not None:
        order.append(granted)
        queue.done(granted)
    assert order == ["a", "b", "c"]


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.anyio
async def test_callers_who_go_together_wait_for_the_last_of_them() -> None:
    together, gone = Together(3), list[int]()

    async def go(number: int) -> None:
        await together.wait()
        gone.append(number)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for turn in range(2):
                tasks.start_soon(go, 1)
                tasks.start_soon(go, 2)
                await wait_all_tasks_blocked()
                assert len(gone) == 3 * turn
                await go(3)
                await wait_all_tasks_blocked()
                assert len(gone) == 3 * turn + 3

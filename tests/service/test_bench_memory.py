"""The memory benchmark does what it says, on a few people."""

from typing import Any

import pytest

from tests.bench.memory import crowded, milliseconds, waiting

pytestmark = [pytest.mark.service, pytest.mark.anyio]


async def test_in_a_crowd_nobody_gets_what_somebody_else_told_and_the_forgotten_is_gone() -> None:
    figures: dict[str, Any] = await crowded(persons=4, each=20, searches=12)
    assert (figures["memories"], figures["foreign"], figures["left_of_forgotten"]) == (80, 0, 0)
    assert figures["forgotten"] == 20
    assert figures["found"] >= 12 * 20


async def test_a_slow_recall_is_late_and_a_quick_one_is_not() -> None:
    figures: dict[str, Any] = await waiting(2)
    assert figures["quick"]["empty"] == 2
    assert figures["slow"]["late"] == figures["slow_begun_early"]["late"] == 2


def test_percentiles_are_of_the_times_in_order() -> None:
    assert milliseconds([0.003, 0.001, 0.002]) == {"p50": 2.0, "p95": 3.0, "max": 3.0}

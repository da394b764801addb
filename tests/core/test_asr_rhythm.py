"""When a growing stretch is read: soon at first, then at growing intervals that follow what a reading costs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.rhythm import FIRST_SAMPLES, LONGEST_SAMPLES, SPARED, Rhythm

pytestmark = pytest.mark.core

FRAME = 320


def places(heard: list[int], cost_samples: int = 0) -> list[int]:
    rhythm = Rhythm()
    return [samples for samples in heard if rhythm.due(samples, cost_samples)]


def test_the_first_reading_is_soon_and_the_intervals_grow_to_a_second() -> None:
    found = places(list(range(0, 10 * 16_000, FRAME)))
    intervals = [later - earlier for earlier, later in pairwise(found)]

    assert found[0] == FIRST_SAMPLES - FIRST_SAMPLES % -FRAME
    assert intervals == sorted(intervals)
    assert intervals[-1] == LONGEST_SAMPLES


def test_a_reading_is_due_once() -> None:
    rhythm = Rhythm()

    assert rhythm.due(FIRST_SAMPLES, 0)
    assert not rhythm.due(FIRST_SAMPLES, 0)


def test_a_costly_reading_is_rare() -> None:
    cost_samples = 8_000
    found = places(list(range(0, 20 * 16_000, FRAME)), cost_samples)

    assert {later - earlier for earlier, later in pairwise(found)} == {SPARED * cost_samples}


@given(st.lists(st.integers(1, 40_000), max_size=50), st.integers(0, 20_000))
def test_readings_are_never_closer_than_their_cost_allows(heard: list[int], cost_samples: int) -> None:
    found = places(sorted(heard), cost_samples)

    gaps = [later - earlier for earlier, later in pairwise([0, *found])]
    assert all(gap >= max(FIRST_SAMPLES, SPARED * cost_samples) for gap in gaps)

"""Rhythm: at which samples a stretch is read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.rhythm import Rhythm

pytestmark = pytest.mark.core


def places(steps: list[int]) -> list[int]:
    """What is due after each step, where something is."""
    rhythm, heard, found = Rhythm(), 0, []
    for step in steps:
        heard += step
        due = rhythm.due(heard)
        if due is not None:
            found.append(due)
    return found


def test_nothing_is_due_one_sample_before_the_first_place() -> None:
    assert places([5_599]) == []
    assert places([5_600]) == [5_600]


def test_intervals_grow_by_three_tenths_up_to_a_second() -> None:
    assert places([10] * 9_000) == [5_600, 12_880, 22_344, 34_647, 50_640, 66_640, 82_640]


def test_of_places_that_were_passed_by_the_last_one_is_due() -> None:
    assert places([40_000]) == [34_647]


def test_a_place_is_due_once() -> None:
    assert places([5_600, 0, 1]) == [5_600]


@given(steps=st.lists(st.integers(0, 30_000), max_size=20))
def test_law_places_do_not_depend_on_how_audio_is_delivered(steps: list[int]) -> None:
    heard = sum(steps)
    every = places([1_000 // 50] * (heard // 20) + [heard % 20])
    found = places(steps)

    assert found == sorted(set(found))
    assert set(found) <= set(every)
    assert found[-1:] == every[-1:]

"""Quietest: where a cut falls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.quietest import quietest

pytestmark = pytest.mark.core


def test_a_cut_falls_into_the_middle_of_the_quietest_stretch() -> None:
    assert quietest([9, 9, 1, 1, 1, 9, 9], first=0, width=3) == 3


def test_a_short_drop_is_no_pause() -> None:
    assert quietest([9, 0, 9, 9, 2, 2, 2, 9], first=0, width=3) == 5


def test_of_equal_stretches_the_latest_is_cut() -> None:
    assert quietest([0] * 10, first=0, width=4) == 8


def test_what_lies_before_the_first_place_is_not_looked_at() -> None:
    assert quietest([0, 0, 5, 4, 5], first=2, width=1) == 3


def test_levels_that_just_suffice_leave_no_choice() -> None:
    assert quietest([3, 3], first=0, width=2) == 1
    with pytest.raises(ValueError, match="2 levels hold no 2 in a row from 1 on"):
        quietest([3, 3], first=1, width=2)


@given(levels=st.lists(st.integers(0, 50), min_size=1, max_size=40), first=st.integers(0, 10), width=st.integers(1, 10))
def test_law_no_stretch_is_quieter(levels: list[float], first: int, width: int) -> None:
    sums = {start: sum(levels[start : start + width]) for start in range(first, len(levels) - width + 1)}
    if sums:
        cut = quietest(levels, first, width)

        assert sums[cut - width // 2] == min(sums.values())

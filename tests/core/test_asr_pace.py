"""When sound is due: as it comes, but no faster than it can be spoken."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.pace import MOST_AHEAD_S, Pace

pytestmark = pytest.mark.core

SECONDS = st.floats(0, 1_000, allow_nan=False)


def test_sound_that_comes_as_it_is_spoken_is_due_when_it_comes() -> None:
    pace = Pace()

    assert [pace.due_s(at_s, 0.02) for at_s in (5.0, 5.02, 5.05)] == [5.0, 5.02, 5.05]


def test_a_recording_that_comes_at_once_is_due_as_it_would_be_spoken() -> None:
    pace = Pace()

    assert [pace.due_s(5.0, 0.5) for _ in range(4)] == [5.0, 5.5, 6.0, 6.5]


def test_a_pause_of_the_sender_makes_nothing_late() -> None:
    pace = Pace()
    pace.due_s(5.0, 0.02)

    assert pace.due_s(60.0, 0.02) == 60.0


def test_who_speaks_after_a_burst_is_not_waited_for_as_long_as_the_burst_was() -> None:
    pace = Pace()
    for _ in range(400):
        pace.due_s(5.0, 0.02)

    assert pace.due_s(5.02, 0.02) == 5.02 + MOST_AHEAD_S
    assert pace.due_s(9.0, 0.02) == 9.0


@given(st.lists(st.tuples(SECONDS, st.floats(0, 2))))
def test_due_times_never_go_back_and_none_is_before_its_arrival(pieces: list[tuple[float, float]]) -> None:
    pace = Pace()
    due = [(at_s, pace.due_s(at_s, sound_s)) for at_s, sound_s in sorted(pieces)]

    assert all(at_s <= due_s <= at_s + MOST_AHEAD_S for at_s, due_s in due)
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(due))

"""The waits between the lives of a child process."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.restart import BackOff, BackOffParams

pytestmark = pytest.mark.core

lives = st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=30)  # (did it answer, for how many seconds)


def waits(found: list[tuple[bool, float]]) -> list[float]:
    back_off, now = BackOff(BackOffParams()), 0.0
    result = []
    for answers, lasting_s in found:
        if answers:
            back_off.ready(now)
        now += lasting_s
        result.append(back_off.ended(now))
    return result


def test_the_waits_double_up_to_the_longest() -> None:
    assert waits([(False, 0.0)] * 7) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_child_that_answered_long_enough_is_trusted_again() -> None:
    assert waits([(True, 1.0), (True, 1.0), (True, 30.0), (True, 1.0)]) == [0.2, 0.4, 0.2, 0.4]


def test_a_child_that_never_answered_is_not_trusted_however_long_it_lived() -> None:
    assert waits([(False, 100.0), (False, 100.0)]) == [0.2, 0.4]


def test_health_of_an_older_life_does_not_count() -> None:
    assert waits([(True, 1.0), (False, 60.0)]) == [0.2, 0.4]


def test_a_first_wait_above_the_longest_is_the_longest() -> None:
    assert BackOff(BackOffParams(first_s=9.0, longest_s=5.0)).ended(0.0) == 5.0


@given(lives)
def test_every_wait_is_between_the_first_and_the_longest(found: list[tuple[bool, float]]) -> None:
    assert all(0.2 <= wait <= 5.0 for wait in waits(found))


@given(lives)
def test_a_wait_is_the_first_one_or_longer_than_the_last_or_the_longest(found: list[tuple[bool, float]]) -> None:
    result = waits(found)

    for before, after in pairwise(result):
        assert after in (0.2, 5.0) or after == 2 * before

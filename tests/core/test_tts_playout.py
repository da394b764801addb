"""How far made audio is ahead of the ear."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.playout import Playout

pytestmark = pytest.mark.core

RATE = 1000  # Hz: a sample is a millisecond
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 3000)),
        st.tuples(st.just("take"), st.integers(0, 3000)),
        st.tuples(st.just("wait"), st.integers(0, 3000)),
    )
)


def test_what_is_made_is_ahead_until_it_is_taken() -> None:
    playout = Playout(24_000)
    playout.make(24_000)

    assert [playout.ahead_ms(now_s) for now_s in (0.0, 5.0)] == [1000, 1000]
    assert playout.until_ahead_s(500, 5.0) == math.inf


def test_playing_begins_with_the_first_that_is_taken_and_goes_on_in_real_time() -> None:
    playout = Playout(RATE)
    playout.make(1000)
    playout.take(400, 5.0)
    playout.take(600, 5.0)

    assert [playout.ahead_ms(now_s) for now_s in (4.0, 5.0, 5.25, 6.0, 9.0)] == [1000, 1000, 750, 0, 0]
    assert playout.until_ahead_s(500, 5.0) == pytest.approx(0.5)
    assert playout.until_ahead_s(500, 5.25) == pytest.approx(0.25)
    assert playout.until_ahead_s(500, 5.5) == 0
    assert playout.until_ahead_s(1000, 5.0) == 0


def test_what_is_not_taken_is_not_played() -> None:
    playout = Playout(RATE)
    playout.make(1000)
    playout.take(400, 0.0)

    assert playout.ahead_ms(9.0) == 600
    assert playout.until_ahead_s(600, 0.1) == pytest.approx(0.3)
    assert playout.until_ahead_s(599, 0.1) == math.inf


def test_what_comes_too_late_begins_to_play_when_it_is_taken() -> None:
    playout = Playout(RATE)
    playout.make(800)
    playout.take(400, 0.0)
    playout.take(400, 3.0)

    assert [playout.played_samples(now_s) for now_s in (2.0, 3.0, 3.1, 4.0)] == [400, 400, 500, 800]


@given(STEPS, st.integers(0, 4000))
def test_the_ear_is_never_ahead_never_goes_back_and_never_hurries(steps: list[tuple[str, int]], most_ms: int) -> None:
    playout = Playout(RATE)
    now_s, made, taken, played = 0.0, 0, 0, 0
    for what, amount in steps:
        before_s = now_s
        if what == "make":
            made += amount
            playout.make(amount)
        elif what == "take":
            amount = min(amount, made - taken)
            taken += amount
            playout.take(amount, now_s)
        else:
            now_s += amount / 1000
        heard = playout.played_samples(now_s)
        assert played <= heard <= taken
        assert heard - played <= (now_s - before_s) * RATE + 1
        assert playout.ahead_ms(now_s) == made - heard
        played = heard

        wait_s = playout.until_ahead_s(most_ms, now_s)
        if wait_s == math.inf:
            assert playout.ahead_ms(now_s + 1e6) > most_ms
        else:
            assert playout.ahead_ms(now_s + wait_s + 1e-6) <= most_ms
            assert wait_s == 0 or playout.ahead_ms(now_s + wait_s - 0.0011) > most_ms

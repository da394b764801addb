"""How many live replies an engine can speak, judged by how fast it has been."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.capacity import MEMORY_S, Capacity

pytestmark = pytest.mark.core


def let_in(capacity: Capacity, asking: int = 100) -> int:
    """How many of those who ask are let in."""
    return sum(capacity.enter() for _ in range(asking))


def measured(rtf: float, slots: int = 2, load: float = 0.9) -> Capacity:
    capacity = Capacity(slots, load)
    capacity.measure(rtf, 1.0)
    return capacity


def test_everybody_is_let_in_before_anything_is_measured() -> None:
    capacity = Capacity(1, 0.9)
    capacity.measure(3.0, 0.0)

    assert let_in(capacity) == 100
    assert capacity.live == 100


@pytest.mark.parametrize(
    ("rtf", "slots", "load", "expected"),
    [(0.1, 1, 0.9, 9), (0.1, 2, 0.9, 18), (0.1, 2, 0.45, 9), (0.3, 1, 1.0, 3), (0.1, 2, 0.0, 100)],
)
def test_as_many_are_let_in_as_the_slots_can_speak_with_a_margin(
    rtf: float, slots: int, load: float, expected: int
) -> None:
    assert let_in(measured(rtf, slots, load)) == expected


def test_an_engine_that_is_slower_than_speech_still_speaks_one_reply_a_slot() -> None:
    assert let_in(measured(4.0, slots=3)) == 3


def test_who_leaves_makes_room() -> None:
    capacity = measured(0.5, slots=1)
    assert let_in(capacity) == 1
    capacity.leave()

    assert capacity.enter()
    assert not capacity.enter()


def test_the_last_audio_counts_most_and_a_long_segment_more_than_a_short_one() -> None:
    capacity = measured(0.1)
    capacity.measure(0.3, 1.0)
    after_short = capacity.rtf
    assert after_short is not None
    capacity.measure(0.2 * MEMORY_S * 9, MEMORY_S * 9)

    assert 0.1 < after_short < 0.12
    assert capacity.rtf == pytest.approx(0.2, abs=0.001)


@given(
    st.lists(st.tuples(st.floats(0, 10), st.just(0.0) | st.floats(0.01, 60))),
    st.lists(st.booleans()),
    st.integers(1, 4),
    st.floats(0.1, 1),
)
def test_a_newcomer_is_refused_only_when_the_slots_would_not_do(
    segments: list[tuple[float, float]], comings: list[bool], slots: int, load: float
) -> None:
    capacity = Capacity(slots, load)
    for took_s, made_s in segments:
        capacity.measure(took_s, made_s)
    rtfs = [took_s / made_s for took_s, made_s in segments if made_s > 0]
    live = 0
    for comes in comings:
        if comes:
            is_in = capacity.enter()
            assert is_in or live >= slots
            assert is_in or (live + 1) * max(rtfs) > load * slots * (1 - 1e-9)
            live += is_in
        elif live:
            capacity.leave()
            live -= 1
        assert capacity.live == live
    if capacity.rtf is not None:
        assert min(rtfs) * (1 - 1e-9) <= capacity.rtf <= max(rtfs) * (1 + 1e-9)

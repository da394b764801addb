"""Background: what it learns when, and how loud it ever asks anybody to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.background import (
    GUESS_SHARE,
    LOUD_SHARE,
    RETURN_RATIO,
    RETURN_SHARE,
    STAY_RATIO,
    STEADY_SHARE,
    Background,
)
from asr_service.core.noise_floor import NoiseFloor, NoiseFloorParams

pytestmark = pytest.mark.core

CAP_RMS = 0.05
VOICES = [(0.02, 60), (0.01, 40)] * 60  # swings between its own voices


class Room:
    """A background and its floor."""

    def __init__(self) -> None:
        self.floor = NoiseFloor(NoiseFloorParams(), 20.0)
        self.background = Background(self.floor, 20.0)

    def hear(self, *stretches: tuple[float, int], spoken_ms: float | None = None, level_rms: float = 0.1) -> "Room":
        """Each (level, milliseconds) in turn, before or within an utterance."""
        for rms, length_ms in stretches:
            for _ in range(length_ms // 20):
                if spoken_ms is None:
                    self.background.follow_silence()
                else:
                    self.background.follow_speech(spoken_ms, level_rms)
                self.floor.add(rms)
        return self

    def limits(self, level_rms: float = 1.0) -> tuple[float, float]:
        """What is asked to go on, and to come back."""
        background = self.background
        return background.limit_to_stay(level_rms), background.limit_to_return(level_rms, has_paused=False)


def test_where_nothing_is_known_nothing_is_asked() -> None:
    assert Room().limits() == (0.0, 0.0)
    assert Room().hear((0.02, 980)).limits() == (0.0, 0.0)
    assert Room().background.limit_to_begin(CAP_RMS) == 0.0


def test_steady_noise_asks_for_little_more_than_itself() -> None:
    room = Room().hear((0.02, 3_000))

    assert room.limits() == pytest.approx((STAY_RATIO * 0.02, RETURN_RATIO * 0.02))
    assert room.background.limit_to_begin(CAP_RMS) == pytest.approx(RETURN_RATIO * 0.02)


def test_many_voices_ask_for_more_than_their_mean() -> None:
    go_on, _ = Room().hear(*VOICES).limits()

    assert 0.016 * STAY_RATIO < go_on < 0.03


def test_nobody_need_be_louder_than_the_cap_to_begin_or_than_a_share_of_himself_to_go_on() -> None:
    room = Room().hear((0.2, 3_000))

    assert room.background.limit_to_begin(CAP_RMS) == CAP_RMS
    assert room.limits(level_rms=0.1) == pytest.approx((LOUD_SHARE * 0.1, LOUD_SHARE * 0.1))


def test_the_background_stays_for_five_seconds_of_speech_and_is_then_looked_for_in_it() -> None:
    room = Room().hear((0.02, 3_000)).hear((0.09, 6_000), spoken_ms=4_990)

    assert room.limits() == pytest.approx((STAY_RATIO * 0.02, RETURN_RATIO * 0.02))
    assert room.hear((0.09, 20), spoken_ms=5_000).limits() == pytest.approx(
        (STAY_RATIO * 0.09, RETURN_RATIO * 0.09), rel=0.01
    )


def test_a_background_that_gets_quieter_is_followed_after_five_seconds() -> None:
    room = Room().hear((0.02, 3_000)).hear((0.001, 6_000), spoken_ms=6_000)

    assert room.limits() == pytest.approx((STAY_RATIO * 0.001, RETURN_RATIO * 0.001), rel=0.01)


def test_noise_that_began_with_the_stream_is_known_for_it_by_being_flat() -> None:
    room = Room().hear((0.06, 3_000), spoken_ms=1_000, level_rms=0.1)

    assert room.limits(level_rms=0.05) == pytest.approx((LOUD_SHARE * 0.05, LOUD_SHARE * 0.05))


def test_speech_that_began_with_the_stream_may_fall_to_a_quarter() -> None:
    syllables = [(0.1, 100), (0.01, 140)] * 20
    room = Room().hear(*syllables, spoken_ms=1_000, level_rms=0.1)

    assert room.limits(level_rms=0.02) == pytest.approx((GUESS_SHARE * 0.02, GUESS_SHARE * 0.02))


def test_what_was_known_for_noise_stays_so_when_speech_rises_above_it() -> None:
    room = Room().hear((0.06, 3_000), spoken_ms=1_000, level_rms=0.1).hear((0.06, 20), spoken_ms=1_000, level_rms=0.5)

    assert room.limits(level_rms=0.05) == pytest.approx((LOUD_SHARE * 0.05, LOUD_SHARE * 0.05))


def test_who_has_paused_must_come_back_at_a_share_of_himself() -> None:
    quiet = Room().hear((0.001, 1_020)).background
    noisy = Room().hear((0.02, 3_000)).background

    assert quiet.limit_to_return(0.1, has_paused=True) == pytest.approx(RETURN_SHARE * 0.1)
    assert noisy.limit_to_return(0.1, has_paused=True) == pytest.approx(RETURN_RATIO * 0.02)


def test_in_a_background_that_was_steady_for_a_second_whoever_paused_may_come_back_more_softly() -> None:
    room = Room().hear((0.02, 1_000 + 980))  # the warm-up, and not quite a second

    assert room.background.share_to_return == 1.0
    assert room.hear((0.02, 20)).background.share_to_return == STEADY_SHARE
    assert room.hear((0.1, 4_900), spoken_ms=4_990).background.share_to_return == STEADY_SHARE
    assert room.hear((0.1, 20), spoken_ms=5_000).background.share_to_return == 1.0


@pytest.mark.parametrize("unsteady", [VOICES, [(0.0, 4_000)], [(0.02, 900)], [(0.01, 2_000), (0.02, 3_000)]])
def test_voices_and_what_is_not_known_are_not_steady(unsteady: list[tuple[float, int]]) -> None:
    assert Room().hear(*unsteady).background.share_to_return == 1.0


def test_steadiness_ends_at_once_when_the_background_begins_to_swing() -> None:
    room = Room().hear((0.02, 3_000))

    assert room.background.share_to_return == STEADY_SHARE
    assert room.hear((0.005, 100)).background.share_to_return == 1.0


def test_digital_silence_before_speech_is_a_background() -> None:
    room = Room().hear((0.0, 1_020)).hear((0.1, 3_000), spoken_ms=1_000)

    assert room.limits() == (0.0, 0.0)


LEVELS = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(LEVELS, st.integers(1, 60), st.none() | st.floats(0, 9_000), LEVELS), max_size=12), LEVELS)
def test_law_limits_keep_under_the_cap_and_the_share_and_are_lower_to_go_on(
    heard: list[tuple[float, int, float | None, float]], level_rms: float
) -> None:
    room = Room()
    for rms, frames, spoken_ms, level in heard:
        room.hear((rms, frames * 20), spoken_ms=spoken_ms, level_rms=level)

    go_on, come_back = room.limits(level_rms)

    assert 0.0 <= go_on <= come_back <= LOUD_SHARE * level_rms
    assert come_back <= room.background.limit_to_return(level_rms, has_paused=True) <= LOUD_SHARE * level_rms
    assert 0.0 <= room.background.limit_to_begin(CAP_RMS) <= CAP_RMS

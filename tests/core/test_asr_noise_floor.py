"""Noise floor: what it takes for background, how soon, and what it may never swallow."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.noise_floor import MOST_UNREST, SMOOTHING, NoiseFloor, NoiseFloorParams

pytestmark = pytest.mark.core

FRAME_MS = 20.0
SILENCE_RMS = 0.005
QUIET, NOISE, SPEECH = 0.001, 0.02, 0.1


def floor_after(*stretches: tuple[float, int], params: NoiseFloorParams | None = None) -> NoiseFloor:
    """A floor that heard each (level, milliseconds) in turn."""
    floor = NoiseFloor(params or NoiseFloorParams(), FRAME_MS)
    for rms, length_ms in stretches:
        hear(floor, rms, length_ms)
    return floor


def hear(floor: NoiseFloor, rms: float, length_ms: int) -> None:
    for _ in range(int(length_ms / FRAME_MS)):
        floor.add(rms)


def is_speech(floor: NoiseFloor, rms: float) -> bool:
    return rms > floor.threshold(SILENCE_RMS)


def ms_until_silent(floor: NoiseFloor, rms: float) -> int:
    """How long steady `rms` is taken for speech from now on."""
    length_ms = 0
    while length_ms < 60_000:
        floor.add(rms)
        length_ms += int(FRAME_MS)
        if not is_speech(floor, rms):
            return length_ms
    return length_ms


def test_a_floor_that_heard_nothing_asks_for_the_minimum() -> None:
    floor = floor_after()

    assert floor.floor_rms == 0.0
    assert floor.threshold(SILENCE_RMS) == SILENCE_RMS


def test_the_floor_counts_from_the_end_of_the_warm_up() -> None:
    floor = floor_after((NOISE, 980))

    assert floor.floor_rms == 0.0

    floor.add(NOISE)

    assert floor.floor_rms == pytest.approx(NOISE)
    assert floor.threshold(SILENCE_RMS) == pytest.approx(2.5 * NOISE)


def test_steady_noise_from_the_start_is_silence_within_two_seconds() -> None:
    assert 1_000 <= ms_until_silent(floor_after(), NOISE) <= 2_000


def test_noise_that_starts_in_between_is_silence_within_four_seconds() -> None:
    assert 2_000 <= ms_until_silent(floor_after((QUIET, 5_000)), NOISE) <= 4_000


def test_ten_seconds_of_steady_speech_stay_speech() -> None:
    floor = floor_after((QUIET, 3_000))

    for _ in range(500):
        floor.add(SPEECH)
        assert is_speech(floor, SPEECH)


def test_soft_speech_with_gaps_between_words_stays_speech() -> None:
    floor = floor_after((0.004, 3_000))

    for _ in range(30):
        for _ in range(17):
            floor.add(0.025)
            assert is_speech(floor, 0.025)
        hear(floor, 0.004, 60)


def test_the_floor_falls_at_once_when_it_gets_quiet() -> None:
    floor = floor_after((NOISE, 3_000), (QUIET, 120))

    assert floor.floor_rms < 0.0015


def test_one_lost_frame_does_not_make_noise_speech() -> None:
    floor = floor_after((NOISE, 3_000), (0.0, 20))

    assert floor.floor_rms == pytest.approx(NOISE * SMOOTHING)

    hear(floor, NOISE, 20)

    assert not is_speech(floor, NOISE)


def test_the_floor_forgets_a_quiet_frame_when_it_leaves_the_window() -> None:
    params = NoiseFloorParams(window_ms=1_000)
    floor = floor_after((QUIET, 1_000), (NOISE, 980), params=params)

    assert floor.floor_rms == pytest.approx(QUIET)

    floor.add(NOISE)

    assert floor.floor_rms == pytest.approx(QUIET * SMOOTHING + NOISE * (1 - SMOOTHING))


def test_loud_noise_never_asks_for_more_than_the_cap() -> None:
    floor = floor_after((0.5, 5_000))

    assert floor.threshold(SILENCE_RMS) == 0.05
    assert floor.threshold(SILENCE_RMS, share=0.6) == 0.05


def test_a_minimum_above_the_cap_holds() -> None:
    assert floor_after((0.5, 5_000)).threshold(0.2) == 0.2


def test_a_share_lowers_what_the_floor_asks() -> None:
    floor = floor_after((0.01, 2_000))

    assert floor.threshold(SILENCE_RMS, share=0.6) == pytest.approx(0.6 * 2.5 * 0.01)


def test_new_settings_count_at_once_and_forget_nothing_within_their_window() -> None:
    floor = floor_after((QUIET, 2_000), (NOISE, 1_200))

    floor.configure(NoiseFloorParams(window_ms=1_000, ratio=2.0))

    assert floor.threshold(0.0) == pytest.approx(2.0 * QUIET)

    floor.add(NOISE)

    assert floor.threshold(0.0) == pytest.approx(2.0 * NOISE, rel=1e-3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("warm_up_ms", 0),
        ("window_ms", 999),
        ("ratio", 0.99),
        ("ratio", 100.1),
        ("ratio", float("nan")),
        ("cap_rms", 0.0),
        ("cap_rms", 1.01),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        NoiseFloorParams(**{field: value})


def test_settings_at_their_bounds_are_taken() -> None:
    assert NoiseFloorParams(window_ms=1, warm_up_ms=1, ratio=1.0, cap_rms=1.0).cap_rms == 1.0
    assert NoiseFloorParams(ratio=100.0).ratio == 100.0


@pytest.mark.parametrize("frame_ms", [0.0, -20.0, float("nan")])
def test_a_frame_without_length_is_refused_by_name(frame_ms: float) -> None:
    with pytest.raises(ValueError, match="frame_ms"):
        NoiseFloor(NoiseFloorParams(), frame_ms)


def test_the_louder_moments_of_steady_noise_are_its_level_and_those_of_an_unsteady_one_are_louder() -> None:
    steady, unsteady = floor_after((NOISE, 6_000)), floor_after(*[(NOISE, 60), (NOISE / 2, 60)] * 50)

    assert steady.peak_rms == pytest.approx(steady.usual_rms) == pytest.approx(NOISE)
    assert NOISE / 2 < unsteady.floor_rms < unsteady.usual_rms < NOISE
    assert unsteady.peak_rms == pytest.approx(unsteady.usual_rms**2 / unsteady.floor_rms)


def test_the_louder_moments_are_at_most_twice_the_usual_level_and_unknown_until_the_warm_up_is_over() -> None:
    assert floor_after((NOISE, 980)).peak_rms == 0.0
    for hushed in (floor_after((NOISE, 2_000), (0.0, 500)), floor_after((NOISE, 2_000), (1e-9, 20), (NOISE, 500))):
        assert 0.0 < hushed.peak_rms <= MOST_UNREST * hushed.usual_rms
    assert floor_after((0.0, 2_000)).peak_rms == 0.0


def test_unrest_is_one_for_steady_noise_and_the_most_where_nothing_is_known() -> None:
    assert floor_after((NOISE, 3_000)).unrest == pytest.approx(1.0)
    assert floor_after((NOISE, 980)).unrest == floor_after((0.0, 3_000)).unrest == MOST_UNREST
    assert floor_after(*[(NOISE, 160), (NOISE / 9, 80)] * 25).unrest == MOST_UNREST


def test_the_usual_level_looks_back_two_windows() -> None:
    floor = floor_after((QUIET, 2_000), (NOISE, 4_980))

    assert floor.usual_rms == pytest.approx(QUIET)
    assert floor_after((QUIET, 2_000), (NOISE, 5_600)).usual_rms > 0.9 * NOISE


LEVELS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=80)


@given(levels=LEVELS, rms_min=st.floats(0.0, 0.5), share=st.floats(0.0, 1.0))
def test_law_the_threshold_keeps_its_bounds_and_falls_with_the_share(
    levels: list[float], rms_min: float, share: float
) -> None:
    params = NoiseFloorParams(window_ms=200, warm_up_ms=100)
    floor = NoiseFloor(params, FRAME_MS)
    for rms in levels:
        floor.add(rms)

        assert rms_min <= floor.threshold(rms_min) <= max(rms_min, params.cap_rms)
        assert floor.threshold(rms_min, share) <= floor.threshold(rms_min)


@given(levels=LEVELS)
def test_law_the_floor_is_the_least_smoothed_level_of_the_window(levels: list[float]) -> None:
    floor = NoiseFloor(NoiseFloorParams(window_ms=200, warm_up_ms=20), FRAME_MS)
    smoothed: list[float] = []
    for rms in levels:
        floor.add(rms)
        smoothed.append(SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * rms if smoothed else rms)

        assert floor.floor_rms == pytest.approx(min(smoothed[-10:]))
        assert floor.floor_rms <= max(levels) * (1 + 1e-9)

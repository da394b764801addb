"""Opening: what of a stream's first sound is speech, where it began, and when nobody waits for it any longer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.noise_floor import NoiseFloorParams
from asr_service.core.opening import DIGITAL_RMS, Found, Opening

pytestmark = pytest.mark.core

RMS_MIN, ONSET_FRAMES, OFFSET_RATIO = 0.005, 3, 0.45
HUSH, NOISE, SOFT, SPEECH, LOUD = 0.001, 0.01, 0.02, 0.04, 0.06  # SPEECH stands out of NOISE, LOUD of anything


def opened(*stretches: tuple[float, int], most_frames: int = 1_000) -> Opening:
    """An opening that heard each (level, frames of 20 ms) in turn."""
    return hear(Opening(NoiseFloorParams(), 20.0), *stretches, most_frames=most_frames)


def hear(opening: Opening, *stretches: tuple[float, int], most_frames: int = 1_000) -> Opening:
    for rms, frames in stretches:
        for _ in range(frames):
            opening.add(rms, RMS_MIN, most_frames)
    return opening


def found(opening: Opening) -> Found | None:
    return opening.find(RMS_MIN, ONSET_FRAMES, OFFSET_RATIO)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([(NOISE, 49)], None, id="steady noise"),
        pytest.param([(RMS_MIN, 20)], None, id="silence"),
        pytest.param([(NOISE, 9), (SOFT, 9), (NOISE, 9)], None, id="noise that swings a little"),
        pytest.param([(NOISE, 9), (SPEECH, 2), (NOISE, 9)], None, id="a click in noise"),
        pytest.param([(SPEECH, 9)], None, id="a syllable whose like has not been heard yet"),
        pytest.param([(LOUD, 2)], None, id="loud, but no onset yet"),
        pytest.param([(LOUD, 3)], Found(2, 0), id="louder than the cap"),
        pytest.param([(HUSH, 9), (0.006, 3)], Found(2, 0), id="after a hush"),
        pytest.param([(NOISE, 9), (SPEECH, 3)], Found(2, 0), id="out of noise"),
        pytest.param([(NOISE, 9), (SOFT, 3), (SPEECH, 3)], Found(5, 0), id="out of noise, softly at first"),
        pytest.param([(SPEECH, 9), (NOISE, 3)], Found(11, 3), id="from the first frame on, into noise"),
        pytest.param([(SPEECH, 9), (0.0, 2)], Found(10, 2), id="from the first frame on, into nothing"),
        pytest.param([(SPEECH, 5), (NOISE, 3), (SPEECH, 4)], Found(11, 0), id="the first syllable, at the second"),
        pytest.param([(0.0, 90), (NOISE, 9)], None, id="noise after a microphone was opened"),
        pytest.param([(DIGITAL_RMS, 90), (NOISE, 9), (SPEECH, 3)], Found(2, 0), id="speech after that"),
    ],
)
def test_speech_is_what_stands_out_and_is_found_where_it_began(
    heard: list[tuple[float, int]], expected: Found | None
) -> None:
    assert found(opened(*heard)) == expected


def test_the_rise_into_speech_is_a_part_of_it_and_what_is_as_low_as_silence_is_not() -> None:
    rise = [(NOISE, 9), (0.009, 1), (0.0095, 1), (0.0099, 1), (SPEECH, 3)]

    assert found(opened(*rise)) == Found(4, 0)
    assert found(opened((0.009, 1), (SPEECH, 3))) == Found(3, 0)
    assert found(opened((0.004, 1), (0.005, 1), (SPEECH, 3))) == Found(2, 0)


def test_clicks_are_forgotten_and_sound_that_may_be_speech_is_not() -> None:
    clicks, syllable, onset = opened((LOUD, 2), (0.005, 1)), opened((SPEECH, 5), (0.016, 3)), opened((LOUD, 2))

    assert (found(onset), found(hear(onset, (LOUD, 1)))) == (None, Found(2, 0))
    assert (clicks.has_sound, found(clicks), clicks.has_sound) == (True, None, False)
    assert (found(syllable), syllable.has_sound) == (None, True)
    assert found(opened((0.006, 5), (0.005, 1))) is None


def test_a_syllable_that_ends_as_softly_as_silence_is_waited_for() -> None:
    opening = opened((0.006, 5), (0.004, 1))

    assert (found(opening), opening.has_sound) == (None, True)
    assert found(hear(opening, (0.0, 2))) == Found(7, 3)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [([(NOISE, 20)], Found(19, 0)), ([(NOISE, 5), (HUSH, 1)], Found(5, 1)), ([(NOISE, 2)], None), ([], None)],
)
def test_who_says_that_there_was_speech_gets_what_has_sounded(
    heard: list[tuple[float, int]], expected: Found | None
) -> None:
    opening = opened(*heard)

    assert opening.take(RMS_MIN, ONSET_FRAMES) == expected
    assert not opening.has_sound


def test_an_opening_is_over_after_a_warm_up_of_sound_and_its_floor_counts_from_then_on() -> None:
    opening = opened((0.0, 100), (NOISE, 49))

    assert not opening.is_over
    assert hear(opening, (NOISE, 1)).is_over
    assert opening.floor.floor_rms == pytest.approx(NOISE)


def test_new_settings_count_at_once() -> None:
    opening = opened((NOISE, 20), (SOFT, 3))
    opening.configure(NoiseFloorParams(warm_up_ms=500, ratio=1.5))

    assert opening.find(RMS_MIN, ONSET_FRAMES, 0.8) == Found(2, 0)
    assert hear(opening, (NOISE, 2)).is_over
    assert opening.floor.threshold(0.0) == pytest.approx(1.5 * NOISE)


def test_what_is_found_is_no_longer_than_asked() -> None:
    assert found(opened((SPEECH, 20), (NOISE, 3), most_frames=10)) == Found(9, 3)


FRAMES = st.lists(st.tuples(st.sampled_from([0.0, 0.004, 0.006, 0.012, 0.03, 0.2]), st.integers(1, 9)), max_size=12)


@given(FRAMES, st.integers(1, 5), st.integers(5, 60))
def test_law_what_is_found_is_an_onset_at_least_and_as_long_as_asked_at_most(
    heard: list[tuple[float, int]], onset_frames: int, most_frames: int
) -> None:
    opening = opened(*heard, most_frames=most_frames)

    for speech in (opening.find(RMS_MIN, onset_frames, OFFSET_RATIO), opening.take(RMS_MIN, onset_frames)):
        if speech is not None:
            assert 0 <= speech.last <= speech.first + 1 - onset_frames
            assert speech.first < most_frames


@given(st.lists(st.floats(0.0, RMS_MIN), max_size=60))
def test_law_nothing_is_found_in_silence(levels: list[float]) -> None:
    opening = opened(*[(rms, 1) for rms in levels])

    assert found(opening) is opening.take(RMS_MIN, ONSET_FRAMES) is None


@given(st.lists(st.floats(0.0199, 0.049), max_size=60))
def test_law_nothing_is_found_in_steady_sound_under_the_cap(levels: list[float]) -> None:
    assert found(opened(*[(rms, 1) for rms in levels])) is None

"""What is kept of a recording and what is wrong with it, from its levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.voice_check import (
    CLICK_FRAMES,
    FRAME_MS,
    LONGEST_MS,
    LOUDEST_FRAMES,
    MARGIN_FRAMES,
    Heard,
    decibels,
    first_part,
    length_fault,
    measure,
    sound_fault,
)

pytestmark = pytest.mark.core

LOUD, SOFT, HISS, NOTHING = 0.1, 0.01, 0.0005, 0.0
WORD = [LOUD] * 15 + [SOFT] * 10  # half a second, a tenth of it quiet
PAUSE = [HISS] * 10
FRAMES_A_SECOND = 1000 // FRAME_MS


def speech(seconds: float) -> list[float]:
    frames = round(seconds * FRAMES_A_SECOND)
    return [*((WORD + PAUSE) * (frames // 35 + 1))[: frames - 3], LOUD, LOUD, LOUD]


def heard(rms: list[float], clipped: float = 0.0) -> Heard:
    found = measure(rms, [clipped] * len(rms))
    assert found is not None
    return found


def test_what_is_spoken_is_kept_with_a_margin() -> None:
    around = [HISS] * 80
    found = heard(around + WORD * 8 + around)
    assert (found.begin, found.end) == (80 - MARGIN_FRAMES, 80 + 200 + MARGIN_FRAMES)
    assert found.sound_ms == 4_000
    assert found.length_ms == 4_200
    assert length_fault(found) is sound_fault(found) is None


def test_a_recording_without_silence_around_it_is_kept_whole() -> None:
    found = heard(WORD * 8)
    assert (found.begin, found.end) == (0, 200)


@pytest.mark.parametrize(
    "rms",
    [
        [],
        [NOTHING] * 500,
        [HISS] * 500,
        [HISS] * 200 + [LOUD] * (LOUDEST_FRAMES - 1) + [HISS] * 200,
        [LOUD] * (LOUDEST_FRAMES - 1),
    ],
)
def test_where_nobody_speaks_nothing_is_heard(rms: list[float]) -> None:
    assert measure(rms, [0.0] * len(rms)) is None


def test_a_click_is_no_sound() -> None:
    click = [LOUD] * (CLICK_FRAMES - 1)
    quiet = [HISS] * 50
    found = heard(click + quiet + WORD * 8 + quiet + click)
    assert (found.begin, found.end) == (52 - MARGIN_FRAMES, 252 + MARGIN_FRAMES)


def test_clicks_alone_are_kept_whole_and_are_too_noisy_or_not_by_their_levels() -> None:
    found = heard(([LOUD, LOUD, NOTHING] * 100)[:-1])
    assert (found.begin, found.end) == (0, 299)
    assert found.snr_db == 0.0


@pytest.mark.parametrize(("frames", "is_short"), [(149, True), (150, False)])
def test_three_seconds_are_enough(frames: int, is_short: bool) -> None:
    fault = length_fault(heard(speech(frames / FRAMES_A_SECOND)))
    assert bool(fault) == is_short
    assert not fault or fault.startswith("Only 2.9 seconds of speech")


@pytest.mark.parametrize("around", [0, 1, MARGIN_FRAMES, 50])
@pytest.mark.parametrize(("frames", "is_short"), [(147, True), (150, False)])
def test_silence_around_too_short_a_recording_does_not_make_it_long_enough(
    frames: int, is_short: bool, around: int
) -> None:
    found = heard([NOTHING] * around + [LOUD] * frames + [NOTHING] * around)
    assert bool(length_fault(found)) == is_short


@pytest.mark.parametrize(("frames", "is_long"), [(1_500, False), (1_501, True)])
def test_thirty_seconds_are_as_much_as_is_taken(frames: int, is_long: bool) -> None:
    found = heard([HISS] * 20 + speech(frames / FRAMES_A_SECOND) + [HISS] * 20)
    fault = length_fault(found)
    assert bool(fault) == is_long
    assert not fault or fault == "The recording has 30.1 seconds of speech; cut it to 30 seconds at most."
    assert found.length_ms <= LONGEST_MS or is_long
    begin, end = first_part(found)
    assert (begin, end - begin) == (found.begin, 1_500)


def test_the_margin_is_smaller_where_it_would_be_too_long() -> None:
    found = heard([HISS] * 20 + speech(29.9) + [HISS] * 20)
    assert (found.begin, found.end, found.length_ms) == (18, 1_517, 29_980)


def test_a_steady_sound_is_noise() -> None:
    fault = sound_fault(heard([LOUD] * 300))
    assert fault is not None
    for quiet in (NOTHING, HISS / 2):
        assert sound_fault(heard([quiet] * 10 + [LOUD] * 300 + [quiet] * 10)) == fault
    assert fault.startswith("The voice is only 0 dB louder than the noise")


@pytest.mark.parametrize(("noise", "is_noisy"), [(0.03, True), (0.02, False)])
def test_a_voice_must_be_louder_than_the_noise_by_far(noise: float, is_noisy: bool) -> None:
    rms = [max(noise, level) for level in speech(5)]
    assert bool(sound_fault(heard(rms))) == is_noisy


def test_digital_silence_between_words_says_nothing_of_the_noise() -> None:
    noisy = [0.05 if level == HISS else level + 0.05 for level in speech(5)]
    gated = [NOTHING if level == 0.05 else level for level in noisy]
    assert sound_fault(heard(gated)) is not None


@pytest.mark.parametrize(("clipped", "is_distorted"), [(0.001, False), (0.003, True)])
def test_samples_at_full_scale_distort(clipped: float, is_distorted: bool) -> None:
    fault = sound_fault(heard(speech(5), clipped))
    assert bool(fault) == is_distorted
    assert not fault or "distorted" in fault


def test_only_what_is_kept_counts_as_clipped() -> None:
    rms = [HISS] * 100 + speech(5)
    found = measure(rms, [1.0] * 50 + [0.0] * 300)
    assert found is not None
    assert found.clipped_share == 0.0


def test_decibels_of_silence_are_a_number() -> None:
    assert (decibels(1.0), decibels(0.1), decibels(0.0)) == (0.0, -20.0, -120.0)


@given(
    rms=st.lists(st.floats(0, 4), max_size=2_000),
    before=st.integers(0, 200),
    after=st.integers(0, 200),
)
def test_what_is_kept_lies_in_the_recording_wherever_it_lies(rms: list[float], before: int, after: int) -> None:
    found = measure(rms, [0.0] * len(rms))
    if found is None:
        return
    assert 0 <= found.begin < found.end <= len(rms)
    if length_fault(found) is None:
        assert 3_000 <= found.length_ms <= LONGEST_MS
    assert first_part(found)[1] - found.begin <= LONGEST_MS // FRAME_MS
    moved = measure([NOTHING] * before + rms + [NOTHING] * after, [0.0] * (before + len(rms) + after))
    assert moved is not None
    assert (moved.sound_ms, moved.snr_db) == (found.sound_ms, found.snr_db)
    assert length_fault(moved) == length_fault(found)

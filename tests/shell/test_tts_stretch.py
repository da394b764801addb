"""Speech made faster or slower: how long it gets, that its pitch stays, and that it is the same however it was cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sounds import humming, loudness_db, pitch_hz, samples_in
from tts_service.audio import FADE_MS, polish, silence
from tts_service.stretch import Stretcher, shared_out

pytestmark = pytest.mark.shell

RATE = 24_000
SPEEDS = [0.25, 0.4, 0.5, 0.8, 1.25, 2.0, 3.0, 4.0]


def stretched(pcm: bytes, speed: float, places: list[int], rate: int = RATE) -> bytes:
    samples = np.frombuffer(pcm, np.int16)
    edges = [0, *sorted(place % (samples.size + 1) for place in places), samples.size]
    stretcher = Stretcher(rate, speed)
    parts = [stretcher.accept(samples[start:end]) for start, end in pairwise(edges[:-1])]
    parts.append(stretcher.finish(samples[edges[-2] :]))
    return np.concatenate(parts).tobytes()


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000])
@pytest.mark.parametrize("speed", SPEEDS)
def test_a_speed_changes_how_long_it_is_and_neither_its_pitch_nor_its_loudness(speed: float, rate: int) -> None:
    pcm = humming(3_000, rate)
    made = samples_in(stretched(pcm, speed, [], rate))
    assert made.size / rate == pytest.approx(3 / speed, abs=0.1)
    assert pitch_hz(made, rate) == pytest.approx(200, abs=4)
    assert loudness_db(made) == pytest.approx(loudness_db(samples_in(pcm)), abs=1)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(0, 60_000),
    rate=st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]),
    speed=st.one_of(st.floats(0.25, 0.5), st.floats(0.25, 4)),
)
def test_speech_of_any_length_is_as_long_as_it_was_divided_by_the_speed(samples: int, rate: int, speed: float) -> None:
    made = samples_in(stretched(bytes(2 * samples), speed, [], rate))
    assert made.size / rate == pytest.approx(samples / rate / speed, abs=0.1)


@settings(max_examples=20)
@given(places=st.lists(st.integers(0, 100_000), max_size=30), speed=st.sampled_from(SPEEDS))
def test_the_speed_does_not_depend_on_how_the_sound_was_cut(places: list[int], speed: float) -> None:
    pcm = humming(707, RATE)  # some of it fills no frame of the filter
    assert stretched(pcm, speed, places) == stretched(pcm, speed, [])


def test_the_usual_speed_changes_nothing() -> None:
    pcm = humming(100, RATE)
    assert stretched(pcm, 1.0, [7, 99]) == pcm


@pytest.mark.parametrize("speed", SPEEDS)
def test_the_end_of_the_speech_is_kept(speed: float) -> None:
    """A burst that is the last thing said, right up to the end, is all there."""
    pcm = silence(500, RATE) + humming(207, RATE, pitch_hz=400)
    burst = samples_in(pcm[len(silence(500, RATE)) :])
    made = samples_in(stretched(pcm, speed, []))
    assert 0.8 < np.sum(made**2) * speed / np.sum(burst**2) < 1.5, "a window more or less at most"


@pytest.mark.parametrize(
    ("speed", "has_speed", "shares"),
    [(2.0, True, (2.0, 1.0)), (0.5, True, (0.5, 1.0)), (0.25, True, (0.5, 0.5)), (0.25, False, (1.0, 0.25))],
)
def test_a_speed_is_the_engine_s_as_far_as_it_can(speed: float, has_speed: bool, shares: tuple[float, float]) -> None:
    assert shared_out(speed, has_speed=has_speed) == shares


def test_the_first_sound_comes_before_the_last_is_there() -> None:
    stretcher = Stretcher(RATE, 0.8)
    assert stretcher.accept(np.frombuffer(humming(100, RATE), np.int16)).size > 0


@pytest.mark.parametrize("speed", [0.5, 1.7, 4.0])
def test_polished_speech_of_another_speed_begins_and_ends_softly_at_zero(speed: float) -> None:
    blocks = [humming(500, RATE), silence(400, RATE)]
    made = np.frombuffer(b"".join(polish(blocks, RATE, RATE, speed)), np.int16).astype(np.int32)
    fade = FADE_MS * RATE // 1000
    assert (made[0], made[-1]) == (0, 0)
    assert np.abs(made[: fade // 8]).max() < 500
    assert np.abs(made[-fade // 8 :]).max() < 500
    assert made.size / RATE == pytest.approx(0.5 / speed, abs=0.06 / speed + 0.06), "the silence is trimmed"


def test_silence_at_another_speed_comes_to_nothing_and_so_does_no_sound_at_all() -> None:
    assert list(polish([silence(900, RATE)], RATE, 16_000, 2.0)) == []
    assert list(polish([], RATE, 16_000, 0.5)) == []

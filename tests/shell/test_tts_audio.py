"""The polish of an engine's audio: trimmed, faded, resampled, gathered."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.audio import FADE_MS, GATHERED_MS, MARGIN_MS, gather, polish, silence

pytestmark = pytest.mark.shell


def wave(loud_ms: int, before_ms: int, after_ms: int, rate: int) -> bytes:
    tone = 8_000 * np.cos(2 * np.pi * 200 * np.arange(loud_ms * rate // 1000) / rate)
    return silence(before_ms, rate) + tone.astype(np.int16).tobytes() + silence(after_ms, rate)


def cut_at(pcm: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(pcm) + 1) for place in places), len(pcm)]
    return [pcm[start:end] for start, end in pairwise(edges)]


@pytest.fixture(scope="module")
def pausing() -> bytes:
    return wave(80, 120, 60, 8_000) + wave(50, 10, 300, 8_000)


@given(places=st.lists(st.integers(0, 100_000), max_size=12), rate=st.sampled_from([8_000, 11_025, 24_000]))
def test_polish_does_not_depend_on_how_the_audio_was_cut(pausing: bytes, places: list[int], rate: int) -> None:
    whole = b"".join(polish([pausing], 8_000, rate))
    assert b"".join(polish(cut_at(pausing, places), 8_000, rate)) == whole


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_silence_at_both_ends_is_trimmed_and_the_edges_are_faded(rate: int) -> None:
    made = np.frombuffer(b"".join(polish([wave(200, 300, 400, rate)], rate, rate)), np.int16)
    assert made.size == 200 * rate // 1000 + 2 * (MARGIN_MS * rate // 1000)
    assert (made[0], made[-1]) == (0, 0)


def test_speech_that_begins_and_ends_aloud_is_faded_not_cut() -> None:
    made = np.frombuffer(b"".join(polish([wave(200, 0, 0, 16_000)], 16_000, 16_000)), np.int16)
    fade = FADE_MS * 16
    assert made.size == 3_200
    assert (made[0], made[-1]) == (0, 0)
    assert np.abs(np.diff(made[:fade].astype(np.int32))).max() < 1_000
    assert np.abs(np.diff(made[-fade:].astype(np.int32))).max() < 1_000
    assert np.abs(made[fade:-fade].astype(np.int32)).max() == 8_000


def test_a_pause_inside_a_segment_stays() -> None:
    made = b"".join(polish([wave(100, 0, 0, 16_000), wave(100, 700, 0, 16_000)], 16_000, 16_000))
    assert len(made) // 2 == 900 * 16


def test_a_very_long_pause_is_let_out_while_it_lasts() -> None:
    blocks = polish([wave(100, 0, 3_000, 16_000)], 16_000, 16_000)
    assert len(next(blocks)) // 2 == (100 + 3_000 - 1_000) * 16


def test_audio_is_gathered_into_larger_pieces_as_more_of_it_is_out() -> None:
    pieces = [bytes([place]) * 320 for place in range(200)]  # 10 ms at 16 kHz each
    gathered = list(gather(pieces, 16_000))
    assert b"".join(gathered) == b"".join(pieces)
    assert len(gathered[0]) == 320
    gone = 0
    for piece in gathered[:-1]:
        assert len(piece) - 320 < gone / 2 or len(piece) == 320
        gone += len(piece)
    assert max(map(len, gathered)) == GATHERED_MS * 32
    assert len(gathered) < 25
    assert list(gather([], 16_000)) == []


def test_silence_alone_comes_to_nothing() -> None:
    assert list(polish([silence(900, 16_000), b"", silence(900, 16_000)], 16_000, 24_000)) == []


def test_speech_shorter_than_a_fade_is_no_trouble() -> None:
    made = np.frombuffer(b"".join(polish([wave(1, 0, 0, 16_000)], 16_000, 16_000)), np.int16)
    assert made.size == 16
    assert (made[0], made[-1]) == (0, 0)

"""Raw Opus packets of a reply, heard again by a decoder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sounds import humming, loudness_db, pitch_hz, samples_in, unpacked
from tts_service.packets import PACKET_MS, PACKET_RATES, OpusPackets

pytestmark = pytest.mark.shell


def packed(pieces: list[bytes], rate: int) -> list[bytes]:
    packets = OpusPackets(rate)
    return [packet for piece in pieces for packet in packets.encode(piece)] + packets.finish()


@pytest.mark.parametrize("rate", PACKET_RATES)
@pytest.mark.parametrize("duration_ms", [1, 20, 990, 1_000, 1_007, 1_019])
def test_packets_are_heard_as_long_as_the_sound_or_less_than_two_packets_longer(rate: int, duration_ms: int) -> None:
    packets = packed([humming(duration_ms, rate)], rate)
    heard, heard_rate = unpacked(packets)
    assert heard.size / heard_rate == pytest.approx(len(packets) * PACKET_MS / 1000)
    assert duration_ms <= len(packets) * PACKET_MS < duration_ms + 2 * PACKET_MS


@pytest.mark.parametrize("rate", PACKET_RATES)
def test_packets_sound_as_what_was_said(rate: int) -> None:
    pcm = humming(2_000, rate)
    packets = packed([pcm], rate)
    heard, heard_rate = unpacked(packets)
    assert loudness_db(heard) == pytest.approx(loudness_db(samples_in(pcm)), abs=1)
    assert pitch_hz(heard, heard_rate) == pytest.approx(200, abs=2)
    assert sum(map(len, packets)) * 8 / 2 < 40_000, "bits a second"


@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 2_000), max_size=12))
def test_packets_do_not_depend_on_how_the_sound_was_cut(sizes: list[int]) -> None:
    pcm, pieces, at = humming(300, 16_000), list[bytes](), 0
    for size in sizes:
        pieces.append(pcm[at : at + 2 * size])
        at += 2 * size
    assert packed([*pieces, pcm[at:]], 16_000) == packed([pcm], 16_000)


def test_a_packet_comes_with_each_frame_that_is_full() -> None:
    packets, pcm = OpusPackets(24_000), humming(50, 24_000)
    assert [len(packets.encode(pcm[start : start + 480])) for start in range(0, 2_400, 480)] == [0, 1, 0, 1, 0]


def test_no_sound_is_no_packet() -> None:
    assert packed([], 24_000) == []
    assert packed([b""], 24_000) == []

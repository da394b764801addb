"""The files that speech is sent as: made piece by piece, and heard again by a decoder."""

import io
import wave
from collections.abc import Iterator

import pytest

from tests.support.sounds import decoded, humming, loudness_db, pitch_hz, samples_in
from tts_service.encoders import FORMATS, NOTHING_SAID_MS, UNKNOWN_LENGTH, Encoder, wav_header

pytestmark = pytest.mark.shell

RATE = 24_000
FRAME_BYTES = 960  # 20 ms
CODED = ("mp3", "opus", "aac", "flac")
NO_SOUND_BYTES = {"mp3": 0, "opus": 129, "aac": 0, "flac": 100}  # that stand before any sound
HEADS = {"mp3": (b"\xff\xf3", b"\xff\xf2"), "opus": (b"OggS",), "aac": (b"\xff\xf1",), "flac": (b"fLaC",)}


def parts_of(encoder: Encoder, pcm: bytes, size: int = FRAME_BYTES) -> Iterator[bytes]:
    for start in range(0, len(pcm), size):
        yield encoder.encode(pcm[start : start + size])
    yield encoder.finish()
    encoder.close()


def file_of(name: str, pcm: bytes, size: int = FRAME_BYTES) -> bytes:
    return b"".join(parts_of(FORMATS[name].encoder(RATE), pcm, size))


@pytest.mark.parametrize("name", CODED)
def test_what_is_encoded_is_heard_again_as_long_as_loud_and_as_high(name: str) -> None:
    pcm = humming(3_013, RATE)
    file = file_of(name, pcm)
    heard, rate = decoded(file)
    assert file.startswith(HEADS[name])
    assert heard.size / rate == pytest.approx(3.013, abs=0.08), "a decoder's delay and the last frame come on top"
    assert heard.size / rate >= 3.013
    assert loudness_db(heard) == pytest.approx(loudness_db(samples_in(pcm)), abs=1)
    assert pitch_hz(heard, rate) == pytest.approx(200, abs=2)


def test_flac_and_wav_lose_nothing() -> None:
    pcm = humming(777, RATE)
    flac, rate = decoded(file_of("flac", pcm))
    assert (flac == samples_in(pcm)).all()
    assert rate == RATE
    with wave.open(io.BytesIO(file_of("wav", pcm))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, RATE)
        assert sound.readframes(10**9) == pcm
    assert file_of("pcm", pcm) == pcm


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("size", [2, 1_000, 10**9])
def test_the_file_does_not_depend_on_how_its_sound_was_cut(name: str, size: int) -> None:
    pcm = humming(60, RATE)
    heard, _ = decoded(file_of(name, pcm, size))
    usual, _ = decoded(file_of(name, pcm))
    assert heard.size == usual.size
    assert abs(heard - usual).max() < 1e-4


@pytest.mark.parametrize(("name", "within_ms"), [("mp3", 80), ("opus", 40), ("aac", 140), ("flac", 120)])
def test_the_first_sound_is_out_early_and_little_is_held_back_after_it(name: str, within_ms: int) -> None:
    encoder, pcm = FORMATS[name].encoder(RATE), humming(2_000, RATE)
    made = bytearray()
    for start in range(0, within_ms * RATE // 1000 * 2, FRAME_BYTES):
        made += encoder.encode(pcm[start : start + FRAME_BYTES])
    assert len(made) > NO_SOUND_BYTES[name]
    for start in range(within_ms * RATE // 1000 * 2, len(pcm), FRAME_BYTES):
        made += encoder.encode(pcm[start : start + FRAME_BYTES])
    heard, rate = decoded(bytes(made))
    assert heard.size / rate > 2 - 0.25
    encoder.close()


@pytest.mark.parametrize("name", CODED)
def test_a_file_in_which_nothing_is_said_can_be_opened_and_is_silent(name: str) -> None:
    heard, rate = decoded(file_of(name, b""))
    assert NOTHING_SAID_MS / 1000 <= heard.size / rate < NOTHING_SAID_MS / 1000 + 0.1
    assert abs(heard).max() < 0.001


def test_a_wav_of_unknown_length_says_so() -> None:
    file = file_of("wav", b"")
    assert len(file) == 44
    assert file[4:8] == file[40:44] == UNKNOWN_LENGTH.to_bytes(4, "little")


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoder_is_closed_in_the_middle_of_a_file_and_again(name: str) -> None:
    encoder = FORMATS[name].encoder(RATE)
    encoder.encode(humming(100, RATE))
    encoder.close()
    encoder.close()


@pytest.mark.parametrize("name", FORMATS)
def test_an_encoder_that_got_no_sound_holds_nothing(name: str) -> None:
    encoder = FORMATS[name].encoder(RATE)
    encoder.close()
    assert encoder.encode(b"") == (wav_header(RATE) if name == "wav" else b"")

"""A file that somebody brought becomes a recording that a voice is made of, or is refused with a sentence."""

import io
import struct
import zipfile
from collections.abc import Callable

import av
import numpy as np
import pytest

from shared.errors import InvalidAudio, MessageTooLarge, ParleyError
from tests.support.speech import RATE, silence, speech
from tests.support.uploads import ENCODERS, encoded, film, wav
from tests.support.voices import float_wav, floats, noisy, pcm16, spoken, voice_wav
from tts_service.recording import LONGEST_FILE_S, RECORDING_RATE, Recording, checked_recording, trusted_recording

pytestmark = pytest.mark.shell


def checked(file: bytes) -> Recording:
    return checked_recording(io.BytesIO(file))


def refusal(file: bytes) -> str:
    with pytest.raises(InvalidAudio) as refused:
        checked(file)
    assert (refused.value.service, refused.value.param) == ("tts", "file")
    assert refused.value.message.endswith(".")
    return refused.value.message


def loudness(pcm: bytes) -> float:
    return float(np.sqrt((floats(pcm) ** 2).mean()))


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "m4a", "webm"])
def test_every_format_becomes_the_same_recording(name: str) -> None:
    made = checked(voice_wav() if name == "wav" else encoded(spoken(), name))
    assert made.duration_ms == pytest.approx(5_000, abs=200)
    assert loudness(made.pcm) == pytest.approx(loudness(spoken()), rel=0.1)
    assert (made.is_cut, made.fault) == (False, None)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_any_rate_and_channels_become_24_khz_mono(rate: int, channels: int) -> None:
    one = np.interp(np.arange(5 * rate) / rate, np.arange(5 * RATE) / RATE, floats(spoken()))
    pcm = pcm16(np.repeat(one, channels))
    made = checked(wav(pcm, rate, channels))
    assert made.duration_ms == pytest.approx(checked(voice_wav()).duration_ms, abs=40)
    assert len(made.pcm) / 2 / RECORDING_RATE == pytest.approx(made.duration_ms / 1000, abs=0.001)
    assert loudness(made.pcm) == pytest.approx(float(np.sqrt((one**2).mean())), rel=0.05)


def test_bits_of_every_width_are_as_loud() -> None:
    samples = floats(spoken())
    widths = {
        1: ((samples * 127) + 128).astype("u1").tobytes(),
        3: b"".join(struct.pack("<i", int(one * 2**23))[:3] for one in samples),
        4: (samples * (2**31 - 1)).astype("<i4").tobytes(),
    }
    for width, body in widths.items():
        form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * width, width, width * 8)
        rest = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(body)) + body
        made = trusted_recording(io.BytesIO(b"RIFF" + struct.pack("<I", len(rest)) + rest))
        assert loudness(made.pcm) == pytest.approx(loudness(spoken()), rel=0.05), width


def test_silence_around_the_voice_is_cut_off() -> None:
    around = silence(4_000)
    made = checked(wav(around + spoken() + around))
    assert 4_500 < made.duration_ms <= 5_200
    assert loudness(made.pcm) == pytest.approx(loudness(spoken()), rel=0.1)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (lambda: voice_wav(2.0), "seconds of speech are in the recording; speak for 3 to 30 seconds."),
        (lambda: wav(silence(5_000) + spoken(1.5) + silence(5_000)), "seconds of speech are in"),
        (lambda: voice_wav(33), "cut it to 30 seconds at most."),
        (lambda: wav(silence(6_000)), "No voice is heard"),
        (lambda: wav(pcm16(floats(spoken()) * 0.01)), "nearer to the microphone"),
        (lambda: wav(pcm16(floats(spoken()) * 5)), "distorted because it was too loud"),
        (lambda: wav(noisy(spoken(), 3)), "louder than the noise around it"),
        (lambda: wav(noisy(silence(5_000) + b"\x00\x40" * 80, -20)), "louder than the noise"),
        (lambda: wav(spoken(10), 8_000), "8000 samples a second, which is too coarse"),
        (lambda: wav(spoken(10), 500_000), "send at most 384000"),
        (lambda: wav(spoken(5) * 16, channels=16), "16 channels"),
    ],
    ids=["short", "mostly silent", "long", "silent", "quiet", "clipped", "noisy", "noise", "coarse", "fast", "many"],
)
def test_what_makes_no_good_voice_is_refused_with_what_to_do(file: Callable[[], bytes], words: str) -> None:
    assert words in refusal(file())


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("speech.wav", voice_wav())
    return target.getvalue()


def header(rate: int = RATE, channels: int = 1, data_bytes: int = 0) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, 32_000, 2, 16)
    rest = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", data_bytes)
    return b"RIFF" + struct.pack("<I", len(rest) + data_bytes) + rest


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"R",
    "a zip": zipped,
    "10 MB of noise": lambda: np.random.default_rng(7).bytes(10_000_000),
    "text": lambda: b"This is no sound at all. " * 400,
    "a playlist": lambda: b"ffconcat version 1.0\nfile secret.wav\n",
    "a WAV's header alone": header,
    "1 Hz": lambda: header(1, 1, 80_000) + bytes(80_000),
    "0 Hz": lambda: header(0, 1, 80_000) + bytes(80_000),
    "4 GHz": lambda: header(0xFFFF_FFFF, 1, 80_000) + bytes(80_000),
    "0 channels": lambda: header(RATE, 0, 80_000) + bytes(80_000),
    "65535 channels": lambda: header(RATE, 65_535, 200_000) + bytes(200_000),
    "no numbers": lambda: float_wav(np.where(np.arange(5 * RATE) == 70_000, np.nan, floats(spoken()))),
    "endless loudness": lambda: float_wav(np.where(np.arange(5 * RATE) == 9, np.inf, floats(spoken()))),
    "loudness of 1e30": lambda: float_wav(floats(spoken()) * 1e30),
    "a film without sound": lambda: film(1, None),
    "half a FLAC": lambda: encoded(spoken(), "flac")[:2_000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_recording_is_refused(name: str) -> None:
    assert refusal(HOSTILE[name]())


@pytest.mark.parametrize("made", [lambda: encoded(speech("nihao") * 130, "mp3"), lambda: wav(bytes(2 * RATE * 61))])
def test_a_file_that_is_too_long_is_not_decoded_to_its_end(made: Callable[[], bytes]) -> None:
    with pytest.raises(MessageTooLarge, match=f"longer than {LONGEST_FILE_S} seconds"):
        checked(made())


def test_two_hours_that_a_header_claims_are_refused() -> None:
    assert "cut off" in refusal(header(data_bytes=2 * 3_600 * RATE * 2) + spoken())


@pytest.mark.parametrize("name", ["wav", "flac", "m4a"])
def test_a_file_that_was_cut_off_is_refused(name: str) -> None:
    file = voice_wav(8) if name == "wav" else encoded(spoken(8), name)
    assert refusal(file[: len(file) * 3 // 4])


def test_a_wav_whose_length_nobody_knew_is_taken() -> None:
    assert checked(header(data_bytes=0xFFFF_FFFF - 36) + spoken()).duration_ms == checked(voice_wav()).duration_ms


def test_two_hours_that_a_flac_claims_are_refused_before_it_is_decoded() -> None:
    file = bytearray(encoded(spoken(), "flac"))
    file[21:26] = bytes([0xF0 | file[21] & 0x0F, *(300_000_000).to_bytes(4, "big")])  # samples in its STREAMINFO
    with pytest.raises(MessageTooLarge):
        checked(bytes(file))


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "m4a"])
def test_bytes_that_are_wrong_anywhere_are_a_recording_or_a_typed_error(name: str) -> None:
    file = bytearray(voice_wav() if name == "wav" else encoded(spoken(), name))
    random = np.random.default_rng(3)
    for _ in range(15):
        damaged = file.copy()
        for at in random.integers(0, min(len(file), 4_000), 20):
            damaged[at] = random.integers(0, 256)
        try:
            assert 3_000 <= checked(bytes(damaged)).duration_ms <= 30_000
        except ParleyError as error:
            assert isinstance(error, InvalidAudio | MessageTooLarge)


def test_a_rate_that_changes_in_the_middle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "fast", ("adts", "aac", 24_000))
    assert "changes its sample rate" in refusal(encoded(spoken(), "aac") + encoded(spoken(), "fast"))


def test_a_recording_in_one_long_piece_after_the_other_is_taken() -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=RATE, layout="mono", options={"frame_size": "65535"})
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(spoken(9), "<i2").reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for part in (frame, None):
            output.mux(stream.encode(part))
    assert checked(target.getvalue()).duration_ms > 8_000


def test_an_operator_s_recording_is_cut_where_it_is_too_long() -> None:
    made = trusted_recording(io.BytesIO(voice_wav(40)))
    assert (made.duration_ms, made.is_cut, made.fault) == (30_000, True, None)


def test_an_operator_s_recording_may_sound_poor() -> None:
    made = trusted_recording(io.BytesIO(wav(noisy(spoken(), 3))))
    assert made.fault is not None
    assert "louder than the noise" in made.fault


@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_an_operator_s_recording_must_be_long_enough(seconds: float) -> None:
    with pytest.raises(InvalidAudio):
        trusted_recording(io.BytesIO(voice_wav(seconds)))

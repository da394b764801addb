"""An uploaded file becomes PCM16 at 16 000 Hz, or is refused with a sentence; it never opens anything but itself."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from asr_service.upload import CHUNK_BYTES, decoded
from shared.errors import InvalidAudio, MessageTooLarge, ParleyError
from tests.support.speech import RATE, silence, speech, tone
from tests.support.uploads import ENCODERS, encoded, film, wav

pytestmark = pytest.mark.shell

SPEECH = speech("what_is_the_capital_of_france")
LIMIT_S = 3_600


def heard(file: bytes, limit_s: int = LIMIT_S) -> bytes:
    return b"".join(decoded(io.BytesIO(file), limit_s))


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / RATE


def likeness(one: bytes, other: bytes) -> float:
    """Correlation of two sounds at the shift, up to 100 ms, where they are most alike."""
    left, right = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (one, other))
    length = min(len(left), len(right)) - 1_600
    parts = (right[shift : shift + length] for shift in range(0, 1_600, 2))
    return max(float(np.corrcoef(left[:length], part)[0, 1]) for part in parts)


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("speech.wav", wav(SPEECH))
    return target.getvalue()


def wav_that_says(file: bytes, told_bytes: int) -> bytes:
    """`file`, with another length in its headers."""
    at = file.index(b"data") + 4
    told = struct.pack("<I", told_bytes)
    return file[:4] + told + file[8:at] + told + file[at + 4 :]


def wav_at(rate: int, samples: int) -> bytes:
    """8-bit sound at a rate of its own."""
    form = struct.pack("<HHIIHH", 1, 1, rate, rate, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", samples) + b"\x80" * samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_wav_at_the_rate_that_is_heard_stays_as_it_is() -> None:
    assert heard(wav(SPEECH)) == SPEECH


@pytest.mark.parametrize("name", ENCODERS)
def test_every_format_is_the_sound_that_was_put_into_it(name: str) -> None:
    found = heard(encoded(SPEECH, name))

    assert abs(seconds(found) - seconds(SPEECH)) < 0.15, "an encoder pads"
    assert likeness(SPEECH, found.ljust(len(SPEECH), b"\0")) > 0.95


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_becomes_the_one_that_is_heard(rate: int) -> None:
    assert seconds(heard(wav(tone(500, rate), rate))) == pytest.approx(0.5, abs=0.002)
    assert likeness(tone(400), heard(wav(tone(500, rate), rate))) > 0.99


def test_stereo_is_mixed() -> None:
    left = np.frombuffer(tone(500), "<i2")
    both = np.stack([left, np.zeros_like(left)], axis=1).astype("<i2").tobytes()
    mixed = np.frombuffer(heard(wav(both, channels=2)), "<i2")

    assert len(mixed) == len(left)
    assert 0.4 < np.abs(mixed).max() / np.abs(left).max() < 0.8


def test_sound_comes_in_chunks_of_a_second_and_a_rest() -> None:
    chunks = list(decoded(io.BytesIO(encoded(tone(2_500), "flac")), LIMIT_S))

    assert [len(chunk) for chunk in chunks[:-1]] == [CHUNK_BYTES] * 2
    assert 0 < len(chunks[-1]) < CHUNK_BYTES


def test_the_sound_of_a_film_is_heard() -> None:
    assert seconds(heard(film(2, "aac"))) == pytest.approx(1.0, abs=0.15)


def test_a_stop_is_seen_within_a_chunk() -> None:
    is_stopped = False
    chunks = decoded(io.BytesIO(wav(silence(10_000))), LIMIT_S, lambda: is_stopped)
    next(chunks)
    is_stopped = True

    assert list(chunks) == []


@pytest.mark.parametrize("told_bytes", [0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wav_that_was_written_before_its_length_was_known_is_heard_whole(told_bytes: int) -> None:
    assert heard(wav_that_says(wav(SPEECH), told_bytes)) == SPEECH


def test_an_mp3_that_begins_and_ends_anywhere_is_heard() -> None:
    file = encoded(SPEECH, "mp3")

    assert 0.5 < seconds(heard(file[: len(file) // 2])) < seconds(SPEECH)


def cut(name: str) -> bytes:
    file = wav(SPEECH) if name == "wav" else encoded(SPEECH, name)
    return file[: len(file) // 2]


@pytest.mark.parametrize("name", ["wav", "flac", "webm", "m4a", "mp4"])
def test_a_file_that_was_cut_off_is_refused(name: str) -> None:
    with pytest.raises(InvalidAudio):
        heard(cut(name))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"R",
    "a zip called a wav": zipped,
    "text": lambda: b"This is no sound at all. " * 400,
    "noise": lambda: np.random.default_rng(7).bytes(200_000),
    "zeros": lambda: bytes(200_000),
    "raw PCM": lambda: SPEECH,
    "a WAV's name alone": lambda: b"RIFF\x24\0\0\0WAVE",
    "a WAV without samples": lambda: wav(b""),
    "a WAV without channels": lambda: wav(SPEECH)[:22] + b"\0\0" + wav(SPEECH)[24:],
    "a WAV at no rate": lambda: wav_at(0, 1_000),
    "a WAV at 1 Hz": lambda: wav_at(1, 3_000),
    "a WAV at 2 GHz": lambda: wav_at(2_000_000_000, 1_000),
    "a FLAC with a hole": lambda: (f := encoded(SPEECH, "flac"))[:5_000] + bytes(5_000) + f[10_000:],
    "an MP3's header alone": lambda: encoded(SPEECH, "mp3")[:100],
    "an Ogg's header alone": lambda: encoded(SPEECH, "ogg")[:100],
    "a WebM's header alone": lambda: encoded(SPEECH, "webm")[:100],
    "a film without sound": lambda: film(1, None),
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(1_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_sound_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(InvalidAudio) as refused:
        heard(HOSTILE[name]())

    assert refused.value.message.startswith("The file ")
    assert refused.value.message.endswith(".")
    assert (refused.value.service, refused.value.param) == ("asr", "file")


def test_a_file_that_names_another_file_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(SPEECH))
    monkeypatch.chdir(tmp_path)
    playlist = b"ffconcat version 1.0\nfile secret.wav\n"
    with av.open(io.BytesIO(playlist), "r") as unguarded:
        assert unguarded.streams.audio, "what the guard is for"

    with pytest.raises(InvalidAudio):
        heard(playlist)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "webm", "m4a"])
def test_a_file_too_long_is_refused(name: str) -> None:
    file = wav(tone(2_000)) if name == "wav" else encoded(tone(2_000), name)

    with pytest.raises(MessageTooLarge, match="at most 1 seconds"):
        heard(file, limit_s=1)


def test_a_file_that_says_that_it_is_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MessageTooLarge):
        next(decoded(io.BytesIO(encoded(tone(3_000), "flac")), 2))


def test_a_file_as_long_as_allowed_is_heard() -> None:
    assert seconds(heard(wav(tone(1_000)), limit_s=1)) == 1.0


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "ogg", "webm", "m4a"])
def test_bytes_that_are_wrong_anywhere_are_sound_or_a_typed_error(name: str) -> None:
    file = bytearray(wav(SPEECH) if name == "wav" else encoded(SPEECH, name))
    random = np.random.default_rng(3)
    for _ in range(40):
        damaged = file.copy()
        for at in random.integers(0, min(len(file), 4_000), 20):
            damaged[at] = random.integers(0, 256)
        try:
            assert len(heard(bytes(damaged), limit_s=60)) <= 60 * 2 * RATE
        except ParleyError as error:
            assert isinstance(error, InvalidAudio | MessageTooLarge)

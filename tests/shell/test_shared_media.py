"""What both services refuse of a file that a stranger sent: codings, tiny parts, and taking too long."""

import io
import itertools
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from asr_service.upload import decoded
from shared.errors import InvalidAudio
from shared.media import EARLY_PACKETS, opened
from tests.support.speech import RATE
from tests.support.uploads import ENCODERS, encoded, wav
from tests.support.voices import spoken, voice_wav
from tts_service.recording import checked_recording

pytestmark = pytest.mark.shell

Take = Callable[[bytes], object]


def as_voice(file: bytes) -> float:
    """Seconds."""
    return checked_recording(io.BytesIO(file)).duration_ms / 1000


def as_speech(file: bytes) -> float:
    """Seconds."""
    return len(b"".join(decoded(io.BytesIO(file), 3_600))) / 2 / RATE


TAKERS = pytest.mark.parametrize("take", [as_voice, as_speech])


@TAKERS
@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("matroska", "mp2", 24_000),
        ("matroska", "ac3", 48_000),
        ("matroska", "tta", 24_000),
        ("matroska", "wavpack", 24_000),
        ("wav", "g722", 16_000),
        ("mov", "adpcm_ima_qt", 24_000),
    ],
)
def test_a_coding_that_is_not_on_the_list_is_never_decoded(
    monkeypatch: pytest.MonkeyPatch, take: Take, container: str, codec: str, rate: int
) -> None:
    monkeypatch.setitem(ENCODERS, "strange", (container, codec, rate))
    file = encoded(spoken(), "strange")
    with av.open(io.BytesIO(file), "r") as unguarded:
        assert next(unguarded.decode(audio=0)).samples, "what the guard is for"
    with pytest.raises(InvalidAudio, match="coded in a way that is not understood"):
        take(file)


@TAKERS
@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("aiff", "pcm_s16be", 24_000),
        ("wav", "pcm_alaw", 24_000),
        ("wav", "adpcm_ms", 24_000),
        ("matroska", "pcm_s24le", 24_000),
        ("ipod", "alac", 44_100),
        ("ogg", "flac", 24_000),
        ("w64", "pcm_f32le", 48_000),
    ],
)
def test_what_is_on_the_list_is_heard_whole(
    monkeypatch: pytest.MonkeyPatch, take: Take, container: str, codec: str, rate: int
) -> None:
    monkeypatch.setitem(ENCODERS, "usual", (container, codec, rate))
    assert take(encoded(spoken(), "usual")) == pytest.approx(5, abs=0.3)


def in_packets(pcm: bytes, samples: int) -> bytes:
    """PCM16 at `RATE` as a Matroska with so many samples in each packet."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=RATE, layout="mono")
        output.start_encoding()
        for at in range(0, len(pcm), samples * 2):
            packet = av.Packet(pcm[at : at + samples * 2])
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = at // 2
            packet.duration = samples
            output.mux(packet)
    return target.getvalue()


@TAKERS
def test_a_file_in_tiny_parts_is_refused_after_a_few(take: Take) -> None:
    tiny = spoken()[: 20_000 * 2]
    with pytest.raises(InvalidAudio, match="too many small parts"):
        take(in_packets(tiny, 1))


def test_a_file_in_small_parts_costs_what_its_sound_costs() -> None:
    file = in_packets(spoken(), RATE // 800)
    with opened(io.BytesIO(file), "tts") as sound:
        assert sum(1 for _ in sound.pieces()) > 3 * EARLY_PACKETS
    assert as_voice(file) == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("minutes", [0, 5])
def test_a_file_is_read_no_further_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    now_s = itertools.count(0.0, 60.0)  # a minute for each look at the clock
    monkeypatch.setattr("shared.media.thread_now_s", lambda: next(now_s))
    file = io.BytesIO(wav(np.zeros(RATE * 600, "<i2").tobytes()))
    with (
        pytest.raises(InvalidAudio, match="takes too long"),
        opened(file, "tts", minutes * 60.0) as sound,
    ):
        for _ in sound.pieces():
            pass
    assert file.tell() < 1_000_000


def test_a_recording_that_nobody_wants_any_more_is_not_decoded() -> None:
    with pytest.raises(InvalidAudio, match="not wanted any more"):
        checked_recording(io.BytesIO(voice_wav()), lambda: True)


def test_a_header_that_tells_nothing_is_no_length() -> None:
    with opened(io.BytesIO(encoded(spoken(), "mp3")), "asr") as sound:
        assert sound.told_s == 0.0
    with opened(io.BytesIO(voice_wav()), "asr") as sound:
        assert sound.told_s == pytest.approx(5, abs=0.1)


@TAKERS
def test_a_wav_that_says_more_than_it_holds_was_cut_off(take: Take) -> None:
    file = bytearray(voice_wav())
    file[4:8] = struct.pack("<I", len(file) * 2)
    with pytest.raises(InvalidAudio, match="cut off"):
        take(bytes(file))

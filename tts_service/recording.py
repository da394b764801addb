"""A recording that somebody brought, as the PCM16 mono that a voice is made of: decoded, checked and cut.

A file is what it holds; neither its name nor the type that its sender tells is looked at. It is decoded piece by piece
on the caller's thread, so that what it costs is bounded by `LONGEST_FILE_S`, however long it says it is, and no other
file or address is ever opened for it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, cast

import av
import numpy as np
import numpy.typing as npt
import soxr
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.container import InputContainer

from shared.errors import InvalidAudio, MessageTooLarge
from shared.pcm import BYTES_PER_SAMPLE
from tts_service.core.voice_check import FRAME_MS, Heard, first_part, length_fault, measure, sound_fault

RECORDING_RATE: Final = 24_000
LONGEST_FILE_S: Final = 60  # with the silence around the voice
LOWEST_RATE: Final = 16_000
HIGHEST_RATE: Final = 384_000
MOST_CHANNELS: Final = 8
LONGEST_PIECE_S: Final = 5  # of one decoded frame; a FLAC may have 65,535 samples in one
FULL_SCALE: Final = 0.99
CUT_OFF_S: Final = 0.5  # so much less than is told: more than any encoder's padding
CUT_OFF_BYTES: Final = 8_192
UNKNOWN_BYTES: Final = 0x7FFF_0000  # from here on, the length in a WAV's header stands for "not known yet"
FRAMES_A_SECOND: Final = 1_000 // FRAME_MS

Samples = npt.NDArray[np.float32]

# An empty list of protocols: nothing but the file itself is read. A playlist is none of the formats.
READER: Final = {
    "format_whitelist": "wav,w64,aiff,flac,mp3,aac,ogg,matroska,webm,mov,mp4,m4a",
    "codec_whitelist": (
        "aac,alac,flac,mp3,mp3float,opus,libopus,vorbis,libvorbis,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,"
        "pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
    ),
    "protocol_whitelist": "",
}
UNSURE: Final = {"mp3", "aac", "ogg"}  # their length is guessed from their first part


@dataclass(frozen=True, slots=True)
class Recording:
    """PCM16 mono at `RECORDING_RATE`, 3 to 30 s; `is_cut` where more was said than fits."""

    pcm: bytes = field(repr=False)
    is_cut: bool = False
    fault: str | None = None  # of its sound, where it was taken all the same

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE * 1000 // RECORDING_RATE


def checked_recording(file: BinaryIO) -> Recording:
    """What a stranger sent. Raises InvalidAudio or MessageTooLarge with a sentence that says what to do."""
    listened = _listen(file)
    heard = _voice_in(listened)
    fault = length_fault(heard) or sound_fault(heard)
    if fault:
        raise refused(fault)
    return Recording(listened.pcm(heard.begin, heard.end))


def trusted_recording(file: BinaryIO) -> Recording:
    """What the operator put there: too long a one is cut, a poor one is taken. Raises as `checked_recording`."""
    listened = _listen(file)
    heard = _voice_in(listened)
    begin, end = first_part(heard)
    is_cut = end < heard.end
    fault = None if is_cut else length_fault(heard)
    if fault:
        raise refused(fault)
    return Recording(listened.pcm(begin, end), is_cut, sound_fault(heard))


def refused(message: str) -> InvalidAudio:
    return InvalidAudio(message, service="tts", param="file")


class Listened:
    """What was decoded so far: the sound at `RECORDING_RATE`, and the levels of what it came from."""

    def __init__(self, sample_rate: int) -> None:
        self.rms: list[float] = []
        self.clipped: list[float] = []
        self._frame = sample_rate // FRAMES_A_SECOND
        self._rest: Samples = np.zeros((2, 0), np.float32)
        same = sample_rate == RECORDING_RATE
        self._stream = None if same else soxr.ResampleStream(sample_rate, RECORDING_RATE, 1, dtype="float32")
        self._resampled: list[Samples] = []

    def accept(self, channels: Samples) -> None:
        """Samples of all channels, one row for each."""
        mono = channels.mean(axis=0, dtype=np.float32)
        loudest = np.abs(channels).max(axis=0)
        if not np.isfinite(loudest).all():
            raise refused("The file holds samples that are no numbers.")
        both = np.concatenate((self._rest, np.stack((mono, loudest))), axis=1)
        whole = both.shape[1] - both.shape[1] % self._frame
        levels, peaks = both[:, :whole].reshape(2, -1, self._frame).astype(np.float64)
        self.rms += np.sqrt((levels**2).mean(axis=1)).tolist()
        self.clipped += (peaks >= FULL_SCALE).mean(axis=1).tolist()
        self._rest = both[:, whole:]
        self._resample(mono, is_last=False)

    def finish(self) -> None:
        """There is no more."""
        self._resample(np.zeros(0, np.float32), is_last=True)

    def pcm(self, begin: int, end: int) -> bytes:
        """The frames [begin, end) as PCM16."""
        sound = np.concatenate(self._resampled) if self._resampled else np.zeros(0, np.float32)
        frame = RECORDING_RATE // FRAMES_A_SECOND
        kept = sound[begin * frame : end * frame].astype(np.float64)
        return np.clip(np.rint(kept * 32_767), -32_768, 32_767).astype("<i2").tobytes()

    def _resample(self, mono: Samples, *, is_last: bool) -> None:
        if self._stream is not None:
            mono = self._stream.resample_chunk(mono, last=is_last)
        self._resampled.append(mono)


def _listen(file: BinaryIO) -> Listened:
    _check_whole_wav(file)
    with _typed_failures(), av.open(file, "r", metadata_errors="replace", container_options=READER) as container:
        if not container.streams.audio:
            raise refused("The file holds no sound.")
        told_s = _told_s(container)
        listened: Listened | None = None
        rate, heard = 0, 0
        for piece in container.decode(container.streams.audio[0]):
            rate = rate or piece.sample_rate
            _check_piece(piece, rate)
            heard += piece.samples
            _check_length(heard / rate)
            listened = listened or Listened(rate)
            listened.accept(_channels(piece))
    if listened is None:
        raise refused("The file holds no sound.")
    if heard / rate < told_s - CUT_OFF_S:
        raise _cut_off()
    listened.finish()
    return listened


def _voice_in(listened: Listened) -> Heard:
    heard = measure(listened.rms, listened.clipped)
    if heard is None:
        raise refused("No voice is heard in the recording; record again, nearer to the microphone.")
    return heard


def _check_whole_wav(file: BinaryIO) -> None:
    """A WAV tells here how long it is meant to be; its decoder takes what there is."""
    head = file.read(8)
    length_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    told_bytes = int.from_bytes(head[4:], "little")
    if head[:4] == b"RIFF" and length_bytes + CUT_OFF_BYTES < told_bytes < UNKNOWN_BYTES:
        raise _cut_off()


def _told_s(container: InputContainer) -> float:
    """How long the sound is by its header, seconds, 0 where it tells nothing. A file that says too much is refused."""
    stream = container.streams.audio[0]
    coding = cast(AudioCodecContext | None, stream.codec_context)  # None where nobody knows the coding
    if coding is None:
        raise refused("The sound in the file is coded in a way that is not understood here; send WAV or FLAC.")
    _check_rate(coding.sample_rate)
    if stream.duration is None or stream.time_base is None or container.format.name in UNSURE:
        return 0.0
    told_s = float(stream.duration * stream.time_base)
    _check_length(told_s)
    return told_s


def _cut_off() -> InvalidAudio:
    return refused("The file is cut off: it holds less than it says; send it again.")


def _check_piece(piece: AudioFrame, rate: int) -> None:
    _check_rate(piece.sample_rate)
    if piece.sample_rate != rate or piece.samples > LONGEST_PIECE_S * rate:
        raise refused("The file changes its sample rate, or has frames of no sensible length.")
    if not 0 < piece.layout.nb_channels <= MOST_CHANNELS:
        raise refused(f"The file has {piece.layout.nb_channels} channels; send one, or two.")


def _check_rate(sample_rate: int) -> None:
    if sample_rate < LOWEST_RATE:
        raise refused(
            f"The recording has {sample_rate} samples a second, which is too coarse for a voice; "
            f"record with {LOWEST_RATE} or more."
        )
    if sample_rate > HIGHEST_RATE:
        raise refused(f"The recording has {sample_rate} samples a second; send at most {HIGHEST_RATE}.")


def _check_length(length_s: float) -> None:
    if length_s > LONGEST_FILE_S:
        raise MessageTooLarge(
            f"The file lasts longer than {LONGEST_FILE_S} seconds; cut it to the 3 to 30 seconds that are to be used.",
            service="tts",
            param="file",
        )


def _channels(piece: AudioFrame) -> Samples:
    """All samples as floats, a row for each channel; full scale is 1."""
    array = cast(npt.NDArray[Any], piece.to_ndarray())
    count = piece.layout.nb_channels
    rows = array if piece.format.is_planar else array.reshape(-1, count).T
    match rows.dtype.kind:
        case "f":
            return rows.astype(np.float32)
        case "u":
            return ((rows.astype(np.float32) - 128) / 128).astype(np.float32)
        case _:
            return (rows / float(-int(np.iinfo(rows.dtype).min))).astype(np.float32)


@contextmanager
def _typed_failures() -> Iterator[None]:
    """Whatever a decoder says of a file is the file's fault, and is told without its words."""
    try:
        yield
    except (av.FFmpegError, EOFError, ValueError) as failure:  # ValueError: channels that change in the middle
        raise refused(
            "The file is no recording that is understood here, or it is damaged; send WAV, FLAC, MP3, Ogg or M4A."
        ) from failure

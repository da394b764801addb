"""A recording that somebody brought, as the PCM16 mono that a voice is made of: decoded, checked and cut.

What a file may be stands in shared/media.py. It is decoded piece by piece on the caller's thread, so that what it costs
is bounded by `LONGEST_FILE_S` of sound, however long it says it is, and by `LONGEST_DECODING_S` of time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import AudioFrame

from shared import media
from shared.errors import InvalidAudio, MessageTooLarge
from shared.media import opened
from shared.pcm import BYTES_PER_SAMPLE
from tts_service.core.voice_check import FRAME_MS, Heard, first_part, length_fault, measure, sound_fault

RECORDING_RATE: Final = 24_000
LONGEST_FILE_S: Final = 60  # with the silence around the voice
LOWEST_RATE: Final = 16_000
HIGHEST_RATE: Final = 384_000
MOST_CHANNELS: Final = 8
LONGEST_PIECE_S: Final = 5  # of one decoded frame; a FLAC may have 65,535 samples in one
FULL_SCALE: Final = 0.99
LONGEST_DECODING_S: Final = 20.0  # of the one thread that decodes; a minute of eight channels at 192 kHz takes two
FRAMES_A_SECOND: Final = 1_000 // FRAME_MS

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recording:
    """PCM16 mono at `RECORDING_RATE`, 3 to 30 s; `is_cut` where more was said than fits."""

    pcm: bytes = field(repr=False)
    is_cut: bool = False
    fault: str | None = None  # of its sound, where it was taken all the same

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE * 1000 // RECORDING_RATE


def checked_recording(file: BinaryIO, is_stopped: Callable[[], bool] = lambda: False) -> Recording:
    """What a stranger sent. Raises InvalidAudio or MessageTooLarge with a sentence that says what to do."""
    listened = _listen(file, is_stopped)
    heard = _voice_in(listened)
    fault = length_fault(heard) or sound_fault(heard)
    if fault:
        raise refused(fault)
    return Recording(listened.pcm(heard.begin, heard.end))


def trusted_recording(file: BinaryIO) -> Recording:
    """What the operator put there: too long a one is cut, a poor one is taken. Raises as `checked_recording`."""
    listened = _listen(file, lambda: False)
    heard = _voice_in(listened)
    begin, end = first_part(heard)
    is_cut = end < heard.end
    fault = None if is_cut else length_fault(heard)
    if fault:
        raise refused(fault)
    return Recording(listened.pcm(begin, end), is_cut, sound_fault(heard))


def refused(message: str) -> InvalidAudio:
    return media.refused(message, "tts")


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


def _listen(file: BinaryIO, is_stopped: Callable[[], bool]) -> Listened:
    with opened(file, "tts", LONGEST_DECODING_S) as sound:
        rate, heard = sound.sample_rate, 0
        _check_rate(rate)
        _check_length(sound.told_s)
        listened: Listened | None = None
        for piece in sound.pieces():
            if is_stopped():
                raise refused("The file is not wanted any more.")
            rate = piece.sample_rate if listened is None else rate
            _check_piece(piece, rate)
            heard += piece.samples
            _check_length(heard / rate)
            listened = listened or Listened(rate)
            listened.accept(_channels(piece))
    assert listened is not None, "there was sound"
    listened.finish()
    return listened


def _voice_in(listened: Listened) -> Heard:
    heard = measure(listened.rms, listened.clipped)
    if heard is None:
        raise refused("No voice is heard in the recording; record again, nearer to the microphone.")
    return heard


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

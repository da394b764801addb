"""An uploaded file as PCM16 mono at `STREAM_RATE`, decoded piece by piece on the caller's thread.

What a file may be, and what is refused, stands in shared/media.py; here it is resampled, and bounded in its length.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame

from shared.errors import MessageTooLarge
from shared.media import Sound, opened, refused
from shared.pcm import BYTES_PER_SAMPLE
from shared.wire.asr import STREAM_RATE

CHUNK_BYTES = BYTES_PER_SAMPLE * STREAM_RATE  # a second: few crossings between threads, and a stop is soon seen
SANE_RATES = range(1_000, 768_001)  # Hz
LONGEST_FRAME_S = 60


def decoded(file: BinaryIO, limit_s: int, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
    """The sound of `file` in chunks of at most `CHUNK_BYTES` until it ends or is no longer wanted.

    InvalidAudio for what is no audio, damaged, cut off or empty; MessageTooLarge for more than `limit_s` seconds.
    """
    waiting, heard_bytes = bytearray(), 0
    with opened(file, "asr") as sound:
        _check_length(sound.told_s, limit_s)
        for pcm in _resampled(sound):
            if is_stopped():
                return
            waiting += pcm
            heard_bytes += len(pcm)
            _check_length(heard_bytes / BYTES_PER_SAMPLE / STREAM_RATE, limit_s)
            while len(waiting) >= CHUNK_BYTES:
                yield bytes(waiting[:CHUNK_BYTES])
                del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def _resampled(sound: Sound) -> Iterator[bytes]:
    """What each piece adds; nothing where it is too short to."""
    resampler = av.AudioResampler("s16", "mono", STREAM_RATE)
    for frame in sound.pieces():
        _check_size(frame)
        yield _joined(resampler.resample(frame))
    yield _joined(resampler.resample(None))


def _joined(parts: list[AudioFrame]) -> bytes:
    return b"".join(bytes(part.planes[0])[: part.samples * BYTES_PER_SAMPLE] for part in parts)


def _check_size(frame: AudioFrame) -> None:
    """Resampling a few bytes at a rate of 1 Hz, or at one of billions, would take all memory there is."""
    if frame.sample_rate not in SANE_RATES or frame.samples > LONGEST_FRAME_S * frame.sample_rate:
        raise refused("The file has a sample rate or a frame of no sensible length.", "asr")


def _check_length(length_s: float, limit_s: int) -> None:
    if length_s > limit_s:
        raise MessageTooLarge(f"A file lasts at most {limit_s} seconds here.", service="asr", param="file")

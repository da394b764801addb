"""Resampler: audio at a sender's rate becomes audio at the rate that recognisers hear, however it was cut."""

import numpy as np
import soxr
from numpy.typing import NDArray

from shared.wire.asr import STREAM_RATE

# Speech is heard up to 6 kHz at this quality, and it holds back the least: about 20 ms at 48 kHz, 60 ms at 8 kHz.
QUALITY = "LQ"


class Resampler:
    """One stream; audio that it holds back comes with the audio that follows, or with `finish`."""

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate` of what comes in, Hz."""
        self.sample_rate = sample_rate
        self._filter = self._new_filter()

    def add(self, pcm: bytes) -> bytes:
        """PCM16 of whole samples in, PCM16 at `STREAM_RATE` out; the same samples, however they were cut."""
        if self._filter is None:
            return pcm
        return _to_pcm(self._filter.resample_chunk(np.frombuffer(pcm, "<i2").astype(np.float32)))

    def finish(self) -> bytes:
        """What was held back. Audio after it is taken for a new stream."""
        if self._filter is None:
            return b""
        rest = _to_pcm(self._filter.resample_chunk(np.empty(0, np.float32), last=True))
        self._filter = self._new_filter()
        return rest

    def _new_filter(self) -> soxr.ResampleStream | None:
        if self.sample_rate == STREAM_RATE:
            return None
        # In float32, since its rounding to int16 adds random noise that depends on how the audio was cut.
        return soxr.ResampleStream(self.sample_rate, STREAM_RATE, 1, dtype="float32", quality=QUALITY)


def _to_pcm(samples: NDArray[np.float32]) -> bytes:
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2").tobytes()

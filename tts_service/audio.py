"""What is done to an engine's PCM before it is sent: its speed changed, silence trimmed, edges faded, the rate changed.

A segment goes through block by block on the engine's thread. Laws: the result does not depend on how the samples were
cut into blocks; it starts and ends at zero, so that segments join without a click; silence alone comes to nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import soxr

from shared.pcm import BYTES_PER_SAMPLE
from tts_service.frames import Samples
from tts_service.stretch import Stretcher

SILENCE_LEVEL: Final = 60  # of 32 768: -55 dB, under what a breath has
MARGIN_MS: Final = 15  # kept before the first loud sample and after the last one
FADE_MS: Final = 8
GATHERED_MS: Final = 200
LONGEST_HELD_MS: Final = 1_000  # a pause within a segment waits for the sound after it, but not for longer


def polish(blocks: Iterable[bytes], from_rate: int, to_rate: int, speed: float = 1.0) -> Iterator[bytes]:
    """PCM16 at `to_rate` from an engine's at `from_rate`; blocks as they come, an odd byte carried over.

    `speed` is what the engine's own speed falls short of; the speech is trimmed and faded after it.
    """
    stretcher, trimmer, resampler = Stretcher(from_rate, speed), Trimmer(from_rate), Resampler(from_rate, to_rate)
    odd = b""
    for block in blocks:
        whole = odd + block
        cut = len(whole) - len(whole) % BYTES_PER_SAMPLE
        odd = whole[cut:]
        made = resampler.accept(trimmer.accept(stretcher.accept(np.frombuffer(whole[:cut], np.int16))))
        if made.size:
            yield made.tobytes()
    held = trimmer.accept(stretcher.finish(np.zeros(0, np.int16)))
    last = np.concatenate((resampler.accept(held), resampler.finish(trimmer.finish())))
    if last.size:
        yield last.tobytes()


def gather(pieces: Iterable[bytes], sample_rate: int) -> Iterator[bytes]:
    """The same audio in fewer pieces, because each one costs a crossing between threads.

    The first goes out at once; no later one waits for more than half of what went out before, nor for `GATHERED_MS`.
    """
    most_bytes = GATHERED_MS * sample_rate // 1000 * BYTES_PER_SAMPLE
    gathered, gone_bytes = bytearray(), 0
    for piece in pieces:
        gathered += piece
        if len(gathered) >= min(gone_bytes // 2, most_bytes):
            gone_bytes += len(gathered)
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def silence(duration_ms: int, sample_rate: int) -> bytes:
    """PCM16 that is silent."""
    return bytes(duration_ms * sample_rate // 1000 * BYTES_PER_SAMPLE)


class Trimmer:
    """Takes silence off both ends of a segment and fades what is left in and out."""

    def __init__(self, sample_rate: int) -> None:
        self._margin = MARGIN_MS * sample_rate // 1000
        self._limit = LONGEST_HELD_MS * sample_rate // 1000
        ramp = np.arange(FADE_MS * sample_rate // 1000) / (FADE_MS * sample_rate // 1000)
        self._fade_in = (1 - np.cos(np.pi * ramp)) / 2
        self._held: Samples = np.zeros(0, np.int16)  # not let out yet: silent, or so late that it may be the end
        self._has_begun = False
        self._faded_in = 0  # samples that the fade has seen

    def accept(self, samples: Samples) -> Samples:
        """What is sure to be neither trailing silence nor part of the last fade."""
        held = np.concatenate((self._held, samples))
        loud = np.flatnonzero(np.abs(held.astype(np.int32)) > SILENCE_LEVEL)
        if not loud.size and not self._has_begun:
            self._held = held[max(0, held.size - self._margin) :]
            return held[:0]
        if not self._has_begun:
            self._has_begun = True
            start = max(0, int(loud[0]) - self._margin)
            held, loud = held[start:], loud - start
        fade = self._fade_in.size
        sure = max(int(loud[-1]) + 1 if loud.size else 0, held.size - self._limit)
        sure = max(0, min(sure, held.size - fade))
        self._held = held[sure:]
        return self._begin(held[:sure])

    def finish(self) -> Samples:
        """The end of the segment, faded out; nothing when it never was loud."""
        if not self._has_begun:
            return self._held[:0]
        loud = np.flatnonzero(np.abs(self._held.astype(np.int32)) > SILENCE_LEVEL)
        end = (int(loud[-1]) + 1 if loud.size else 0) + self._margin
        tail = self._begin(self._held[:end])
        fade = min(self._fade_in.size, tail.size)
        faded = tail.astype(np.float64)
        if fade:
            faded[-fade:] *= self._fade_in[:fade][::-1]
        return np.rint(faded).astype(np.int16)

    def _begin(self, samples: Samples) -> Samples:
        """Fade in whatever of the first samples is in here."""
        left = min(self._fade_in.size - self._faded_in, samples.size)
        if left <= 0:
            return samples
        faded = samples.astype(np.float64)
        faded[:left] *= self._fade_in[self._faded_in : self._faded_in + left]
        self._faded_in += left
        return np.rint(faded).astype(np.int16)


class Resampler:
    """One segment from one rate to another; a tail of some 20 ms comes with `finish`."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        # In floats, because soxr adds a random dither when it makes int16.
        same = from_rate == to_rate
        self._stream = None if same else soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")

    def accept(self, samples: Samples) -> Samples:
        return self._through(samples, is_last=False)

    def finish(self, samples: Samples) -> Samples:
        """The last samples, and what was held back."""
        return self._through(samples, is_last=True)

    def _through(self, samples: Samples, *, is_last: bool) -> Samples:
        if self._stream is None:
            return samples
        made = self._stream.resample_chunk(samples.astype(np.float32), last=is_last)
        rounded: Samples = np.clip(np.rint(made), -32768, 32767).astype(np.int16)
        return rounded

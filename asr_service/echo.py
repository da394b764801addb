"""Echo: what is played beside what is heard, both taken apart into bands; whether a frame is only that is the guard's.

What is played is told ahead of time, as fast as it is made. It is laid out on the time of the stream: a piece begins
behind the one before it, or now where nothing is left to play; when a client plays it is for the guard to find out. The
same audio gives the same judgements however it was cut, as long as it is told at the same places of the stream.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from asr_service.core.echo_guard import EchoGuard, Judgement
from asr_service.resampler import Resampler
from shared.pcm import BYTES_PER_SAMPLE
from shared.wire.asr import STREAM_RATE

WINDOW_SAMPLES = 512  # 32 ms
HOP_SAMPLES = STREAM_RATE // 100
FRAME_SAMPLES = 2 * HOP_SAMPLES
BANDS = 18
LOWEST_HZ, HIGHEST_HZ = 150, 6_500
LEAST_POWER = 2e-10
AHEAD_BYTES = 120 * BYTES_PER_SAMPLE * STREAM_RATE  # two minutes; what is told further ahead is not guarded
FULL_SCALE = 32_768

Numbers = npt.NDArray[np.float32]


def _bands() -> Numbers:
    """Which frequencies are of which band, and what makes their sum the power of the sound."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / STREAM_RATE)
    members = np.array([(low <= hz) & (hz < high) for low, high in pairwise(edges)])
    return np.asarray(members.T * 2.0 / (WINDOW_SAMPLES * np.sum(WINDOW * WINDOW)), np.float32)


WINDOW: Numbers = np.hanning(WINDOW_SAMPLES).astype(np.float32)
MEMBERS = _bands()


class Loudspeaker:
    """What is still to be played."""

    def __init__(self) -> None:
        self._ahead = bytearray()
        self._resampler: Resampler | None = None

    def play(self, pcm: bytes, sample_rate: int) -> None:
        """PCM16 of whole samples, played after what was told before it, or now."""
        if self._resampler is None or not self._ahead or self._resampler.sample_rate != sample_rate:
            self._resampler = Resampler(sample_rate)  # what the other one holds back is no more than a few ms
        self._ahead += self._resampler.add(pcm)
        del self._ahead[AHEAD_BYTES:]

    def hush(self) -> None:
        """Nothing of it is played any more."""
        self._ahead.clear()

    def take(self, size: int) -> bytes:
        """The next so many bytes; silence where nothing is played."""
        taken = bytes(self._ahead[:size])
        del self._ahead[:size]
        return taken.ljust(size, b"\0")


class Echo:
    """One stream, heard beside its loudspeaker."""

    def __init__(self) -> None:
        self.loudspeaker = Loudspeaker()
        self._guard = EchoGuard(BANDS)
        self._heard = np.zeros(WINDOW_SAMPLES, np.float32)
        self._played = np.zeros(WINDOW_SAMPLES + HOP_SAMPLES, np.float32)

    def judge(self, frame: bytes) -> Judgement | None:
        """The next frame of 20 ms, PCM16; None where nothing is played. Takes a tenth of a millisecond."""
        played = self.loudspeaker.take(len(frame))
        self._heard = np.concatenate([self._heard[FRAME_SAMPLES:], _samples(frame)])
        self._played = np.concatenate([self._played[FRAME_SAMPLES:], _samples(played)])
        windows = np.stack([self._heard, self._played[:WINDOW_SAMPLES], self._played[HOP_SAMPLES:]]) * WINDOW
        spectra = np.fft.rfft(windows)
        powers = np.square(spectra.real) + np.square(spectra.imag)
        heard, *hops = (10.0 * np.log10(powers @ MEMBERS + LEAST_POWER)).tolist()
        return self._guard.judge(heard, hops)


def _samples(pcm: bytes) -> Numbers:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(FULL_SCALE)

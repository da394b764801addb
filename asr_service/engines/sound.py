"""Sound as models take it, and what its loudness tells: where a long piece is best cut, where speech begins and ends.

Loudness is looked at by 20 ms. Everything depends on the sound alone, so the same audio is cut at the same places.
"""

import numpy as np
import numpy.typing as npt

from asr_service.core.quietest import quietest
from asr_service.engines.base import SAMPLE_RATE

QUANTUM = np.float32(1 / 32_768)  # of PCM16, full scale 1
LEVEL_SAMPLES = SAMPLE_RATE // 50
CUT_LEVELS = 150  # a cut falls into the last three seconds,
PAUSE_LEVELS = 5  # into the quietest 100 ms
SOUND_SHARE = 0.1  # of the loudest moment: what is 20 dB below it is no speech

Samples = npt.NDArray[np.float32]


def as_samples(pcm: bytes | bytearray) -> Samples:
    """PCM16 at full scale 1."""
    return np.frombuffer(bytes(pcm), "<i2").astype(np.float32) * QUANTUM


def levels(samples: Samples) -> list[float]:
    """RMS of each 20 ms, full scale 1; what is left over at the end counts as a whole one."""
    whole = np.pad(samples, (0, -len(samples) % LEVEL_SAMPLES)).reshape(-1, LEVEL_SAMPLES)
    found: list[float] = np.sqrt(np.mean(whole * whole, axis=1)).tolist()
    return found


def cut_samples(samples: Samples) -> int:
    """Where a piece that is as long as one reading may be is best cut: in a pause near its end."""
    loudness = levels(samples)
    return quietest(loudness, len(loudness) - CUT_LEVELS, PAUSE_LEVELS) * LEVEL_SAMPLES


def spoken(samples: Samples) -> tuple[int, int]:
    """From the first loud moment to the end of the last, in samples; there must be some."""
    loudness = levels(samples)
    loud = [place for place, level in enumerate(loudness) if level >= SOUND_SHARE * max(loudness)]
    return loud[0] * LEVEL_SAMPLES, min((loud[-1] + 1) * LEVEL_SAMPLES, len(samples))

"""PCM16 mono between this service and the codecs and filters of PyAV."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

Samples = npt.NDArray[np.int16]


def frame_of(samples: Samples, sample_rate: int, at_samples: int) -> AudioFrame:
    """A frame that begins `at_samples` after the first one; the samples are copied."""
    frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = sample_rate, Fraction(1, sample_rate), at_samples
    return frame


def samples_of(frame: AudioFrame) -> Samples:
    """The samples of a frame that is PCM16 mono."""
    made: Samples = frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
    return made


class Cutter:
    """Cuts samples that come in pieces of any length into frames of one length, so that these do not depend on it."""

    def __init__(self, frame_samples: int) -> None:
        self._frame = frame_samples
        self._rest: Samples = np.zeros(0, np.int16)

    def accept(self, samples: Samples) -> list[Samples]:
        """The frames that are full now."""
        whole = np.concatenate((self._rest, samples))
        full = whole.size - whole.size % self._frame
        self._rest = whole[full:]
        return [whole[start : start + self._frame] for start in range(0, full, self._frame)]

    def finish(self) -> Samples:
        """What fills no frame."""
        rest, self._rest = self._rest, self._rest[:0]
        return rest

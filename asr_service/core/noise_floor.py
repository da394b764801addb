"""Noise floor: decides from the loudness of frames how loud the background is, and so how loud speech must be.

The method is minimum statistics (R. Martin, 2001, "Noise power spectral density estimation based on optimal smoothing
and minimum statistics"), reduced to one band: even in the middle of speech the level falls to the background's
between words, so the least level of the last seconds is the background's. A minimum over a window falls at once when
it gets quieter, and rises only after a whole window has been louder; that is what keeps the floor below a talker.

It never hears audio, only levels: root mean square, full scale is 1. It reads no clock; each level is one frame.

Laws: the floor is never above the loudest level of the window; the threshold is never below the asked minimum, and
never above that minimum or the cap, whichever is greater, so speech louder than the cap is heard in any noise; a
frame costs amortised constant time, and memory is bounded by the window.
"""

from collections import deque
from dataclasses import dataclass
from math import exp

# Share of the past in the smoothed level. Enough that one lost (zero) frame does not pull the floor down to nothing
# for a whole window, little enough that the 60 ms between two words are still seen.
SMOOTHING = 0.5
USUAL_MS = 144.0  # time constant of the usual level: long enough to even out one voice among many
USUAL_WINDOWS = 2  # its minimum looks back further, so that a talker's pauses are in it
MOST_UNREST = 2.0  # the background's louder moments are at most so many times the usual


@dataclass(frozen=True, slots=True)
class NoiseFloorParams:
    """Settings of a noise floor; ValueError names the field that is out of bounds."""

    window_ms: int = 2_500  # how far back the minimum looks: noise that starts is taken for speech this long
    warm_up_ms: int = 1_000  # audio heard before the floor counts: a stream may begin in the middle of a word
    ratio: float = 2.5  # speech must be this many times louder than the floor (8 dB)
    cap_rms: float = 0.05  # the floor never asks for more than this; louder noise is no longer told from speech

    def __post_init__(self) -> None:
        if self.warm_up_ms <= 0:
            raise ValueError(f"warm_up_ms must be above 0, not {self.warm_up_ms}")
        if self.window_ms < self.warm_up_ms:
            raise ValueError(f"window_ms must be at least warm_up_ms ({self.warm_up_ms}), not {self.window_ms}")
        if not 1.0 <= self.ratio <= 100.0:
            raise ValueError(f"ratio must be 1 to 100, not {self.ratio}")
        if not 0.0 < self.cap_rms <= 1.0:
            raise ValueError(f"cap_rms must be above 0 and at most 1, not {self.cap_rms}")


class NoiseFloor:
    """Follows the background of one stream; one instance a stream."""

    __slots__ = ("_frame_ms", "_frames", "_low", "_params", "_usual")

    def __init__(self, params: NoiseFloorParams, frame_ms: float) -> None:
        """`frame_ms` is how much audio each level stands for; ValueError if it is not above 0."""
        if not frame_ms > 0:
            raise ValueError(f"frame_ms must be above 0, not {frame_ms}")
        self._params = params
        self._frame_ms = frame_ms
        self._frames = 0
        self._low = WindowedMinimum(SMOOTHING)
        self._usual = WindowedMinimum(exp(-frame_ms / USUAL_MS))

    @property
    def is_warm(self) -> bool:
        """Whether enough was heard."""
        return self._frames * self._frame_ms >= self._params.warm_up_ms

    @property
    def floor_rms(self) -> float:
        """Level to which the background falls between its own sounds; 0 until the warm-up is over."""
        return self._low.least if self.is_warm else 0.0

    @property
    def usual_rms(self) -> float:
        """Level that the background usually has; speech without pauses raises it. 0 until the warm-up is over."""
        return self._usual.least if self.is_warm else 0.0

    @property
    def unrest(self) -> float:
        """The usual level as a multiple of the floor: about 1 for a fan, more for voices, `MOST_UNREST` if unknown."""
        floor = self.floor_rms
        return min(MOST_UNREST, self.usual_rms / floor) if floor else MOST_UNREST

    @property
    def peak_rms(self) -> float:
        """Level of the background's louder moments: a fan's are hardly above the floor, those of many voices far."""
        return self.usual_rms * self.unrest

    def configure(self, params: NoiseFloorParams) -> None:
        """Replace the settings; what was heard stays, as far as the new window reaches from the next frame on."""
        self._params = params

    def add(self, rms: float) -> None:
        """Take the level of the next frame, 0 or more."""
        self._frames += 1
        window_frames = self._params.window_ms / self._frame_ms
        self._low.add(rms, window_frames)
        self._usual.add(rms, USUAL_WINDOWS * window_frames)

    def threshold(self, rms_min: float, share: float = 1.0) -> float:
        """Level that a frame must exceed to be speech: never under `rms_min`, never over it and the cap.

        `share` (0 to 1) lowers what the floor asks for; speech that has begun may go on more quietly than it began.
        """
        return max(rms_min, min(self._params.cap_rms, share * self._params.ratio * self.floor_rms))


class WindowedMinimum:
    """The least of the smoothed levels of a window."""

    __slots__ = ("_frames", "_minima", "_smoothed_rms", "_smoothing")

    def __init__(self, smoothing: float) -> None:
        """`smoothing`: share of the past in the smoothed level."""
        self._smoothing = smoothing
        self._frames = 0
        self._smoothed_rms = 0.0
        # (frame number, level), both rising from left to right: each level is the least of all that followed it.
        self._minima: deque[tuple[int, float]] = deque()

    @property
    def least(self) -> float:
        """There must have been a level."""
        return self._minima[0][1]

    def add(self, rms: float, window_frames: float) -> None:
        """Take the next level, and forget those that are `window_frames` old."""
        past_rms = self._smoothed_rms if self._frames else rms
        self._smoothed_rms = self._smoothing * past_rms + (1.0 - self._smoothing) * rms
        self._frames += 1
        while self._minima and self._minima[-1][1] >= self._smoothed_rms:
            self._minima.pop()
        self._minima.append((self._frames, self._smoothed_rms))
        while self._frames - self._minima[0][0] >= window_frames:
            self._minima.popleft()

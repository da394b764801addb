"""Opening: decides whether the first sound of a stream is speech, before there is a background to compare it with.

What has no past can only be compared with itself. Steady sound is the room's: hiss changes by 1 dB within a second,
while a talker's syllables rise and fall by far more within three tenths. So there is speech as soon as some of the
sound is as much louder than the least of it as the noise floor asks of speech, whichever of the two came first; and it
is found where it began, which is in the past. Sound above the floor's cap is speech at once. What has stayed steady for
a whole warm-up of the floor is background. Digital silence before the first sound is not: a microphone that is being
opened gives it.

It never hears audio, only levels: root mean square, full scale is 1. It reads no clock; each level is one frame.

Laws: nothing is found in levels at or below the asked minimum, nor in those whose loudest is less than `ratio` times
the least and below the cap; what is found is at least an onset, and at most as long as asked; once begun, it is over
after a warm-up at most, and so is what it remembers.
"""

from dataclasses import dataclass, replace

from asr_service.core.noise_floor import NoiseFloor, NoiseFloorParams

DIGITAL_RMS = 1e-4  # the last bit, or nothing


@dataclass(frozen=True, slots=True)
class Found:
    """Speech began with the frame that came `first` frames before this one, and reaches to the one `last` before."""

    first: int
    last: int


class Opening:
    """The first sound of one stream; one instance a stream. `floor` is the floor of what has sounded."""

    __slots__ = ("_frame_ms", "_heard", "_levels", "_params", "floor")

    def __init__(self, params: NoiseFloorParams, frame_ms: float) -> None:
        self._params = params
        self._frame_ms = frame_ms
        self._heard = 0  # frames since the first sound
        self._levels: list[float] = []  # since the first sound that may be speech
        self.floor = NoiseFloor(self._early(params), frame_ms)

    @property
    def is_over(self) -> bool:
        """Whether a warm-up of sound was heard: it is background, and `floor` counts."""
        return self._heard * self._frame_ms >= self._params.warm_up_ms

    @property
    def has_sound(self) -> bool:
        """Whether there is something that may be speech yet."""
        return bool(self._levels)

    def configure(self, params: NoiseFloorParams) -> None:
        """Replace the settings; what was heard stays."""
        self._params = params
        self.floor.configure(self._early(params))

    def add(self, rms: float, rms_min: float, most_frames: int) -> None:
        """Take the level of the next frame; speech found later begins no more than `most_frames` before its end."""
        if not self._heard and rms <= DIGITAL_RMS:
            return
        self._heard += 1
        self.floor.add(rms)
        if self._levels or rms > rms_min:
            self._levels.append(rms)
            del self._levels[:-most_frames]

    def find(self, rms_min: float, onset_frames: int, offset_ratio: float) -> Found | None:
        """The speech, if there is some as long as `onset_frames`; once begun it may go on at `offset_ratio`."""
        if self._begin(self.floor.threshold(rms_min), onset_frames) is None:
            if self._levels and self._levels[-1] <= rms_min and self._begin(rms_min, onset_frames) is None:
                self._levels.clear()  # clicks
            return None
        return self._found(self.floor.threshold(rms_min, offset_ratio), rms_min, onset_frames)

    def take(self, rms_min: float, onset_frames: int) -> Found | None:
        """The same, where somebody says that there was speech: it need not stand out. What is left is forgotten."""
        found = self._found(rms_min, rms_min, onset_frames)
        self._levels.clear()
        return found

    def _found(self, limit: float, rms_min: float, onset_frames: int) -> Found | None:
        first, levels = self._begin(limit, onset_frames), self._levels
        if first is None:
            return None
        before = [rms_min, *levels]
        while first and max(rms_min, before[first - 1]) < levels[first - 1] < levels[first]:
            first -= 1  # the rise into speech is a part of it
        last = next(frames for frames, rms in enumerate(reversed(levels)) if rms > limit)
        return Found(len(levels) - 1 - first, last)

    def _begin(self, limit: float, onset_frames: int) -> int | None:
        """Where `onset_frames` in a row begin that are louder than that, for the first time."""
        run = 0
        for number, rms in enumerate(self._levels):
            run = run + 1 if rms > limit else 0
            if run == onset_frames:
                return number + 1 - onset_frames
        return None

    @staticmethod
    def _early(params: NoiseFloorParams) -> NoiseFloorParams:
        return replace(params, warm_up_ms=1)

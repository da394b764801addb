"""Background: decides from the noise floor what of the sound around a talker is too quiet to be the talker.

A floor alone does not know voices in the room or music: these fall to it now and then, and are far above it otherwise.
So what counts here is how loud the background's louder moments are. It is learnt when nobody speaks and then kept
while somebody does, since speech without a pause would raise it. After `KEPT_MS` the background may have become another
one, or speech may have begun with the stream, before there was a background: then it is guessed from the sound so far.
A guess is believed only if that sound is flat, as no talker's is; otherwise speech may be as quiet as `GUESS_SHARE` of
its own level.

A background that has been steady for `STEADY_MS` of silence, as hiss and hum are and voices are not, hides little:
there who has begun may come back more softly than the floor asks of a beginning.

It never hears audio, only levels: root mean square, full scale is 1.

Laws: within an utterance the limit is never above `LOUD_SHARE` of the utterance's level, before one never above the
cap, so nobody need shout; where nothing is known the limit is 0.
"""

from asr_service.core.noise_floor import NoiseFloor

KEPT_MS = 5_000
STAY_RATIO = 1.05  # speech goes on above so many times the background's louder moments,
RETURN_RATIO = 1.4  # and begins, or comes back after a pause, above so many
# Shares of the utterance's own level.
LOUD_SHARE = 0.7  # the most that speech need be louder than in a known background,
GUESS_SHARE = 0.25  # and in a guessed one
STEADY_MS = 1_000
STEADY_UNREST = 1.1  # hiss and hum stay under it for good, voices for moments
STEADY_SHARE = 0.6  # of what the floor asks, to come back in a steady background
RETURN_SHARE = 0.15  # the least at which somebody comes back after a pause: softer sound is the room's
FLAT_SHARE = 0.33  # talkers fall below it within seconds, a noisy room does not


class Background:
    """Follows one stream, whose floor it reads."""

    __slots__ = ("_floor", "_frame_ms", "_is_guess", "_peak_rms", "_steady_ms")

    def __init__(self, floor: NoiseFloor, frame_ms: float) -> None:
        """`frame_ms` is how much audio each frame of the floor stands for."""
        self._floor = floor
        self._frame_ms = frame_ms
        self._steady_ms = 0.0  # how long it has been steady
        self._peak_rms = 0.0
        self._is_guess = True

    def follow_silence(self) -> None:
        """Nobody speaks: what the floor has heard is the background. To be called before the floor gets a frame."""
        self._peak_rms = self._floor.peak_rms
        self._is_guess = not self._floor.is_warm
        is_steady = 1.0 / STEADY_UNREST <= self._floor.unrest <= STEADY_UNREST
        self._steady_ms = self._steady_ms + self._frame_ms if is_steady else 0.0

    def follow_speech(self, spoken_ms: float, level_rms: float) -> None:
        """Somebody has spoken for `spoken_ms`, at this level: look whether the background must be guessed."""
        if spoken_ms < KEPT_MS and not self._is_guess:
            return
        self._steady_ms = 0.0
        peak_rms = self._floor.peak_rms
        if self._floor.usual_rms >= FLAT_SHARE * level_rms > 0.0:
            self._peak_rms, self._is_guess = peak_rms, False
        else:
            self._peak_rms = peak_rms if self._is_guess else min(self._peak_rms, peak_rms)

    def limit_to_begin(self, cap_rms: float) -> float:
        """Level that speech must exceed to begin."""
        return min(RETURN_RATIO * self._peak_rms, cap_rms)

    def limit_to_stay(self, level_rms: float) -> float:
        """Level that an utterance of this level must exceed to go on."""
        return min(STAY_RATIO * self._peak_rms, self._most(level_rms))

    def limit_to_return(self, level_rms: float, *, has_paused: bool) -> float:
        """Level that it must exceed to come back after a gap; who has paused does not come back in a whisper."""
        least = RETURN_SHARE * level_rms if has_paused else 0.0
        return max(least, min(RETURN_RATIO * self._peak_rms, self._most(level_rms)))

    @property
    def share_to_return(self) -> float:
        """Share of what the floor asks that an utterance must exceed to come back."""
        return STEADY_SHARE if self._steady_ms >= STEADY_MS else 1.0

    def _most(self, level_rms: float) -> float:
        return (GUESS_SHARE if self._is_guess else LOUD_SHARE) * level_rms

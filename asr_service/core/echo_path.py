"""Echo path: decides how loud each band of an echo is at most, from what was played and what was heard so far.

A band of an echo is as loud as the loudest hop that may arrive now, and dies away after it as rooms do, times a gain
that is learnt: a quantile of heard over played, by stochastic approximation (L. Tierney, 1983, "A space-efficient
recursive procedure for estimating a quantile of an unknown distribution"). A quantile is what a talker who covers some
of the moments does not move far. How far levels stray from it is learnt beside it. What most bands have in common at a
moment is the echo's as well, within bounds: clients and knobs change it as a whole. A loudspeaker that distorts
gives each band a little of the loudest one.

It never hears audio, only levels in dB of full scale. Laws: what is expected never falls faster than a room dies away;
it is finite whatever was heard; nothing is learnt in a band where neither echo nor sound stands out of the noise.
"""

from collections.abc import Iterable, Sequence
from statistics import median

from asr_service.core.echo_delay import AUDIBLE_DB

SILENT_DB = -100.0
DECAY_DB = 4.0  # a frame: 60 dB in 0.3 s
DISTORTION_DB = -30.0  # of the loudest band, in every other
QUANTILE = 0.75
FIRST_GAIN_DB = 0.0  # an echo as loud as what is played, until more is known
LIKELY_GAIN_DB = -6.0  # at least that much is expected when its delay is found
FIRST_STRAY_DB = 4.0
STRAY_SHARE = 0.02  # of what is new
STRAY_LIMIT_DB = 8.0  # what is further off is no echo
STRAYS, MARGIN_DB = 0.7, 1.0  # an echo is at most so far above its gain
PLAYED_LEAST_DB = AUDIBLE_DB - 15.0
ECHO_ABOVE_DB, SOUND_ABOVE_DB = 3.0, 6.0  # above the noise: what can be learnt from
STEP_DB, STEADY_FRAMES = 8.0, 60  # the first steps are long, the last ones a 64th of that, and
LIFT_STEP_DB, LIFT_MOST_DB = 0.6, 8.0  # a frame, and in all
SLOW_SHARE = 0.2  # shorter still while somebody speaks
STEEP_DB, STEEP_FRAMES, STEEP_TIMES = -8.0, 60, 4.0  # there is less echo than was feared, or none


class EchoPath:
    """From a loudspeaker to a microphone."""

    def __init__(self, bands: int) -> None:
        self._played = [SILENT_DB] * bands  # what of it may be heard now
        self._gain = [FIRST_GAIN_DB] * bands
        self._stray = [FIRST_STRAY_DB] * bands
        self._frames = [0] * bands  # that were learnt from
        self._lift_db = 0.0  # the echo is louder by that, in every band

    @property
    def most(self) -> list[float]:
        """The echo is at most so loud in each band."""
        bands = zip(self._played, self._gain, self._stray, strict=True)
        return [played + gain + STRAYS * stray + MARGIN_DB + self._lift_db for played, gain, stray in bands]

    def fall_silent(self) -> None:
        """Nothing has been played for a while."""
        self._played = [SILENT_DB] * len(self._played)

    def play(self, hops: Iterable[Sequence[float]]) -> None:
        """A frame in which these hops may arrive, at least one."""
        loudest = [max(levels) for levels in zip(*hops, strict=True)]
        least = max(loudest) + DISTORTION_DB
        bands = zip(loudest, self._played, strict=True)
        self._played = [max(level, least, before - DECAY_DB) for level, before in bands]

    def relearn(self, *, is_first: bool) -> None:
        """The delay was found, or has become another one: what was learnt may be wrong."""
        self._frames = [0] * len(self._frames)
        if is_first:
            self._gain = [max(LIKELY_GAIN_DB, gain) for gain in self._gain]

    def learn(self, heard: Sequence[float], noise: Sequence[float], *, is_slow: bool) -> None:
        """What was heard in that frame, beside such noise."""
        off_db = []
        for band, (level, hiss) in enumerate(zip(heard, noise, strict=True)):
            is_out = self._played[band] + self._gain[band] > hiss + ECHO_ABOVE_DB or level > hiss + SOUND_ABOVE_DB
            if is_out and self._played[band] > PLAYED_LEAST_DB:
                off_db.append(level - self._played[band] - self._gain[band])
                self._learn(band, off_db[-1], is_slow)
        if off_db:
            self._lift(median(off_db) - self._lift_db, LIFT_STEP_DB * (SLOW_SHARE if is_slow else 1.0))

    def _lift(self, way_db: float, step_db: float) -> None:
        """What all bands have in common is the echo's: somebody has turned a knob, or a client follows its own mind."""
        self._lift_db = max(0.0, min(LIFT_MOST_DB, self._lift_db + max(-step_db, min(step_db, way_db))))

    def _learn(self, band: int, off_db: float, is_slow: bool) -> None:
        self._frames[band] += 1
        step = STEP_DB / (4 + min(self._frames[band], STEADY_FRAMES))
        if self._frames[band] < STEEP_FRAMES and off_db < STEEP_DB:
            step *= STEEP_TIMES
        if is_slow:
            step *= SLOW_SHARE
        if abs(off_db) < STRAY_LIMIT_DB:
            self._stray[band] += STRAY_SHARE * (abs(off_db) - self._stray[band])
        share = QUANTILE if off_db > 0 else QUANTILE - 1.0
        self._gain[band] += step * share * min(1.0, abs(off_db))

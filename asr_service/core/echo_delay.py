"""Echo delay: decides how much later a microphone hears what a loudspeaker plays, from how loud both are in each band.

What is compared are the ups and downs of each band's level about its own mean, by normalised correlation over every
delay up to half a second (the envelope matching of delay estimators for echo cancellation: J. P. Ianniello, 1982, "Time
delay estimation via cross-correlation in the presence of large estimation errors", on envelopes instead of samples).
Envelopes say little about single samples, so a room, a cheap loudspeaker or a codec in between does them no harm. The
past fades within a second, and within less when a new reply begins, as a client may start each reply a little sooner
or later. A delay that was found is kept until another one fits clearly better.

It never hears audio, only levels in dB of full scale; a hop is 10 ms of what is played, a frame 20 ms of what is heard.

Laws: the delay is unknown or within `LAGS`; without anything played it never changes; the same levels give the same
delay.
"""

from collections import deque
from collections.abc import Sequence
from operator import mul

LAGS = 52  # hops: delays of up to half a second
AUDIBLE_DB = -59.0  # a band of what is played that is quieter plays nothing
FADE = 0.98  # of the past with each frame: a second
FADE_AT_START = 0.3  # when a new reply begins
LEAST_FIT = 0.4  # correlation from which on a delay is believed
BETTER_FIT = 0.03  # by how much another one must be better
LOOK_FRAMES, FIRST_LOOK_FRAMES = 5, 25  # how often the best is looked for, and since when
PLAYED_SHARE, HEARD_SHARE = 0.01, 0.02  # of a new level in the mean, more in the beginning
NOISE_MARGIN_DB = 3.0
LEAST_ENERGY = 1e-9


class EchoDelay:
    """Follows one stream. `hops` is the delay, None while it is unknown."""

    def __init__(self, bands: int) -> None:
        self.hops: int | None = None
        self.frames = 0  # how many were compared
        self._played_mean = [AUDIBLE_DB] * bands
        self._heard_mean = [0.0] * bands
        self._played_hops = 0  # that were audible
        silent = [0.0] * bands
        self._played: deque[list[float]] = deque([silent] * LAGS, LAGS)  # about their mean, the latest first
        self._played_energy: deque[float] = deque([0.0] * LAGS, LAGS)
        self._products = [0.0] * LAGS
        self._energies = [LEAST_ENERGY] * LAGS
        self._heard_energy = LEAST_ENERGY

    def play(self, levels: Sequence[float], *, is_audible: bool) -> None:
        """A hop is played, so loud in each band."""
        rises = [0.0] * len(levels)
        if is_audible:
            above = [max(level, AUDIBLE_DB) for level in levels]
            self._played_hops += 1
            self._played_mean = nearer(self._played_mean, above, max(PLAYED_SHARE, 1.0 / self._played_hops))
            rises = [level - mean for level, mean in zip(above, self._played_mean, strict=True)]
        self._played.appendleft(rises)
        self._played_energy.appendleft(sum(map(mul, rises, rises)))

    def start_again(self) -> None:
        """A new reply begins: what was learnt from those before counts for less."""
        self._products = [FADE_AT_START * product for product in self._products]
        self._energies = [FADE_AT_START * energy for energy in self._energies]
        self._heard_energy *= FADE_AT_START

    def hear(self, levels: Sequence[float], noise: Sequence[float]) -> None:
        """A frame is heard, so loud in each band, beside such noise; the hops that were played with it came before."""
        above = [max(level - hiss - NOISE_MARGIN_DB, 0.0) for level, hiss in zip(levels, noise, strict=True)]
        self.frames += 1
        self._heard_mean = nearer(self._heard_mean, above, max(HEARD_SHARE, 1.0 / self.frames))
        rises = [level - mean for level, mean in zip(above, self._heard_mean, strict=True)]
        self._heard_energy = FADE * self._heard_energy + sum(map(mul, rises, rises))
        pairs = zip(self._products, self._played, strict=True)
        self._products = [FADE * product + sum(map(mul, rises, played)) for product, played in pairs]
        powers = zip(self._energies, self._played_energy, strict=True)
        self._energies = [FADE * energy + played for energy, played in powers]
        if self.frames >= FIRST_LOOK_FRAMES and self.frames % LOOK_FRAMES == 0:
            self._look()

    def _look(self) -> None:
        sums = zip(self._products, self._energies, strict=True)
        fits = [product / max(LEAST_ENERGY, self._heard_energy * energy) ** 0.5 for product, energy in sums]
        best = max(range(LAGS), key=fits.__getitem__)
        if fits[best] > LEAST_FIT and (self.hops is None or fits[best] > fits[self.hops] + BETTER_FIT):
            self.hops = best


def nearer(means: list[float], levels: Sequence[float], share: float) -> list[float]:
    """Means that have gone this share of the way to new levels."""
    return [mean + share * (level - mean) for mean, level in zip(means, levels, strict=True)]

"""How far the audio made of a reply is ahead of the ear, as far as the one who makes it can tell.

Playing begins when the first audio is taken to be sent, and goes on in real time as long as what was taken lasts; when
it has run dry it begins again with the next that is taken. A peer that takes nothing hears nothing.

It reads no clock: `now_s` is monotonic seconds, and all else is samples of the reply. Laws: no more was played than was
taken, and no more taken than made; what was played never gets less, and grows no faster than time.
"""

import math


class Playout:
    """The playing of one reply."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._made_samples = 0
        self._taken_samples = 0
        self._anchor_s = -math.inf  # at this moment ...
        self._anchor_samples = 0  # ... so much had been played, and it has gone on without a gap

    def make(self, samples: int) -> None:
        """So many samples more were made."""
        self._made_samples += samples

    def take(self, samples: int, now_s: float) -> None:
        """So many of them were taken; when playing had run dry, they begin to be heard now."""
        if now_s >= self._reached_s(self._taken_samples):
            self._anchor_s, self._anchor_samples = now_s, self._taken_samples
        self._taken_samples += samples

    def played_samples(self, now_s: float) -> int:
        if now_s >= self._reached_s(self._taken_samples):
            return self._taken_samples
        return self._anchor_samples + max(0, int((now_s - self._anchor_s) * self._sample_rate))

    def ahead_ms(self, now_s: float) -> float:
        """Audio that was made and not played."""
        return (self._made_samples - self.played_samples(now_s)) * 1000 / self._sample_rate

    def until_ahead_s(self, most_ms: float, now_s: float) -> float:
        """Seconds until at most `most_ms` is ahead; infinite when more must be taken for that."""
        samples = self._made_samples - math.floor(most_ms * self._sample_rate / 1000)
        if samples <= self.played_samples(now_s):
            return 0.0
        return self._reached_s(samples) - now_s if samples <= self._taken_samples else math.inf

    def _reached_s(self, samples: int) -> float:
        """The moment at which so much will have been played, if it is taken in time."""
        return self._anchor_s + (samples - self._anchor_samples) / self._sample_rate

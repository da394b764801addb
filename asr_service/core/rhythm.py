"""When a growing stretch of speech is read again: soon at first, then at growing intervals.

Counted in samples since speech began, so equal audio is read at equal places however it was delivered. What a reading
costs sets the shortest interval: readings of a slow model come rarer, so that all of them together take a quarter of
one speaker's time and the rest is left to the others.
"""

FIRST_SAMPLES = 5_600  # 0.35 s at 16 000 Hz: a word has begun
GROWTH = 3, 2  # each interval is so much longer than the last one
LONGEST_SAMPLES = 16_000  # a second: who watches the text sees it move
SPARED = 4  # an interval is so many times as long as a reading takes


class Rhythm:
    """The readings of one stretch."""

    def __init__(self) -> None:
        self._interval_samples = FIRST_SAMPLES
        self._last_samples = 0

    def due(self, heard_samples: int, cost_samples: int) -> bool:
        """Whether the stretch is to be read now that so much was heard. `cost_samples`: what may be heard meanwhile.

        True is said once; the next reading is then due an interval later.
        """
        if heard_samples - self._last_samples < max(self._interval_samples, SPARED * cost_samples):
            return False
        self._last_samples = heard_samples
        longer, shorter = GROWTH
        self._interval_samples = min(self._interval_samples * longer // shorter, LONGEST_SAMPLES)
        return True

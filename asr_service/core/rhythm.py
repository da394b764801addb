"""When a growing stretch of speech is read again: soon at first, then at growing intervals.

Counted in samples of the stretch, never in time, so equal audio is read at equal places however it was delivered and
however slow the machine. A place that was passed by while more audio came is not read any more: only the last one is.
"""

FIRST_SAMPLES = 5_600  # 0.35 s at 16 000 Hz: a word has begun
LONGEST_SAMPLES = 16_000  # a second: who watches the text sees it move


class Rhythm:
    """The places of one stretch, in order."""

    def __init__(self) -> None:
        self._interval_samples = self._next_samples = FIRST_SAMPLES

    def due(self, heard_samples: int) -> int | None:
        """The last place that was reached since the last call; None for none. Places never come twice."""
        reached = None
        while self._next_samples <= heard_samples:
            reached = self._next_samples
            self._interval_samples = min(self._interval_samples * 13 // 10, LONGEST_SAMPLES)
            self._next_samples += self._interval_samples
        return reached

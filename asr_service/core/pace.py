"""Pace: when a piece of sound is due, and so whether a stream has fallen behind the person who speaks.

Sound is due when it comes, but no sooner than the sound before it has been played: whoever sends a recording at once
waits for nothing before a speaker would have said it. What came in one burst is due within `MOST_AHEAD_S`, or somebody
who speaks after it would be waited for as long as the burst was. Laws: due times never go back; none is before its
arrival, nor later after it than that.
"""

MOST_AHEAD_S = 2.0


class Pace:
    """The due times of one stream, in seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._due_s = float("-inf")

    def due_s(self, arrived_s: float, sound_s: float) -> float:
        """When the next piece, which lasts `sound_s` and came at `arrived_s`, is due."""
        self._due_s = max(self._due_s, min(max(arrived_s, self._due_s + sound_s), arrived_s + MOST_AHEAD_S))
        return self._due_s

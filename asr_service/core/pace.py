"""Pace: when a piece of sound is due, and so whether a stream has fallen behind the person who speaks.

Sound is due when it comes, but no sooner than the sound before it has been played: whoever sends a recording at once
waits for nothing before a speaker would have said it. Law: due times never go back, and none is before its arrival.
"""


class Pace:
    """The due times of one stream, in seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._due_s = float("-inf")

    def due_s(self, arrived_s: float, sound_s: float) -> float:
        """When the next piece, which lasts `sound_s` and came at `arrived_s`, is due."""
        self._due_s = max(arrived_s, self._due_s + sound_s)
        return self._due_s

"""How many live replies an engine can speak, judged by how fast it has been so far.

Every segment tells how long it took for how much audio; their mean, in which the last `MEMORY_S` of audio count most,
is the share of a slot that one voice needs while it speaks. A new reply is refused when all together would need more
than `load` of the slots. Laws: nobody is refused who could have a slot of their own, nor before anything was measured;
whoever is let in is counted until they leave.
"""

import math
from typing import Final

MEMORY_S: Final = 30.0


class Capacity:
    """`load` is the share of the slots that may be used up; 0 lets everybody in."""

    def __init__(self, slots: int, load: float) -> None:
        self._slots = slots
        self._load = load
        self.live = 0  # replies that were let in and have not left
        self.rtf: float | None = None  # seconds in a slot for a second of audio

    def measure(self, took_s: float, made_s: float) -> None:
        """A segment of `made_s` of audio took so long."""
        if made_s <= 0:
            return
        if self.rtf is None:
            self.rtf = took_s / made_s
        else:
            self.rtf += (1 - math.exp(-made_s / MEMORY_S)) * (took_s / made_s - self.rtf)

    def enter(self) -> bool:
        """Let one more in; False when there is no room."""
        is_let_in = self.live < self._slots or not self._load or self._needed() <= self._load * self._slots
        self.live += is_let_in
        return is_let_in

    def leave(self) -> None:
        """One of those who are in has gone."""
        assert self.live > 0
        self.live -= 1

    def _needed(self) -> float:
        """Slots that would be in use, on average, with one more."""
        return (self.live + 1) * (self.rtf or 0.0)

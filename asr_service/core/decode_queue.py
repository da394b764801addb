"""Who is decoded next, when many speak and a model takes only so many at a time.

Each stream has at most one decode that runs and one that waits. What waits has no window of its own: when its turn
comes it reads the newest, so asking again while it waits makes it fresher and no longer. A more urgent wish of the same
stream takes the place of a less urgent one. Finals go before candidates, and both before partials, since somebody
waits for an answer there; among equals, who asked first.

It decodes nothing and reads no clock. Laws: a stream never runs twice at a time and never waits twice; nothing that was
asked for is forgotten, but by `withdraw`; nothing is taken before something more urgent that could be taken; a batch
holds only what joins its first.
"""

from collections.abc import Callable, Hashable
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Urgency(IntEnum):
    """What a decode is for; the smaller the more urgent."""

    FINAL = 0
    CANDIDATE = 1
    PARTIAL = 2


class DecodeQueue(Generic[K]):
    """The decodes that wait and those that run. `K` stands for a stream's utterance."""

    def __init__(self) -> None:
        self._waiting: dict[K, tuple[Urgency, int]] = {}
        self._running: set[K] = set()
        self._numbers = count()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def waits(self, key: K) -> Urgency | None:
        """What waits for it, if anything."""
        found = self._waiting.get(key)
        return found[0] if found else None

    def runs(self, key: K) -> bool:
        """Whether it is being decoded."""
        return key in self._running

    def ask(self, key: K, urgency: Urgency) -> bool:
        """Let it wait; whether something that waited for it is stale now, for this is newer or more urgent.

        What is no more urgent than what waits keeps its place.
        """
        waits = self.waits(key)
        if waits is None or urgency < waits:
            self._waiting[key] = (urgency, next(self._numbers))
        return waits is not None

    def withdraw(self, key: K) -> bool:
        """Let it wait no more; whether it did."""
        return self._waiting.pop(key, None) is not None

    def take(self, can_run: Callable[[K], bool], joins: Callable[[K, K], bool], most: int) -> list[tuple[K, Urgency]]:
        """The next to run, at most `most` that join the first; they run until `done`. Empty when none can.

        `can_run` is asked in order and of no more than needed, so that it may count what a step needs.
        """
        batch: list[K] = []
        for key in sorted(self._waiting, key=self._waiting.__getitem__):
            if len(batch) == most:
                break
            if key not in self._running and can_run(key) and (not batch or joins(batch[0], key)):
                batch.append(key)
        self._running.update(batch)
        return [(key, self._waiting.pop(key)[0]) for key in batch]

    def done(self, key: K) -> None:
        """It is not being decoded any more."""
        self._running.discard(key)

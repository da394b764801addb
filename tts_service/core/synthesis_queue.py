"""Whose segment is made next, when many replies are spoken and an engine has few slots.

Somebody waits in silence for the first segment of a reply, so it goes before all others, in the order of asking. Of the
later ones goes first what is due first: the one whose listener will run out of audio. Speech that nobody listens to
while it is made (a file) comes after both. Background work is made only while nobody waits, and leaves a slot free
where there are several; it is told to yield its slot as soon as anybody else waits for one, and has to ask again.

It makes nothing and reads no clock. Laws: no more run than there are slots; nothing that asked is forgotten, but by
`withdraw`; among those of one urgency who is due first goes first, of those due alike who asked first; who is neither
first nor in the background waits for `MOST_PASSES` grants to other urgencies in a row at most, and one more where two
kinds wait so; no background work is begun while another waits, and none keeps a slot from another for longer than it
takes to stop.
"""

from collections.abc import Hashable
from enum import IntEnum
from itertools import count
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST_PASSES: Final = 8


class Urgency(IntEnum):
    """Why a segment is made; the smaller the more urgent."""

    FIRST = 0  # somebody waits in silence
    LATER = 1  # somebody listens to what comes before it
    FILE = 2  # somebody waits for the whole
    BACKGROUND = 3  # nobody waits


_PATIENT: Final = (Urgency.LATER, Urgency.FILE)  # who may be passed by others, but not for ever


class SynthesisQueue(Generic[K]):
    """The segments that wait and those that are made in one of `slots`. `K` stands for an asking."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._waiting: dict[Urgency, dict[K, tuple[float, int]]] = {urgency: {} for urgency in Urgency}
        self._running: dict[K, Urgency] = {}  # in the order of their beginning
        self._yielding: set[K] = set()
        self._passes = dict.fromkeys(_PATIENT, 0)
        self._numbers = count()

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def free(self) -> int:
        """Slots in which nothing is made."""
        return self._slots - len(self._running)

    def ask(self, key: K, urgency: Urgency, due_s: float = 0.0) -> None:
        """Let a new key wait; `due_s` is on any clock, the same for all."""
        assert key not in self._running
        self._waiting[urgency][key] = (due_s, next(self._numbers))

    def withdraw(self, key: K) -> None:
        """Let it wait no more."""
        for waiting in self._waiting.values():
            waiting.pop(key, None)

    def grant(self) -> K | None:
        """The next to be made; it has a slot until `done`. None when nobody waits or no slot is to be had."""
        urgency = self._next_urgency()
        if urgency is None:
            return None
        waiting = self._waiting[urgency]
        key = min(waiting, key=waiting.__getitem__)
        del waiting[key]
        self._running[key] = urgency
        for other in _PATIENT:
            has_passed = other is not urgency and self._waiting[other]
            self._passes[other] = self._passes[other] + 1 if has_passed else 0
        return key

    def done(self, key: K) -> None:
        """Its slot is free."""
        del self._running[key]
        self._yielding.discard(key)

    def to_yield(self) -> list[K]:
        """Background work that must stop now, the youngest first, for it loses least; each is told once."""
        urgent = len(self) - len(self._waiting[Urgency.BACKGROUND])
        wanted = max(0, urgent - self.free - len(self._yielding))
        keys = [key for key in reversed(self._running) if self._is_unwarned(key)][:wanted]
        self._yielding.update(keys)
        return keys

    def _is_unwarned(self, key: K) -> bool:
        return self._running[key] is Urgency.BACKGROUND and key not in self._yielding

    def _next_urgency(self) -> Urgency | None:
        waiting = [urgency for urgency in Urgency if self._waiting[urgency]]
        if not waiting or not self.free:
            return None
        if waiting[0] is Urgency.BACKGROUND:
            return Urgency.BACKGROUND if self.free > 1 or self._slots == 1 else None
        overdue = [urgency for urgency in _PATIENT if urgency in waiting and self._passes[urgency] >= MOST_PASSES]
        return max(overdue, key=self._passes.__getitem__) if overdue else waiting[0]

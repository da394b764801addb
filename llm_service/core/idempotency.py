"""Decide whether a request with a key is new, joins the one that runs, or gets the answer that was given.

Knows runs only as things that it is handed and hands back; a run is named by being itself, so one that was replaced can
change nothing any more. Starts nothing, ends nothing and reads no clock: `now_s` is monotonic seconds, handed in.
Laws, for one key: from New until complete or abandon every other reserve is InFlight with the run of New, so there is
one winner; after complete it is Replay with that run for `life_s`, unless a bound puts it out earlier; after abandon
the key is as if it had never come; another fingerprint is a Conflict, which changes nothing. For all keys: no more than
`max_running` run, no more than `max_entries` and `max_bytes` are kept, none above `max_entry_bytes`; the ones that were
completed first go first; one that runs is never put out.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

RunT = TypeVar("RunT")


@dataclass(frozen=True, slots=True)
class IdempotencyParams:
    """Bounds: how long an answer is kept after it was complete, how many, and their bytes in all and each."""

    life_s: float = 600.0
    max_running: int = 64
    max_entries: int = 4096
    max_bytes: int = 32 * 1024 * 1024
    max_entry_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class New:
    """The key is free: the run that was handed in has it now."""


@dataclass(frozen=True, slots=True)
class InFlight(Generic[RunT]):
    """The same request is being answered by this run."""

    run: RunT


@dataclass(frozen=True, slots=True)
class Replay(Generic[RunT]):
    """The same request was answered by this run."""

    run: RunT


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key came before with another request."""


@dataclass(frozen=True, slots=True)
class Full:
    """As many runs with a key as are allowed are running."""


@dataclass(frozen=True, slots=True)
class _Running(Generic[RunT]):
    fingerprint: str
    run: RunT


@dataclass(frozen=True, slots=True)
class _Kept(Generic[RunT]):
    fingerprint: str
    run: RunT
    size_bytes: int
    until_s: float


class Idempotency(Generic[RunT]):
    """Which run has which key."""

    def __init__(self, params: IdempotencyParams) -> None:
        self._params = params
        self._running: dict[str, _Running[RunT]] = {}
        self._kept: OrderedDict[str, _Kept[RunT]] = OrderedDict()  # in the order in which they were completed
        self._kept_bytes = 0

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._running)

    @property
    def kept(self) -> int:
        """How many answers are kept; some may have outlived their time, and go at the next call."""
        return len(self._kept)

    @property
    def kept_bytes(self) -> int:
        """The bytes of all of them."""
        return self._kept_bytes

    def reserve(
        self, key: str, fingerprint: str, run: RunT, now_s: float
    ) -> New | InFlight[RunT] | Replay[RunT] | Conflict | Full:
        """What a request is; `run` is the one that is to answer it if it is New."""
        self._expire(now_s)
        found = self._running.get(key) or self._kept.get(key)
        if found is not None and found.fingerprint != fingerprint:
            return Conflict()
        if isinstance(found, _Running):
            return InFlight(found.run)
        if found is not None:
            return Replay(found.run)
        if len(self._running) >= self._params.max_running:
            return Full()
        self._running[key] = _Running(fingerprint, run)
        return New()

    def complete(self, key: str, run: RunT, size_bytes: int, now_s: float) -> bool:
        """The run has made the whole answer. Whether it is kept: not above the bounds, nor without its key."""
        self._expire(now_s)
        place = self._running.get(key)
        if place is None or place.run is not run:
            return False
        del self._running[key]
        if size_bytes > min(self._params.max_entry_bytes, self._params.max_bytes):
            return False
        self._kept[key] = _Kept(place.fingerprint, run, size_bytes, now_s + self._params.life_s)
        self._kept_bytes += size_bytes
        while len(self._kept) > self._params.max_entries or self._kept_bytes > self._params.max_bytes:
            self._put_out()
        return key in self._kept

    def abandon(self, key: str, run: RunT) -> bool:
        """The answer of the run is no answer: it failed, or nobody wants it. Whether the key was still its."""
        place = self._running.get(key)
        if place is None or place.run is not run:
            return False
        del self._running[key]
        return True

    def dismiss(self, key: str) -> RunT | None:
        """Nobody may join the run that has the key: the run, which loses it; None when the key does not run."""
        place = self._running.pop(key, None)
        return place.run if place else None

    def _expire(self, now_s: float) -> None:
        while self._kept and next(iter(self._kept.values())).until_s <= now_s:
            self._put_out()

    def _put_out(self) -> None:
        _, entry = self._kept.popitem(last=False)
        self._kept_bytes -= entry.size_bytes

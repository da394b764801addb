"""Which texts of finished messages are spoken again, at leisure and in high quality, and for whom.

A message wants one thing at a time: asking anew for it drops what it wanted before, also while that is being made,
unless another message wants the same. What several messages want is made once; so many may want one thing, and no
more. What was dropped while it ran is being stopped until it ended, and may be wanted anew meanwhile: then it waits. It
makes nothing and keeps no result: what has ended is forgotten, but for the last failures, so that whoever asks is told.

Laws: a key is made at most once at a time, what is being stopped included; no more run, or are being stopped, than may;
what waits is begun in the order of asking; what is wanted waits or runs until it ended, and what nobody wants does
neither.
"""

from collections import OrderedDict
from typing import Final, Generic, Literal, TypeVar

F = TypeVar("F")

MOST_FAILURES: Final = 256
MOST_MESSAGES: Final = 64  # that want the same

State = Literal["waiting", "running", "failed"]


class HqJobs(Generic[F]):
    """Jobs by key; `F` is what tells of a failure."""

    def __init__(self, most_running: int, most_waiting: int) -> None:
        self._most_running = most_running
        self._most_waiting = most_waiting
        self._wanted_by: dict[str, set[str]] = {}  # key → messages; in the order of asking
        self._wants: dict[str, str] = {}  # message → key
        self._running: set[str] = set()
        self._stopping: set[str] = set()  # dropped while they ran
        self._failures: OrderedDict[str, F] = OrderedDict()

    def __len__(self) -> int:
        """How many wait or run."""
        return len(self._wanted_by)

    def state(self, key: str) -> State | None:
        if key in self._wanted_by:
            return "running" if key in self._running else "waiting"
        return "failed" if key in self._failures else None

    def failure(self, key: str) -> F:
        """What a failed one failed of."""
        return self._failures[key]

    def has_room(self, message_id: str, key: str) -> bool:
        """Whether a message may ask for a job: one more that waits, or one that not too many want already."""
        if key in self._wanted_by:
            return self._wants.get(message_id) == key or len(self._wanted_by[key]) < MOST_MESSAGES
        return len(self._wanted_by) - len(self._running) < self._most_waiting

    def want(self, message_id: str, key: str) -> list[str]:
        """A message wants this, and nothing else; the keys that are dropped for it, also of such as run."""
        assert self.has_room(message_id, key)
        dropped = [] if self._wants.get(message_id) == key else self.leave(message_id)
        self._failures.pop(key, None)
        self._wants[message_id] = key
        self._wanted_by.setdefault(key, set()).add(message_id)
        return dropped

    def leave(self, message_id: str) -> list[str]:
        """A message wants nothing any more; the keys that are dropped for it."""
        key = self._wants.pop(message_id, None)
        if key is None:
            return []
        self._wanted_by[key].discard(message_id)
        return [] if self._wanted_by[key] else self.drop(key)

    def drop(self, key: str) -> list[str]:
        """Nobody gets this; the key, if it waited or ran."""
        self._failures.pop(key, None)
        was_wanted = key in self._wanted_by
        if key in self._running:
            self._stopping.add(key)
        self._forget(key)
        return [key] if was_wanted else []

    def begin(self) -> str | None:
        """The next that is made; it runs until `end`, also when it is dropped."""
        if len(self._running) + len(self._stopping) >= self._most_running:
            return None
        begun = self._running | self._stopping
        key = next((key for key in self._wanted_by if key not in begun), None)
        if key is not None:
            self._running.add(key)
        return key

    def end(self, key: str, failure: F | None = None) -> None:
        """One that ran is made, or failed; of one that was dropped nothing is told, and it may be begun anew."""
        self._stopping.discard(key)
        if key not in self._running:
            return
        self._forget(key)
        if failure is not None:
            self._failures[key] = failure
            if len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)

    def _forget(self, key: str) -> None:
        for message_id in self._wanted_by.pop(key, ()):
            del self._wants[message_id]
        self._running.discard(key)

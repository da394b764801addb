"""Decide how long to wait before a child process that ended is started again.

Never starts anything and reads no clock: `now` is monotonic seconds, handed in.
Laws: the first wait is `first_s`, each further one twice the last, none above `longest_s`; a child that answered for
`settled_s` on end makes the next wait the first one again; a child that never answered does not.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOffParams:
    """Seconds: the first wait, the longest one, and how long a child must answer to be trusted again."""

    first_s: float = 0.2
    longest_s: float = 5.0
    settled_s: float = 30.0


class BackOff:
    """The waits between the lives of one child, told when it answers and when it ends."""

    def __init__(self, params: BackOffParams) -> None:
        self._params = params
        self._next_s = params.first_s
        self._ready_since: float | None = None

    def ready(self, now: float) -> None:
        """The child answers from `now` on."""
        self._ready_since = now

    def ended(self, now: float) -> float:
        """The child ended at `now`: seconds to wait before the next one."""
        if self._ready_since is not None and now - self._ready_since >= self._params.settled_s:
            self._next_s = self._params.first_s
        self._ready_since = None
        wait_s = min(self._next_s, self._params.longest_s)
        self._next_s = min(2 * wait_s, self._params.longest_s)
        return wait_s

"""Decide whether a server that failed lately may be asked again.

After a run of failures nothing is sent to it for a while; then one request is let through as a probe. A probe that is
answered closes the breaker, one that fails opens it again for twice as long. Never sends anything and reads no clock:
`now_s` is monotonic seconds, handed in.
Laws: an outcome of a pass that an earlier state gave changes nothing; while open nothing passes before the wait is
over; while half open there is one probe at a time, and one that is abandoned leaves its place to the next; a wait is
never longer than `longest_s`; after one success it is as new.
"""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Whether requests pass: all of them, none, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Outcome(Enum):
    """What became of a request: it was answered, the server failed it, or it was given up before either was known."""

    ANSWERED = "answered"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class BreakerParams:
    """Failures on end that open it; seconds that it stays open the first time, and at most."""

    failures: int = 5
    open_s: float = 5.0
    longest_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Pass:
    """The right to send one request, given in the state of that number."""

    number: int


class Breaker:
    """The breaker of one server: `admit` before each request, `note` after it."""

    def __init__(self, params: BreakerParams) -> None:
        self._params = params
        self._state = State.CLOSED
        self._number = 0  # of the state, so that late outcomes are known as such
        self._failures = 0
        self._wait_s = params.open_s
        self._opens_at_s = 0.0
        self._is_probed = False

    @property
    def state(self) -> State:
        """The state that the last call left it in."""
        return self._state

    def admit(self, now_s: float) -> Pass | None:
        """A pass for one request, or None while there is none."""
        if self._state is State.OPEN and now_s >= self._opens_at_s:
            self._enter(State.HALF_OPEN)
        if self._state is State.OPEN or self._is_probed:
            return None
        self._is_probed = self._state is State.HALF_OPEN
        return Pass(self._number)

    def note(self, given: Pass, outcome: Outcome, now_s: float) -> None:
        """What became of the request that this pass was given for."""
        if given.number != self._number:
            return
        match self._state, outcome:
            case State.CLOSED, Outcome.ANSWERED:
                self._failures = 0
            case State.CLOSED, Outcome.FAILED:
                self._failures += 1
                if self._failures >= self._params.failures:
                    self._open(now_s)
            case State.HALF_OPEN, Outcome.ANSWERED:
                self._wait_s = self._params.open_s
                self._enter(State.CLOSED)
            case State.HALF_OPEN, Outcome.FAILED:
                self._open(now_s)
            case _:  # given up: nothing is known, and a probe leaves its place
                self._is_probed = False

    def retry_in_s(self, now_s: float) -> float:
        """Seconds after which `admit` may give a pass; 0 when it may now."""
        return max(0.0, self._opens_at_s - now_s) if self._state is State.OPEN else 0.0

    def _open(self, now_s: float) -> None:
        self._opens_at_s = now_s + min(self._wait_s, self._params.longest_s)
        self._wait_s = min(2 * self._wait_s, self._params.longest_s)
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self._state = state
        self._number += 1
        self._failures = 0
        self._is_probed = False

"""The only reader of a clock: the event loop's monotonic seconds, so that a test's virtual clock is everybody's."""

import time
from datetime import UTC, datetime

import anyio


def now_s() -> float:
    """Monotonic seconds; only differences mean something."""
    return anyio.current_time()


def thread_now_s() -> float:
    """Monotonic seconds for code on a thread of its own, where there is no event loop to ask."""
    return time.monotonic()


def today() -> datetime:
    """The time of day in UTC, for records that a person reads; never for measuring."""
    return datetime.now(UTC)

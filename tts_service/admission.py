"""How many connections and speech requests are served at once; the next one is refused, not queued."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import TooManySessions
from shared.metrics import SESSIONS


class Admission:
    """Counts who is inside."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside = 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside for the length of the block. Raises TooManySessions."""
        if self._inside >= self._limit:
            raise TooManySessions(
                f"All {self._limit} connections of the tts_service are in use.", service="tts", retry_after_ms=1000
            )
        self._inside += 1
        SESSIONS.labels("tts").set(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            SESSIONS.labels("tts").set(self._inside)

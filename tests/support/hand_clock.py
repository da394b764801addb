"""An event loop whose time stands still until a test moves it: what happens at a moment is then known to the sample.

Sockets and threads go on as ever, so whatever needs no time gets done while the time stands still.
"""

import asyncio
from dataclasses import dataclass


@dataclass
class HandClock:
    """Seconds of the loop's clock. A test adds to them, and timers that are due then run."""

    now_s: float = 1_000.0


class HandLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for its clock."""

    def __init__(self, clock: HandClock) -> None:
        self._hand_clock = clock
        super().__init__()

    def time(self) -> float:
        return self._hand_clock.now_s

"""How far the text of an answer may run ahead of its voice.

A language model writes faster than anybody speaks. What it wrote is safe in the gateway at once, so its slot is free
and its end costs nothing; but it is handed on (to the client's screen and to speech) only some sentences ahead of the
voice. So a barge-in leaves little that was shown or synthesised and never heard, and what waits at the speech service
is bounded.
"""

from collections.abc import Callable

import anyio

AHEAD_CHARS = 160  # above the longest segment, so that speech always has the whole of its next one
STALL_S = 1.0


class TextPace:
    """Characters handed on and not yet begun to be spoken; white space does not count."""

    def __init__(self, is_ear_dry: Callable[[], bool]) -> None:
        self._is_ear_dry = is_ear_dry
        self._ahead_chars = 0
        self._is_free = False
        self._progress = anyio.Event()

    def hand_on(self, text: str) -> None:
        """Text goes to speech."""
        self._ahead_chars += _weight(text)

    def voice(self, text: str) -> None:
        """Speech of this text has begun."""
        self._ahead_chars -= _weight(text)
        self._progress.set()
        self._progress = anyio.Event()

    async def wait(self) -> None:
        """Until more text may be handed on. Text that is never voiced (a block of code) frees the pace for good."""
        while self._ahead_chars > AHEAD_CHARS and not self._is_free:
            before = self._ahead_chars
            with anyio.move_on_after(STALL_S):
                await self._progress.wait()
            self._is_free = self._ahead_chars == before and self._is_ear_dry()


def _weight(text: str) -> int:
    return sum(not character.isspace() for character in text)

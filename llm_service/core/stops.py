"""Find the texts at which a reply is to stop, in a reply that comes in pieces.

Holds back the end of what came as long as it may be the beginning of a stop, and nothing else. The first stop that is
complete ends the reply; of two that are complete at the same character, the longer one. It is not part of the text.
Laws: where the pieces are cut never changes the text; without a stop nothing is lost; no stop is ever handed on.
"""

from collections.abc import Iterable


class StopFinder:
    """The stops of one reply. An empty one stops nothing."""

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.has_stopped = False

    def feed(self, text: str) -> str:
        """More of the reply: what can be handed on now."""
        if self.has_stopped:
            return ""
        text, self._held = self._held + text, ""
        ends = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            self.has_stopped = True
            return text[: min(ends)[1]]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def finish(self) -> str:
        """The reply is complete: what was held back."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of the text begin the stop."""
    longest = min(len(text), len(stop) - 1)
    return next((count for count in range(longest, 0, -1) if text.endswith(stop[:count])), 0)

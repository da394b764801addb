"""Answers whose sound is to be kept, and what a test sees of their way."""

from collections.abc import Callable
from typing import Any

import anyio

from gateway.load import HouseLoad
from gateway.replicas import Replicas
from gateway.rerender_client import NotRendered, Rendered, RerenderClient, Wanted
from gateway.two_tier import HeardReply
from shared.wire.codec import Message
from tests.support.uploads import wav

TEXT = "Well, that is it. Bye."
SEGMENTS = (("Well,", 0), ("that is it.", 250), ("Bye.", 600))
RATE = 8_000
PCM = b"\x01\x02" * 8_000  # a second


class Tally:
    """How often each thing happened, which a test may wait for."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._changed = anyio.Event()

    def __call__(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, what: str, count: int = 1) -> None:
        """The test's own timeout is the limit."""
        while self.counts.get(what, 0) < count:
            await self._changed.wait()


class Ears:
    """A client that is told things."""

    def __init__(self) -> None:
        self.told: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.told.append(message)


def heard(turn_id: str = "trn_1", tell: Callable[[Message], None] | None = None, **others: Any) -> HeardReply:
    """An answer of a second; what is not said here is always the same."""
    usual: dict[str, Any] = {
        "text": TEXT,
        "segments": SEGMENTS,
        "pcm": PCM,
        "sample_rate": RATE,
        "voice": "tone",
        "language": "en",
    }
    return HeardReply(turn_id, f"rpl_{turn_id}", tell=tell or Ears(), **(usual | others))


BETTER = Rendered(wav(b"\x03\x04" * 16_000, 16_000), 16_000, 16_000, (("Well, that is it.", 0), ("Bye.", 12_000)))


class FakeFiner(RerenderClient):
    """A finer engine that speaks when a test lets it, or does not."""

    def __init__(self) -> None:
        super().__init__(Replicas("tts_service", "ws://nobody"), 1.0)
        self.asked: list[Wanted] = []
        self.asks = Tally()
        self.gate: anyio.Event | None = None
        self.refusal: NotRendered | None = None

    async def make(self, wanted: Wanted) -> Rendered:
        self.asked.append(wanted)
        self.asks("asked")
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        return BETTER


def calm() -> HouseLoad:
    """Nothing is wrong, by a clock that stands still."""
    return HouseLoad(now_s=lambda: 100.0)

"""A tone whose length follows the text: for tests and benchmarks, never a default.

`hold` makes every slot wait before each block until `let` allows some, so a test decides what happens first. A text
with `FAILS` in it fails after its first block.
"""

import math
import struct
import threading
from collections.abc import Generator
from typing import Final

from shared.errors import EngineFailed
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, ClosesNothing, Reference, SynthesisRequest, Voice
from tts_service.settings import TtsSettings

FAILS: Final = "boom"
SAMPLE_RATE: Final = 16_000
BLOCK_SAMPLES: Final = 320  # 20 ms
BLOCKS_PER_CHAR: Final = 2
_TONE_HZ: Final = 250  # 64 samples a wave, five waves a block: blocks join without a click
_TICK_S: Final = 0.01
_BLOCK: Final = struct.pack(
    f"<{BLOCK_SAMPLES}h",
    *(round(8000 * math.cos(2 * math.pi * _TONE_HZ * place / SAMPLE_RATE)) for place in range(BLOCK_SAMPLES)),
)


class FakeEngine(ClosesNothing):
    """Counts what it was asked and what it made; every count may be read from any thread."""

    name = "fake"
    sample_rate = SAMPLE_RATE
    capabilities = Capabilities(
        languages=("en", "zh", "ko"),
        voices=(Voice("tone", "", "A tone"),),
        max_chars=1000,
        streaming="chunk",
        can_clone=True,
        has_instruction=True,
        version="1",
    )

    def __init__(self) -> None:
        self.requests: list[SynthesisRequest] = []
        self.prepared: list[Reference] = []
        self.blocks_made = 0
        self.running = 0
        self.open_slots = 0
        self._changed = threading.Condition()
        self._allowed: float = math.inf

    def start(self) -> None:
        """Nothing to load."""

    def has_voice(self, name: str) -> bool:
        return name == "tone"

    def open_slot(self) -> "FakeSlot":
        self.open_slots += 1
        return FakeSlot(self)

    def hold(self) -> None:
        """Make no block from now on."""
        with self._changed:
            self._allowed = 0

    def let(self, blocks: float = math.inf) -> None:
        """Allow so many more blocks, all slots together."""
        with self._changed:
            self._allowed += blocks
            self._changed.notify_all()

    def note(self, request: SynthesisRequest | None) -> None:
        """Count a request that begins, or, with None, one that has ended."""
        with self._changed:
            self.running += 1 if request else -1
            if request:
                self.requests.append(request)

    def is_allowed(self, stop: StopToken) -> bool:
        """Wait for the right to one block; False when it was stopped instead."""
        with self._changed:
            while not stop.is_stopped():
                if self._allowed >= 1:
                    self._allowed -= 1
                    self.blocks_made += 1
                    return True
                self._changed.wait(_TICK_S)
        return False


class FakeSlot:
    """Makes the tone of one engine."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._is_closed = False

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        engine = self._engine
        engine.note(request)
        try:
            for place in range(len(request.text) * BLOCKS_PER_CHAR):
                if place == 1 and FAILS in request.text:
                    raise EngineFailed("The tone broke.", service="tts")
                if not engine.is_allowed(stop):
                    return
                yield _BLOCK
        finally:
            engine.note(None)

    def prepare(self, reference: Reference) -> bytes:
        """The revision itself: whoever looks at a request finds out whose voice it was."""
        self._engine.prepared.append(reference)
        return reference.revision.encode()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._engine.open_slots -= 1


def load(_: TtsSettings) -> FakeEngine:
    return FakeEngine()

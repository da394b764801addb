"""No speech at all: whoever shows the reply speaks it, as a browser can.

It makes no block, so a reply is announced segment by segment and no audio follows. Which voices there are is known to
the one who speaks, not here: none is listed, and any name may be asked for.
"""

from collections.abc import Generator
from typing import Final

from shared.threads import StopToken
from tts_service.engines.base import Capabilities, ClonesNothing, ClosesNothing, SynthesisRequest
from tts_service.settings import TtsSettings

SAMPLE_RATE: Final = 24_000  # of nothing
MAX_CHARS: Final = 1_000


class SilentSlot(ClonesNothing):
    """Makes nothing, and holds nothing."""

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """No block."""
        yield from ()

    def close(self) -> None:
        """There is nothing to give back."""


class SilentEngine(ClosesNothing):
    """Any number of slots that make nothing."""

    name = "none"
    sample_rate = SAMPLE_RATE
    # Numbers and instructions are for the one who speaks to read; the former are announced as they were written.
    capabilities = Capabilities(languages=(), voices=(), max_chars=MAX_CHARS, streaming="chunk", reads_numbers=True)

    def start(self) -> None:
        """Nothing to load."""

    def has_voice(self, name: str) -> bool:
        return bool(name)

    def open_slot(self) -> SilentSlot:
        return SilentSlot()


def load(_: TtsSettings) -> SilentEngine:
    return SilentEngine()

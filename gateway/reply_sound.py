"""The sound of one reply as it was sent, so that what was heard of it can be kept.

It is all there from the first sample on, or it is not there at all: of a reply whose beginning another gateway sent,
and of one that is too long, nothing is gathered.
"""

from typing import Final

from shared.pcm import BYTES_PER_SAMPLE, ms_of

MOST_BYTES: Final = 16 * 1024 * 1024  # almost six minutes at 24 kHz


class ReplySound:
    """PCM16 of one reply. What is not `wanted` is not gathered."""

    def __init__(self, sample_rate: int, *, wanted: bool = True, most_bytes: int = MOST_BYTES) -> None:
        self.sample_rate = sample_rate
        self._is_wanted = wanted
        self._most_bytes = most_bytes
        self._pcm = bytearray()

    def add(self, audio: bytes) -> None:
        """More of it has left."""
        if not self._is_wanted:
            return
        self._pcm += audio
        if len(self._pcm) > self._most_bytes:
            self._is_wanted, self._pcm = False, bytearray()

    def heard(self, heard_ms: int) -> bytes:
        """Its first so many milliseconds; all of it when that is its length, rounded down. Empty if it is not there."""
        if heard_ms >= ms_of(len(self._pcm) // BYTES_PER_SAMPLE, self.sample_rate):
            return bytes(self._pcm)
        return bytes(self._pcm[: heard_ms * self.sample_rate // 1000 * BYTES_PER_SAMPLE])

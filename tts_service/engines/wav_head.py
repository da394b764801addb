"""The head of a WAV that comes piece by piece, taken off: what is left is its PCM16 mono, and nothing after it.

A stream whose length nobody knew when it began says 0 or 0xFFFFFFFF for it, and goes on to its end.
"""

import struct
from typing import Final

MOST_BYTES: Final = 1 << 16  # before the sound: a head has 44, and some a picture or a comment
UNKNOWN: Final = (0, 0xFFFFFFFF)
PCM, EXTENSIBLE = 1, 0xFFFE


class NoWav(Exception):
    """The stream is none, or not one of PCM16 mono at the rate that was expected; the message says which."""


class WavHead:
    """Give it every piece; it returns what is sound."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._head = bytearray()
        self._is_format_seen = False
        self._left: int | None = None  # bytes of sound to come, None when nobody knows
        self._is_open = False
        self._place = 12  # of the next chunk

    @property
    def is_cut(self) -> bool:
        """Whether the file told of more sound than came."""
        return not self._is_open or bool(self._left)

    def accept(self, piece: bytes) -> bytes:
        """The sound in a piece. Raises NoWav."""
        if not self._is_open:
            self._head += piece
            self._read_head()
            if not self._is_open:
                return b""
            piece = bytes(self._head[self._place :])
            self._head.clear()
        if self._left is None:
            return piece
        sound = piece[: self._left]
        self._left -= len(sound)
        return sound

    def _read_head(self) -> None:
        head = self._head
        if not b"RIFF".startswith(bytes(head[:4])) or (len(head) >= 12 and head[8:12] != b"WAVE"):
            raise NoWav("no WAV")
        while len(head) >= self._place + 8:
            name, length = struct.unpack_from("<4sI", head, self._place)
            if name == b"data":
                if not self._is_format_seen:
                    raise NoWav("no WAV")
                self._place += 8
                self._left = None if length in UNKNOWN else length
                self._is_open = True
                return
            end = self._place + 8 + length + length % 2
            if end > MOST_BYTES:
                raise NoWav("no WAV")
            if len(head) < end:
                return
            if name == b"fmt ":
                self._read_format(bytes(head[self._place + 8 : end]))
            self._place = end

    def _read_format(self, fields: bytes) -> None:
        if len(fields) < 16:
            raise NoWav("no WAV")
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", fields)
        if kind not in (PCM, EXTENSIBLE) or (channels, bits) != (1, 16):
            raise NoWav("a WAV, but not of PCM16 with one channel")
        if rate != self._sample_rate:
            raise NoWav(f"a WAV of {rate} samples a second")
        self._is_format_seen = True

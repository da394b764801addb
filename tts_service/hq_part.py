"""A rendering while it is made: its sound grows in a folder that nobody finds, which in one step becomes a kept one.

All calls block, and one thread at a time makes them.
"""

import os
import shutil
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from shared.ids import new_id
from tts_service import durable
from tts_service.encoders import wav_header

SOUND: Final = "speech.wav"
LABELS: Final = "rendering.json"
HEAD_BYTES: Final = 44


class SoundPart:
    """One folder below `folder`, with a name that no other has."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.name = f"{durable.PREFIX}{new_id('hq')}"
        self._path = folder / self.name
        self._sample_rate = sample_rate
        self._file: BinaryIO | None = None
        self._pcm_bytes = 0

    def add(self, pcm: bytes) -> None:
        """More sound. Raises OSError."""
        self._opened().write(pcm)
        self._pcm_bytes += len(pcm)

    def put(self, path: Path, labels: bytes) -> None:
        """Be the folder at `path`, where there is none. Raises OSError; then it may be there all the same."""
        file = self._opened()
        file.seek(0)
        file.write(_head(self._sample_rate, self._pcm_bytes))
        file.flush()
        os.fsync(file.fileno())
        file.close()
        durable.write(self._path / LABELS, labels)
        durable.sync(self._path)
        self._path.rename(path)
        durable.sync(path.parent)

    def discard(self) -> None:
        """Leave nothing of it, unless it was put. Raises OSError."""
        if self._file is not None:
            with suppress(OSError):  # of the last bytes, which nobody wants
                self._file.close()
        if self._path.exists():
            shutil.rmtree(self._path)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            durable.make_folder(self._path.parent)
            self._path.mkdir(mode=0o700)
            handle = os.open(self._path / SOUND, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(handle, "wb")
            self._file.write(bytes(HEAD_BYTES))  # told when the length is known
        return self._file


def _head(sample_rate: int, pcm_bytes: int) -> bytes:
    head = wav_header(sample_rate)
    length, size = struct.pack("<I", HEAD_BYTES - 8 + pcm_bytes), struct.pack("<I", pcm_bytes)
    return head[:4] + length + head[8 : HEAD_BYTES - 4] + size

"""What was spoken again in high quality: a sound and its segments, each in a folder that is there whole or not at all.

All of them take at most `limit_bytes`; the least recently used go for the next one. The folder belongs to one service.
"""

import io
import logging
import wave
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import threads
from shared.errors import InternalError
from shared.pcm import BYTES_PER_SAMPLE
from tts_service import durable

SOUND: Final = "speech.wav"
LABELS: Final = "rendering.json"
LABELS_LIMIT_BYTES: Final = 1024 * 1024
NAME: Final = "[0-9a-f]" * 64

log = logging.getLogger(__name__)


class RenderedSegment(BaseModel):
    """A piece of the text, and the first sample that speaks it."""

    model_config = ConfigDict(frozen=True)
    text: str = Field(repr=False)
    start_samples: int = Field(ge=0)


class Rendering(BaseModel):
    """A text spoken as a whole; `revision` is that of the recording whose voice it is, empty for an engine's own."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: str = Field(pattern="^[0-9a-f]{64}$")
    engine: str
    revision: str
    sample_rate: int = Field(gt=0)
    total_samples: int = Field(ge=0)
    segments: tuple[RenderedSegment, ...]


class HqStore:
    """The renderings in one folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, tuple[Rendering, int]] = OrderedDict()  # and its bytes; the least used first

    async def load(self) -> None:
        """Read what is in the folder; what is damaged is thrown away."""
        for rendering, size_bytes in await threads.call(self._read):
            self._kept[rendering.id] = (rendering, size_bytes)
        await self._make_room(0)

    def find(self, key: str) -> Rendering | None:
        """What is kept under a key, which counts as a use."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def sound(self, key: str) -> Path:
        """The WAV of what is kept."""
        return self._folder / key / SOUND

    async def put(self, rendering: Rendering, pcm: bytes) -> None:
        """Keep a new one. Raises InternalError when the disk does not take it. A cancel keeps all of it or nothing."""
        files = {SOUND: _wav(pcm, rendering.sample_rate), LABELS: rendering.model_dump_json().encode()}
        size_bytes = sum(map(len, files.values()))
        if size_bytes > self._limit_bytes:
            raise InternalError("The speech is longer than all that may be kept.", service="tts")
        await self._make_room(size_bytes)
        with anyio.CancelScope(shield=True):
            try:
                await threads.call(durable.put_folder, self._folder / rendering.id, files)
            except OSError:
                raise InternalError("The speech could not be stored.", service="tts") from None
            self._kept[rendering.id] = (rendering, size_bytes)

    async def drop(self, key: str) -> bool:
        """Keep it no more; whether it was kept."""
        was_kept = self._kept.pop(key, None) is not None
        if was_kept:
            with anyio.CancelScope(shield=True):
                try:
                    await threads.call(durable.drop_folder, self._folder / key)
                except FileNotFoundError:
                    log.warning("a rendering was gone before it was dropped")
                except OSError:
                    raise InternalError("The speech could not be deleted.", service="tts") from None
        return was_kept

    async def forget(self, revision: str) -> None:
        """Drop all that speaks with the voice of a recording."""
        for key in [key for key, (rendering, _) in self._kept.items() if rendering.revision == revision]:
            await self.drop(key)

    async def _make_room(self, size_bytes: int) -> None:
        while self._kept and sum(size for _, size in self._kept.values()) + size_bytes > self._limit_bytes:
            await self.drop(next(iter(self._kept)))

    def _read(self) -> list[tuple[Rendering, int]]:
        """Runs on a thread. The oldest first."""
        found = []
        try:
            durable.sweep(self._folder)
            folders = sorted(self._folder.glob(NAME), key=lambda path: path.stat().st_mtime_ns)
        except OSError:
            log.warning("the folder of renderings cannot be read")
            return []
        for folder in folders:
            try:
                found.append(_stored(folder))
            except (OSError, ValidationError):  # what validation says holds what somebody wrote
                log.warning("a rendering is damaged, and is thrown away")
                with suppress(OSError):
                    durable.drop_folder(folder)
        return found


def _stored(folder: Path) -> tuple[Rendering, int]:
    """Raises OSError or ValidationError when it is not whole."""
    with (folder / LABELS).open("rb") as file:
        labels = file.read(LABELS_LIMIT_BYTES)
    rendering = Rendering.model_validate_json(labels)
    sound_bytes = (folder / SOUND).stat().st_size
    if rendering.id != folder.name or sound_bytes != 44 + rendering.total_samples * BYTES_PER_SAMPLE:
        raise OSError("The sound is not that of its labels.")
    return rendering, sound_bytes + len(labels)


def _wav(pcm: bytes, sample_rate: int) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(sample_rate)
        file.writeframes(pcm)
    return target.getvalue()

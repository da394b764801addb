"""What was spoken again in high quality: a sound and its segments, each in a folder that is there whole or not at all.

All of them take at most `limit_bytes`, with what is being made and with what the disk would not delete; the least
recently used go for the next one. The folder belongs to one service.

Laws: what speaks with the voice of a recording that is known no more is not found after a start; what was dropped is
not found again, and is deleted as soon as the disk lets go of it, which is tried at each change.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree
from typing import Final

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import threads
from shared.errors import InternalError, MessageTooLarge, Overloaded, ParleyError
from shared.pcm import BYTES_PER_SAMPLE
from tts_service import durable
from tts_service.hq_part import HEAD_BYTES, LABELS, SOUND, SoundPart

LABELS_LIMIT_BYTES: Final = 1024 * 1024
WRITTEN_AT_ONCE_BYTES: Final = 256 * 1024  # some seconds of speech
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


class HqPart:
    """One that is being made. What it raises ends it."""

    def __init__(self, store: "HqStore", sound: SoundPart) -> None:
        self.sound = sound
        self.size_bytes = HEAD_BYTES  # on the disk, or about to be
        self._store = store
        self._unwritten = bytearray()

    async def add(self, pcm: bytes) -> None:
        """More PCM16 mono. Raises MessageTooLarge when it is more than may be kept of all, Overloaded when the others
        that are being made leave no room, InternalError when the disk does not take it."""
        self._unwritten += pcm
        self._store.check_length(self.size_bytes + len(self._unwritten))
        if len(self._unwritten) >= WRITTEN_AT_ONCE_BYTES:
            await self._write()

    async def keep(self, rendering: Rendering) -> None:
        """Be kept. Raises as `add`. A cancel keeps all of it or nothing."""
        await self._write()
        labels = rendering.model_dump_json().encode()
        await self._store.reserve(self, len(labels))
        await self._store.put(self, rendering, labels)

    async def _write(self) -> None:
        pcm = bytes(self._unwritten)
        self._unwritten.clear()
        await self._store.reserve(self, len(pcm))
        try:
            await threads.call(self.sound.add, pcm)
        except OSError:
            raise _not_stored() from None


class HqStore:
    """The renderings in one folder."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[str, tuple[Rendering, int]] = OrderedDict()  # and its bytes; the least used first
        self._left: dict[
            str, tuple[str, int]
        ] = {}  # folder → revision and bytes of what was dropped and is there still
        self._parts: set[HqPart] = set()
        self._disk = anyio.Lock()

    async def load(self, known: Callable[[], Iterable[str]]) -> None:
        """Read what is in the folder; what is damaged, or of a revision that is not `known`, is thrown away.

        `known` is asked once the folder was read, so that nothing of a voice that is deleted meanwhile stays.
        """
        async with self._alone():
            whole, self._left = await threads.call(self._read)
            revisions = {"", *known()}
            for rendering, size_bytes in whole:
                if rendering.revision in revisions:
                    self._kept[rendering.id] = (rendering, size_bytes)
                else:
                    self._left[rendering.id] = (rendering.revision, size_bytes)
            try:
                await self._make_room(0)
            except ParleyError:
                log.warning("there are more renderings than may be kept")

    def find(self, key: str) -> Rendering | None:
        """What is kept under a key, which counts as a use."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def sound(self, key: str) -> Path:
        """The WAV of what is kept."""
        return self._folder / key / SOUND

    @asynccontextmanager
    async def part(self, sample_rate: int) -> AsyncIterator[HqPart]:
        """A new one, to be made in the block; unless it is kept there, nothing of it stays."""
        part = HqPart(self, SoundPart(self._folder, sample_rate))
        self._parts.add(part)
        try:
            yield part
        finally:
            if part in self._parts:
                await self._discard(part)

    async def drop(self, key: str) -> bool:
        """Keep it no more; whether there was something of it. Raises InternalError while the disk does not let go."""
        self._let_go(key)
        if key not in self._left:
            return False
        async with self._alone():
            await self._tidy()
        if key in self._left:
            raise _not_deleted()
        return True

    async def forget(self, revision: str) -> None:
        """Drop all that speaks with the voice of a recording. Raises InternalError while the disk does not let go."""
        for key in [key for key, (rendering, _) in self._kept.items() if rendering.revision == revision]:
            self._let_go(key)
        async with self._alone():
            await self._tidy()
        if any(revision == other for other, _ in self._left.values()):
            raise _not_deleted()

    def check_length(self, size_bytes: int) -> None:
        """Raises MessageTooLarge for one that is longer than all may be."""
        if size_bytes > self._limit_bytes:
            raise MessageTooLarge("The speech is longer than all that may be kept.", service="tts")

    async def reserve(self, part: HqPart, more_bytes: int) -> None:
        """Have room for more of one that is being made. Raises as HqPart.add."""
        self.check_length(part.size_bytes + more_bytes)
        async with self._alone():
            await self._make_room(more_bytes)
            part.size_bytes += more_bytes

    async def put(self, part: HqPart, rendering: Rendering, labels: bytes) -> None:
        """Keep what was made, unless the same is kept. Raises InternalError when the disk does not take it."""
        key = rendering.id
        async with self._alone():
            if key in self._left:
                raise _not_stored()
            if key in self._kept:
                return
            try:
                await threads.call(part.sound.put, self._folder / key, labels)
            except OSError:
                self._left[key] = (rendering.revision, part.size_bytes)  # whatever is there
                await self._tidy()
                raise _not_stored() from None
            self._parts.discard(part)
            self._kept[key] = (rendering, part.size_bytes)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Change the folder, to the end, while nobody else does."""
        with anyio.CancelScope(shield=True):
            async with self._disk:
                yield

    def _let_go(self, key: str) -> None:
        if key in self._kept:
            rendering, size_bytes = self._kept.pop(key)
            self._left[key] = (rendering.revision, size_bytes)

    async def _discard(self, part: HqPart) -> None:
        async with self._alone():
            try:
                await threads.call(part.sound.discard)
            except OSError:
                log.warning("a rendering that was not ended cannot be deleted, and is tried again")
                self._left[part.sound.name] = ("", part.size_bytes)
            self._parts.discard(part)

    async def _tidy(self) -> None:
        """Delete what was dropped, as far as the disk lets go of it. Only alone."""
        for name in list(self._left):
            try:
                await threads.call(self._delete, name)
            except OSError:
                log.warning("a rendering cannot be deleted, and is tried again")
            else:
                del self._left[name]

    async def _make_room(self, more_bytes: int) -> None:
        """Raises Overloaded when there is none, InternalError when the disk does not let go. Only alone."""
        if self._left:
            await self._tidy()
        while self._used_bytes() + more_bytes > self._limit_bytes:
            if not self._kept:
                raise Overloaded("There is no room for more speech now.", service="tts", retry_after_ms=10_000)
            await self._evict(next(iter(self._kept)))

    async def _evict(self, key: str) -> None:
        """Delete one that is kept. Raises InternalError; then it is kept, if it is whole still."""
        try:
            await threads.call(self._delete, key)
        except OSError:
            if await threads.call(self.sound(key).is_file):
                if key in self._kept:
                    self._kept.move_to_end(key)  # so that the next one is tried before it
            else:
                self._let_go(key)
            raise InternalError("No room could be made for the speech.", service="tts") from None
        self._kept.pop(key, None)
        self._left.pop(key, None)  # where it was dropped meanwhile

    def _used_bytes(self) -> int:
        kept_bytes = sum(size_bytes for _, size_bytes in self._kept.values())
        left_bytes = sum(size_bytes for _, size_bytes in self._left.values())
        return kept_bytes + left_bytes + sum(part.size_bytes for part in self._parts)

    def _delete(self, name: str) -> None:
        """Runs on a thread. Raises OSError; what is not there is deleted."""
        half = self._folder / f"{durable.PREFIX}{name}"
        if half.exists():  # it was taken away, and its files were not
            rmtree(half)
        if (self._folder / name).exists():
            durable.drop_folder(self._folder / name)

    def _read(self) -> tuple[list[tuple[Rendering, int]], dict[str, tuple[str, int]]]:
        """Runs on a thread. What is whole, the oldest first, and what is to be deleted."""
        whole, damaged = list[tuple[Rendering, int]](), dict[str, tuple[str, int]]()
        try:
            durable.sweep(self._folder)
            folders = sorted(self._folder.glob(NAME), key=lambda path: path.stat().st_mtime_ns)
        except OSError:
            log.warning("the folder of renderings cannot be read")
            return whole, damaged
        for folder in folders:
            try:
                whole.append(_stored(folder))
            except (OSError, ValidationError):  # what validation says holds what somebody wrote
                log.warning("a rendering is damaged, and is thrown away")
                damaged[folder.name] = ("", _size_bytes(folder))
        return whole, damaged


def _stored(folder: Path) -> tuple[Rendering, int]:
    """Raises OSError or ValidationError when it is not whole."""
    with (folder / LABELS).open("rb") as file:
        labels = file.read(LABELS_LIMIT_BYTES)
    rendering = Rendering.model_validate_json(labels)
    sound_bytes = (folder / SOUND).stat().st_size
    if rendering.id != folder.name or sound_bytes != HEAD_BYTES + rendering.total_samples * BYTES_PER_SAMPLE:
        raise OSError("The sound is not that of its labels.")
    return rendering, sound_bytes + len(labels)


def _size_bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*"))
    except OSError:
        return 0


def _not_stored() -> InternalError:
    return InternalError("The speech could not be stored.", service="tts")


def _not_deleted() -> InternalError:
    return InternalError("The speech could not be deleted.", service="tts")

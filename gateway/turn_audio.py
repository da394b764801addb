"""The audio of answers: a row for each, and the file that it names.

Laws: audio, offsets and tier change together, in one row; a crash at any moment leaves the old audio or the new one,
whole; a file to which no row refers is removed, at once or by `sweep`; what was rendered in high quality is never
replaced by less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final, Literal

import anyio
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import found, written
from gateway.kept_audio_files import KeptAudioFiles
from gateway.tables import AudioRow, TurnRow, table_of
from shared import threads

Tier = Literal["fast", "hq"]
ATTEMPTS: Final = 3
BATCH: Final = 500
_AUDIO = table_of(AudioRow)
_TURNS = table_of(TurnRow)


@dataclass(frozen=True, slots=True)
class KeptAudio:
    """The audio of one answer; each segment of it begins at its offset."""

    content: bytes
    media_type: str
    sample_rate: int
    duration_ms: int
    offsets_ms: Sequence[int]
    tier: Tier
    rendered_at: datetime


class TurnAudio:
    """The audio of answers, by the ids of their turns."""

    def __init__(self, engine: AsyncEngine, files: KeptAudioFiles) -> None:
        self._engine = engine
        self.files = files

    async def put(self, turn_id: str, audio: KeptAudio) -> bool:
        """Keep the audio of a turn in place of what is there; False when there is no such turn, or better audio of it.

        A cancel before the commit changes nothing; the file that it leaves is swept later.
        """
        name = await threads.call(self.files.write, audio.content)
        doomed = await written(self._engine, partial(_replace, turn_id, name, audio))
        await self.discard(doomed)
        return name not in doomed

    async def get(self, turn_id: str) -> KeptAudio | None:
        """The audio of a turn."""
        asked = select(_AUDIO).where(_AUDIO.c.turn_id == turn_id)
        for _ in range(ATTEMPTS):
            row = await found(self._engine, lambda connection: connection.execute(asked).one_or_none())
            if row is None:
                return None
            content = await threads.call(self.files.read, row.file_name)
            if content is not None:
                return _kept(row, content)
        return None  # replaced each time between the two looks, or a file was lost

    async def remove(self, turn_id: str) -> bool:
        """Remove the audio of a turn; False when there is none."""
        doomed = await written(self._engine, partial(_remove, turn_id))
        await self.discard(doomed)
        return bool(doomed)

    async def discard(self, names: Sequence[str]) -> None:
        """Remove files to which no row refers any more. A cancel does not stop it."""
        if names:
            with anyio.CancelScope(shield=True):
                await threads.call(self.files.remove, names)

    async def sweep(self) -> int:
        """Remove what a crash left behind; how many files that were."""
        names, swept = self.files.old(), 0
        while batch := await threads.call(lambda: list(islice(names, BATCH))):
            known = await found(self._engine, partial(_known, batch))
            strays = [name for name in batch if name not in known]
            await self.discard(strays)
            swept += len(strays)
        return swept


def _known(names: Sequence[str], connection: Connection) -> set[str]:
    return set(connection.scalars(select(_AUDIO.c.file_name).where(_AUDIO.c.file_name.in_(names))))


def _kept(row: Row[tuple[object, ...]], content: bytes) -> KeptAudio:
    return KeptAudio(
        content, row.media_type, row.sample_rate, row.duration_ms, tuple(row.offsets_ms), row.tier, row.rendered_at
    )


def _replace(turn_id: str, name: str, audio: KeptAudio, connection: Connection) -> list[str]:
    """Let a turn have this audio; the names of the files that nothing refers to afterwards."""
    locked = update(_TURNS).where(_TURNS.c.id == turn_id).values(position=_TURNS.c.position)
    if not connection.execute(locked).rowcount:
        return [name]
    old = connection.execute(select(_AUDIO.c.file_name, _AUDIO.c.tier).where(_AUDIO.c.turn_id == turn_id)).one_or_none()
    if old and (old.tier, audio.tier) == ("hq", "fast"):
        return [name]
    values = {
        "file_name": name,
        "tier": audio.tier,
        "media_type": audio.media_type,
        "sample_rate": audio.sample_rate,
        "duration_ms": audio.duration_ms,
        "offsets_ms": list(audio.offsets_ms),
        "rendered_at": audio.rendered_at,
    }
    if old is None:
        connection.execute(insert(_AUDIO).values(turn_id=turn_id, **values))
        return []
    connection.execute(update(_AUDIO).where(_AUDIO.c.turn_id == turn_id).values(values))
    return [old.file_name]


def _remove(turn_id: str, connection: Connection) -> list[str]:
    connection.execute(update(_TURNS).where(_TURNS.c.id == turn_id).values(position=_TURNS.c.position))
    doomed = connection.scalars(select(_AUDIO.c.file_name).where(_AUDIO.c.turn_id == turn_id)).all()
    connection.execute(delete(_AUDIO).where(_AUDIO.c.turn_id == turn_id))
    return list(doomed)

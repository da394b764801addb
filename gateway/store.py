"""What is kept: conversations and their turns, in SQLite, MariaDB or PostgreSQL.

A turn is committed before its client is told that it is done, in one transaction with all that belongs to it, once: a
turn id that is there already is left as it is, whichever gateway brings it. A turn that was corrected stays, and so
does what followed it; the correction names the turn whose place it takes. Turns of one conversation have positions
0, 1, 2 and so on, in the order of their commits; two never have the same.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway import search
from gateway.database import address_of, connected, found, written
from gateway.erasure import forget
from gateway.kept_audio_files import KeptAudioFiles
from gateway.kept_sessions import KeptSessions, begin
from gateway.kept_users import KeptUsers
from gateway.lent_voices import LentVoices
from gateway.schema import migrate
from gateway.tables import EditRow, SegmentRow, SessionRow, StoreRow, TurnRow, table_of
from gateway.told_turns import told_turns, turn_fields
from gateway.turn_audio import TurnAudio
from shared.settings import state_folder

_SESSIONS = table_of(SessionRow)
_TURNS = table_of(TurnRow)
_EDITS = table_of(EditRow)
_SEGMENTS = table_of(SegmentRow)
# Made once: making a statement costs as much as running it.
_COUNT_TURN = (
    update(_SESSIONS)
    .where(_SESSIONS.c.id == bindparam("its_id"), _SESSIONS.c.user_id == bindparam("its_user"))
    .values(turn_count=_SESSIONS.c.turn_count + 1, last_at=bindparam("now"))
)
_COUNTED = select(_SESSIONS.c.turn_count - 1).where(_SESSIONS.c.id == bindparam("counted_in")).scalar_subquery()
_INSERT_TURN = insert(_TURNS).values(position=_COUNTED)


@dataclass(frozen=True, slots=True)
class KeptSegment:
    """A segment of an answer: its words, and when they began, in milliseconds of the answer's audio."""

    text: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class KeptTurn:
    """A turn as it is kept."""

    turn_id: str
    persona: str
    user_text: str
    heard_text: str
    heard_ms: int
    finish_reason: str
    timings: dict[str, int]
    ended_at: datetime
    edits: str = ""
    spoken_ms: int = 0
    segments: Sequence[KeptSegment] = ()


class Store:
    """Conversations and turns, by their ids; beside them `sessions`, `audio`, `voices` and `users`."""

    def __init__(self, engine: AsyncEngine, files: KeptAudioFiles) -> None:
        self._engine = engine
        self.sessions = KeptSessions(engine)
        self.audio = TurnAudio(engine, files)
        self.voices = LentVoices(engine)
        self.users = KeptUsers(engine, self.audio, self.voices)

    async def ready(self) -> str:
        """`ready`, once the database answers."""
        await found(self._engine, lambda connection: connection.execute(select(1)))
        return "ready"

    async def add_turn(self, conversation_id: str, user_id: str, turn: KeptTurn) -> None:
        """Keep a turn, and its conversation with its first turn. A cancel before the commit keeps nothing.

        PermissionError when the conversation is another person's.
        """

        def add(connection: Connection) -> None:
            _join(connection, conversation_id, user_id, turn.ended_at)
            _insert_turn(connection, conversation_id, turn)
            search.add(connection, turn.turn_id, user_id, (turn.user_text, turn.heard_text))

        try:
            await written(self._engine, add)
        except IntegrityError:  # it is there; if anything else is wrong, that remains to be told
            there = select(_TURNS.c.id).where(_TURNS.c.id == turn.turn_id)
            if not await found(self._engine, lambda connection: connection.scalar(there)):
                raise

    async def conversations(self, limit: int, offset: int, user_id: str | None = None) -> list[dict[str, Any]]:
        """The newest conversations first, each with the number of its turns; those of one person, or all."""
        page = select(_SESSIONS).where(_SESSIONS.c.turn_count > 0)
        if user_id is not None:
            page = page.where(_SESSIONS.c.user_id == user_id)
        page = page.order_by(_SESSIONS.c.started_at.desc(), _SESSIONS.c.id).limit(limit).offset(offset)
        rows = await found(self._engine, lambda connection: connection.execute(page).all())
        return [{"id": row.id, "started_at": row.started_at.isoformat(), "turns": row.turn_count} for row in rows]

    async def turns(self, conversation_id: str) -> list[dict[str, Any]] | None:
        """The turns of a conversation in their order; None if there is no such conversation.

        `edits` and `edited_by` name the other turn of a correction; `is_current` is false where one took the place.
        `audio` is the tier of what is kept of the answer's sound, or None.
        """
        turns = await found(self._engine, lambda connection: told_turns(connection, conversation_id))
        if not turns:
            return None
        edits = {turn["turn_id"]: turn["edits"] for turn in turns}
        corrections = {edited: turn_id for turn_id, edited in edits.items() if edited}
        current = set(_current(edits))
        for turn in turns:
            turn |= {"edited_by": corrections.get(turn["turn_id"]), "is_current": turn["turn_id"] in current}
        return turns

    async def search(self, text: str, user_id: str, limit: int, offset: int) -> list[dict[str, Any]]:
        """The turns of one person that hold all of a text, the newest first; core/search_words.py says what holds it.

        With their `conversation_id`; without segments, and without what corrects what.
        """

        def look(connection: Connection) -> list[dict[str, Any]]:
            ids = search.hits(connection, text, user_id, limit, offset)
            rows = {row.id: row for row in connection.execute(select(_TURNS).where(_TURNS.c.id.in_(ids)))}
            return [{"conversation_id": rows[one].session_id} | turn_fields(rows[one]) for one in ids if one in rows]

        return await found(self._engine, look)

    async def delete_conversation(self, conversation_id: str, user_id: str | None = None) -> bool:
        """Forget a conversation, its audio too; False when there is none, or it is not this person's."""
        ours = _SESSIONS.c.id == conversation_id
        if user_id is not None:
            ours &= _SESSIONS.c.user_id == user_id
        return await self._forget(ours) > 0

    async def forget_before(self, moment: datetime) -> int:
        """Forget every conversation whose newest turn is older; how many they were. A cancel leaves some of them."""
        forgotten = 0
        while some := await self._forget(_SESSIONS.c.last_at < moment):
            forgotten += some
        return forgotten

    async def _forget(self, which: ColumnElement[bool]) -> int:
        """Some of the sessions that are meant, in one transaction."""
        count, files = await written(self._engine, lambda connection: forget(connection, which))
        await self.audio.discard(files)
        return count


def _current(edits: Mapping[str, str | None]) -> list[str]:
    """Of turns in their order, each with the one that it corrects, those whose place no correction took."""
    current: list[str] = []
    for turn_id, edited in edits.items():
        if edited in current:
            del current[current.index(edited) :]
        current.append(turn_id)
    return current


def _join(connection: Connection, session_id: str, user_id: str, now: datetime) -> None:
    """Count one more turn of a session, which is begun if it is not there; its row stays locked until the commit."""
    values = {"its_id": session_id, "its_user": user_id, "now": now}
    if not connection.execute(_COUNT_TURN, values).rowcount:
        begin(connection, session_id, user_id, now)
        connection.execute(_COUNT_TURN, values)


def _insert_turn(connection: Connection, session_id: str, turn: KeptTurn) -> None:
    row = {
        "id": turn.turn_id,
        "session_id": session_id,
        "persona": turn.persona,
        "user_text": turn.user_text,
        "spoken_ms": turn.spoken_ms,
        "heard_text": turn.heard_text,
        "heard_ms": turn.heard_ms,
        "finish_reason": turn.finish_reason,
        "timings": turn.timings,
        "ended_at": turn.ended_at,
    }
    connection.execute(_INSERT_TURN, row | {"counted_in": session_id})
    if turn.edits:
        connection.execute(insert(_EDITS), {"turn_id": turn.turn_id, "edited_turn_id": turn.edits})
    if turn.segments:
        rows = [
            {"turn_id": turn.turn_id, "position": position, "text": segment.text, "start_ms": segment.start_ms}
            for position, segment in enumerate(turn.segments)
        ]
        connection.execute(insert(_SEGMENTS), rows)


@asynccontextmanager
async def open_store(url: str, audio_dir: Path | None = None) -> AsyncIterator[Store]:
    """Open the database, bring its tables to this version, sweep files that a crash left, close it at the end.

    Audio lies in a folder of the database's own below `audio_dir`; without one, beside SQLite's file or in `var/`.
    """
    address = address_of(url)
    if audio_dir is None:
        is_file = address.get_backend_name() == "sqlite" and address.database
        audio_dir = (Path(str(address.database)).parent if is_file else state_folder()) / "audio"
    async with connected(address) as engine:
        await migrate(engine)
        name = await found(engine, lambda connection: connection.scalar(select(table_of(StoreRow).c.id)))
        store = Store(engine, KeptAudioFiles(audio_dir / str(name)))
        await store.audio.sweep()
        yield store

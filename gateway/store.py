"""What is kept: conversations and their turns, in any database that SQLAlchemy speaks to.

A turn is committed before its client is told that it is done, in one transaction, once: a turn id that is there already
is left as it is. A turn that was corrected stays, and so does what followed it; the correction names the turn whose
place it takes.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, String, Text, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class ConversationRow(Base):
    """One session of one person."""

    __tablename__ = "conversations"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(128), index=True)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TurnRow(Base):
    """One turn: what was understood, and what was heard of the answer."""

    __tablename__ = "turns"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id"), index=True)
    position: Mapped[int]
    persona: Mapped[str] = mapped_column(String(64))
    user_text: Mapped[str] = mapped_column(Text)
    heard_text: Mapped[str] = mapped_column(Text)
    heard_ms: Mapped[int]
    finish_reason: Mapped[str] = mapped_column(String(16))
    timings: Mapped[dict[str, int]] = mapped_column(JSON)
    ended_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class EditRow(Base):
    """A turn that corrects an earlier one; in a table of its own, so that databases of before need no change."""

    __tablename__ = "edits"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    edited_turn_id: Mapped[str] = mapped_column(String(64))


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


class Store:
    """Conversations and turns, by their ids."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._session = async_sessionmaker(engine, expire_on_commit=False)

    async def ready(self) -> str:
        """`ready`, once the database answers."""
        async with self._session() as session:
            await session.execute(select(1))
        return "ready"

    async def add_turn(self, conversation_id: str, user_id: str, turn: KeptTurn) -> None:
        """Keep a turn, and its conversation with its first turn. A cancel before the commit keeps nothing."""
        async with self._session.begin() as session:
            if await session.get(TurnRow, turn.turn_id):
                return
            if not await session.get(ConversationRow, conversation_id):
                session.add(ConversationRow(id=conversation_id, user_id=user_id, started_at=turn.ended_at))
            count = select(func.count()).where(TurnRow.conversation_id == conversation_id)
            position = (await session.execute(count)).scalar_one()
            session.add(_row(conversation_id, position, turn))
            if turn.edits:
                await session.flush()  # the turn first: an edit refers to it
                session.add(EditRow(turn_id=turn.turn_id, edited_turn_id=turn.edits))

    async def conversations(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """The newest conversations first, each with the number of its turns."""
        counted = (
            select(ConversationRow, func.count(TurnRow.id))
            .outerjoin(TurnRow)
            .group_by(ConversationRow.id)
            .order_by(ConversationRow.started_at.desc(), ConversationRow.id)
            .limit(limit)
            .offset(offset)
        )
        async with self._session() as session:
            rows = (await session.execute(counted)).all()
        return [{"id": row.id, "started_at": row.started_at.isoformat(), "turns": turns} for row, turns in rows]

    async def turns(self, conversation_id: str) -> list[dict[str, Any]] | None:
        """The turns of a conversation in their order; None if there is no such conversation.

        `edits` and `edited_by` name the other turn of a correction; `is_current` is false where one took the place.
        """
        async with self._session() as session:
            if not await session.get(ConversationRow, conversation_id):
                return None
            ordered = (
                select(TurnRow, EditRow.edited_turn_id)
                .outerjoin(EditRow, EditRow.turn_id == TurnRow.id)
                .where(TurnRow.conversation_id == conversation_id)
                .order_by(TurnRow.position)
            )
            rows = (await session.execute(ordered)).all()
        edits = {row.id: edited for row, edited in rows}
        corrections = {edited: turn_id for turn_id, edited in edits.items() if edited}
        current = set(_current(edits))
        return [
            _fields(row) | {"edits": edited, "edited_by": corrections.get(row.id), "is_current": row.id in current}
            for row, edited in rows
        ]


def _current(edits: Mapping[str, str | None]) -> list[str]:
    """Of turns in their order, each with the one that it corrects, those whose place no correction took."""
    current: list[str] = []
    for turn_id, edited in edits.items():
        if edited in current:
            del current[current.index(edited) :]
        current.append(turn_id)
    return current


def _row(conversation_id: str, position: int, turn: KeptTurn) -> TurnRow:
    return TurnRow(
        id=turn.turn_id,
        conversation_id=conversation_id,
        position=position,
        persona=turn.persona,
        user_text=turn.user_text,
        heard_text=turn.heard_text,
        heard_ms=turn.heard_ms,
        finish_reason=turn.finish_reason,
        timings=turn.timings,
        ended_at=turn.ended_at,
    )


def _fields(row: TurnRow) -> dict[str, Any]:
    return {
        "turn_id": row.id,
        "persona": row.persona,
        "user_text": row.user_text,
        "heard_text": row.heard_text,
        "heard_ms": row.heard_ms,
        "finish_reason": row.finish_reason,
        "timings": row.timings,
        "ended_at": row.ended_at.isoformat(),
    }


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Open the database, make its tables if they are missing, close it at the end."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database:
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(address)
    if address.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _write_ahead)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield Store(engine)
    finally:
        await engine.dispose()


def _write_ahead(connection: Any, _: object) -> None:
    """WAL with a sync at each checkpoint: a commit survives a crash of the process at half a millisecond each."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()

"""The tables of the store, as the newest migration leaves them.

Beside them stands `search_words`, which each database makes in its own way: see search.py. Ids are compared exactly, to
the last letter, wherever the database runs. Times are kept in UTC and come back aware of it.
"""

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

EXACT_COLLATION = "utf8mb4_nopad_bin"  # MariaDB's own would take "Ann", "ann" and "ann " for one person


class UtcTime(TypeDecorator[datetime]):
    """A moment, to the microsecond; one without a time zone is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MariaDB keeps whole seconds unless told otherwise."""
        kind = mysql.DATETIME(fsp=6) if dialect.name == "mariadb" else DateTime(timezone=True)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


class CleanString(TypeDecorator[str]):
    """Text up to a length; what not every database takes, NUL and halves of characters, becomes U+FFFD."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and _UNCLEAN.sub("\ufffd", value)


class CleanText(CleanString):
    """The same of any length."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MariaDB's plain text ends at 64 KB."""
        return mysql.MEDIUMTEXT() if dialect.name == "mariadb" else super().load_dialect_impl(dialect)


_UNCLEAN = re.compile("[\0\ud800-\udfff]")
RowNumber = BigInteger().with_variant(Integer(), "sqlite")  # which counts rows by itself only under this name
Id = CleanString(64)
UserId = CleanString(128)
OPTIONS = {"mariadb_charset": "utf8mb4", "mariadb_collate": EXACT_COLLATION}


class Base(DeclarativeBase):
    """The tables."""

    __table_args__: Any = OPTIONS


def table_of(row: type[Base]) -> Table:
    """A table by its row, for statements without objects: they cost a commit a third less."""
    assert isinstance(row.__table__, Table)
    return row.__table__


def _with(*indexes: Index) -> tuple[Any, ...]:
    return (*indexes, OPTIONS)


class StoreRow(Base):
    """The name of this database, given once; files beside it lie in a folder of that name."""

    __tablename__ = "stores"
    id: Mapped[str] = mapped_column(Id, primary_key=True)


class UserRow(Base):
    """Somebody who had a session or keeps a voice."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(UserId, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class SessionRow(Base):
    """One session of one person; with its turns it is a conversation. `turn_count` gives each turn its position."""

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(UserId)
    started_at: Mapped[datetime] = mapped_column(UtcTime)
    last_at: Mapped[datetime | None] = mapped_column(UtcTime)  # of its start or its newest turn
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)
    turn_count: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = _with(
        Index("ix_sessions_user_id_started_at", "user_id", "started_at"),
        Index("ix_sessions_started_at", "started_at"),
        Index("ix_sessions_last_at", "last_at"),
    )


class TurnRow(Base):
    """One turn: what was understood, and what was heard of the answer."""

    __tablename__ = "turns"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id"))
    position: Mapped[int]
    persona: Mapped[str] = mapped_column(CleanString(64))
    user_text: Mapped[str] = mapped_column(CleanText)
    spoken_ms: Mapped[int] = mapped_column(server_default="0")
    heard_text: Mapped[str] = mapped_column(CleanText)
    heard_ms: Mapped[int]
    finish_reason: Mapped[str] = mapped_column(CleanString(16))
    timings: Mapped[dict[str, int]] = mapped_column(JSON)
    ended_at: Mapped[datetime] = mapped_column(UtcTime)
    __table_args__ = _with(Index("ix_turns_session_id_position", "session_id", "position", unique=True))


class EditRow(Base):
    """A turn that corrects an earlier one."""

    __tablename__ = "edits"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    edited_turn_id: Mapped[str] = mapped_column(Id)


class SegmentRow(Base):
    """One segment of an answer as it was played: its words, and when they began."""

    __tablename__ = "segments"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(CleanText)
    start_ms: Mapped[int]


class AudioRow(Base):
    """The audio of one answer: the file, what rendered it, and where in it each segment begins."""

    __tablename__ = "audio"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), primary_key=True)
    file_name: Mapped[str] = mapped_column(CleanString(96), unique=True)
    tier: Mapped[str] = mapped_column(CleanString(8))
    media_type: Mapped[str] = mapped_column(CleanString(64))
    sample_rate: Mapped[int]
    duration_ms: Mapped[int]
    offsets_ms: Mapped[list[int]] = mapped_column(JSON)
    rendered_at: Mapped[datetime] = mapped_column(UtcTime)


class VoiceRow(Base):
    """A voice that somebody lent: whose, and with what consent."""

    __tablename__ = "voices"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(CleanString(128))
    language: Mapped[str] = mapped_column(CleanString(35))  # the longest tag that RFC 5646 asks to be kept
    consent: Mapped[str] = mapped_column(CleanText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class SearchRow(Base):
    """The number under which the words of a turn stand in `search_words`; greater ones came later."""

    __tablename__ = "search_entries"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), unique=True)

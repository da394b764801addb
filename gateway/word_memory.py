"""What people told, and the words by which it is found: tables in any database that SQLAlchemy speaks to.

Each memory's text stands here alone; what other searches find is an id, and is read here, for one person. So nothing
comes back that is deleted here, nor to anybody else. The words are an index by person and word, made by
`core/memory_words.py` in every script. A person has at most `MOST_MEMORIES`; the oldest go.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Float, ForeignKey, Index, Row, Select, and_, delete, func, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from gateway.core.memorable import subject_of
from gateway.core.memory_words import words_of
from gateway.core.recall import Memory
from gateway.database import address_of, connected, look, transaction
from gateway.tables import OPTIONS, CleanString, CleanText, Id, UserId

MOST_MEMORIES = 2_000
MOST_ROWS = 2_048  # words that one search reads, those of the newest memories first
MOST_WORD_CHARS = 64
STARTS = 3  # tries to make the tables, where another gateway may be making them


class MemoryBase(DeclarativeBase):
    """The tables."""


class MemoryRow(MemoryBase):
    """Something that a person said."""

    __tablename__ = "memories"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_id: Mapped[str] = mapped_column(UserId)
    conversation_id: Mapped[str] = mapped_column(Id)
    text: Mapped[str] = mapped_column(CleanText)
    told_at: Mapped[float] = mapped_column(Float(53))  # seconds since 1970
    __table_args__ = (Index("memories_of_user", "user_id", "told_at"), OPTIONS)


class MemoryWordRow(MemoryBase):
    """A word that a memory is found by. Where a database clusters rows by their key, a person's words lie together."""

    __tablename__ = "memory_words"
    user_id: Mapped[str] = mapped_column(UserId, primary_key=True)
    word: Mapped[str] = mapped_column(CleanString(MOST_WORD_CHARS), primary_key=True)
    memory_id: Mapped[str] = mapped_column(ForeignKey("memories.id"), primary_key=True, index=True)
    __table_args__ = ({"sqlite_with_rowid": False, **OPTIONS},)


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory that is to be kept."""

    memory_id: str
    user_id: str
    conversation_id: str
    text: str
    told_at_s: float


class WordMemory:
    """Memories by person and word."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, memories: Sequence[NewMemory]) -> list[str]:
        """Keep these, of any people; the ids of older ones that had to go for them. One transaction."""
        if not memories:
            return []
        rows = [
            {"id": one.memory_id, "user_id": one.user_id, "conversation_id": one.conversation_id}
            | {"text": one.text, "told_at": one.told_at_s}
            for one in memories
        ]
        words = [
            {"user_id": one.user_id, "word": word, "memory_id": one.memory_id}
            for one in memories
            for word in _short(words_of(one.text))
        ]
        async with transaction(self._engine) as connection:
            await connection.execute(insert(MemoryRow), rows)
            if words:
                await connection.execute(insert(MemoryWordRow), words)
            gone: list[str] = []
            for user_id in {one.user_id for one in memories}:
                gone += await _forget_oldest(connection, user_id)
        return gone

    async def find(self, user_id: str, asked: Collection[str]) -> list[Memory]:
        """A person's memories that have one of these words. Each has those of its words that were asked for."""
        told, words = MemoryRow, MemoryWordRow
        query = (
            select(told.id, told.text, told.told_at, told.conversation_id, words.word)
            .join(told, told.id == words.memory_id)
            .where(words.user_id == user_id, words.word.in_(_short(asked)))
            .order_by(told.told_at.desc(), told.id)
            .limit(MOST_ROWS)
        )
        return await self._read(query)

    async def get(self, user_id: str, memory_ids: Collection[str], asked: Collection[str]) -> list[Memory]:
        """These of a person's memories, as `find` gives them; what is not theirs is none."""
        told, words = MemoryRow, MemoryWordRow
        has_word = and_(words.user_id == user_id, words.memory_id == told.id, words.word.in_(_short(asked)))
        query = (
            select(told.id, told.text, told.told_at, told.conversation_id, words.word)
            .outerjoin(words, has_word)
            .where(told.user_id == user_id, told.id.in_(list(memory_ids)))
        )
        return await self._read(query)

    async def all_of(self, user_id: str) -> list[dict[str, object]]:
        """What is remembered of a person, the newest first, for them to read."""
        query = select(MemoryRow).where(MemoryRow.user_id == user_id).order_by(MemoryRow.told_at.desc(), MemoryRow.id)
        async with look(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        names = ("id", "conversation_id", "text", "told_at")
        return [{name: getattr(row, name) for name in names} for row in rows]

    async def forget(self, user_id: str, conversation_id: str | None = None) -> int:
        """Delete all that a person told, or that they told in one conversation; how many memories that were."""
        mine = MemoryRow.user_id == user_id
        if conversation_id is not None:
            mine = and_(mine, MemoryRow.conversation_id == conversation_id)
        async with transaction(self._engine) as connection:
            ids = list((await connection.execute(select(MemoryRow.id).where(mine))).scalars())
            await _delete(connection, ids)
        return len(ids)

    async def remove(self, user_id: str, memory_ids: Collection[str]) -> list[str]:
        """Delete these of a person's memories; those that there were."""
        if not memory_ids:
            return []
        mine = and_(MemoryRow.user_id == user_id, MemoryRow.id.in_(list(memory_ids)))
        async with transaction(self._engine) as connection:
            ids = list((await connection.execute(select(MemoryRow.id).where(mine))).scalars())
            await _delete(connection, ids)
        return ids

    async def _read(self, query: Select[str, str, float, str, str]) -> list[Memory]:
        async with look(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        return _memories(rows)


def _memories(rows: Iterable[Row[str, str, float, str, str]]) -> list[Memory]:
    found: dict[tuple[str, str, float, str], set[str]] = {}
    for memory_id, text, told_at_s, conversation_id, word in rows:
        words = found.setdefault((memory_id, text, told_at_s, conversation_id), set())
        words |= {word} if word else set()  # an outer join has no word where none is found
    return [
        Memory(memory_id, text, told_at_s, subject_of(text), frozenset(words), conversation_id)
        for (memory_id, text, told_at_s, conversation_id), words in found.items()
    ]


async def _forget_oldest(connection: AsyncConnection, user_id: str) -> list[str]:
    mine = MemoryRow.user_id == user_id
    count = (await connection.execute(select(func.count()).select_from(MemoryRow).where(mine))).scalar_one()
    if count <= MOST_MEMORIES:
        return []
    oldest = select(MemoryRow.id).where(mine).order_by(MemoryRow.told_at, MemoryRow.id).limit(count - MOST_MEMORIES)
    ids = list((await connection.execute(oldest)).scalars())
    await _delete(connection, ids)
    return ids


async def _delete(connection: AsyncConnection, memory_ids: Sequence[str]) -> None:
    for at in range(0, len(memory_ids), 500):  # databases bound how many values one statement may hold
        some = list(memory_ids[at : at + 500])
        await connection.execute(delete(MemoryWordRow).where(MemoryWordRow.memory_id.in_(some)))
        await connection.execute(delete(MemoryRow).where(MemoryRow.id.in_(some)))


def _short(words: Collection[str]) -> list[str]:
    return list(dict.fromkeys(word[:MOST_WORD_CHARS] for word in words))


@asynccontextmanager
async def open_word_memory(url: str) -> AsyncIterator[WordMemory]:
    """Open the database, make the tables if they are missing, close it at the end."""
    async with connected(address_of(url)) as engine:
        await _make_tables(engine)
        yield WordMemory(engine)


async def _make_tables(engine: AsyncEngine) -> None:
    for tries_left in reversed(range(STARTS)):
        try:
            async with engine.begin() as connection:
                await connection.run_sync(MemoryBase.metadata.create_all)
        except DBAPIError:
            if not tries_left:
                raise
        else:
            return

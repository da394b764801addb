"""A memory on stand-ins, for tests of its shell: vectors and words in dictionaries, and gates that hold searches up."""

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from gateway.core.memorable import subject_of
from gateway.core.memory_words import words_of
from gateway.core.recall import Memory
from gateway.embedding_client import EmbeddingClient, Vectors
from gateway.meaning import Meaning
from gateway.memory import PastTalk
from gateway.memory_store import MemoryStore, MemoryUnavailable, StoredVector
from gateway.word_memory import NewMemory, WordMemory


@dataclass
class FakeStore(MemoryStore):
    """Vectors in a dictionary. `failure` is raised by whatever is asked."""

    failure: Exception | None = None
    openings: list[Exception] = field(default_factory=list)
    rows: dict[str, StoredVector] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    flushed: int = 0
    opens: int = 0
    ready: bool = False

    @property
    def is_open(self) -> bool:
        return self.ready

    async def open(self) -> None:
        self.opens += 1
        if self.openings:
            raise self.openings.pop(0)
        self.ready = True

    async def close(self) -> None:
        self.ready = False

    async def add(self, model: str, vectors: Sequence[StoredVector]) -> None:
        self._fail()
        self.rows |= {one.memory_id: one for one in vectors}

    async def near(self, model: str, user_id: str, vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
        self._fail()
        mine = [one for one in self.rows.values() if one.user_id == user_id]
        return [(one.memory_id, 0.9) for one in mine[:limit]]

    async def forget(self, user_id: str, conversation_id: str | None = None) -> None:
        self._fail()
        self.rows = {key: one for key, one in self.rows.items() if one.user_id != user_id}

    async def remove(self, user_id: str, memory_ids: Collection[str]) -> None:
        self.removed += memory_ids

    async def flush(self) -> None:
        if self.failure:
            raise self.failure
        self.flushed += 1

    def _fail(self) -> None:
        if not self.ready:
            raise MemoryUnavailable("not open")
        if self.failure:
            raise self.failure


class FakeEmbeddings(EmbeddingClient):
    """A vector of nothing for each text; waits for `gate` where there is one."""

    def __init__(self, model: str = "knows-all") -> None:
        super().__init__("http://127.0.0.1:9")
        self.model = model
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.gate: anyio.Event | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        return Vectors(self.model, [array("f", [1.0]) for _ in texts])


class FakeWords(WordMemory):
    """Memories in a dictionary; `gate` is waited for where there is one, `failure` raised by whatever is asked."""

    def __init__(self) -> None:
        self.kept: dict[str, NewMemory] = {}
        self.gate: anyio.Event | None = None
        self.failure: Exception | None = None
        self.most = 1_000
        self.searched = anyio.Event()

    async def find(self, user_id: str, asked: Collection[str]) -> list[Memory]:
        await self._pass()
        self.searched.set()
        return [one for one in self._all(user_id, asked) if one.words]

    async def get(self, user_id: str, memory_ids: Collection[str], asked: Collection[str]) -> list[Memory]:
        return [one for one in self._all(user_id, asked) if one.memory_id in memory_ids]

    async def add(self, memories: Sequence[NewMemory]) -> list[str]:
        await self._pass()
        self.kept |= {one.memory_id: one for one in memories}
        gone = list(self.kept)[: -self.most]
        return [self.kept.pop(memory_id).memory_id for memory_id in gone]

    async def remove(self, user_id: str, memory_ids: Collection[str]) -> list[str]:
        return [memory_id for memory_id in memory_ids if self.kept.pop(memory_id, None)]

    async def forget(self, user_id: str, conversation_id: str | None = None) -> int:
        gone = [
            one.memory_id
            for one in self.kept.values()
            if one.user_id == user_id and conversation_id in (None, one.conversation_id)
        ]
        return len(await self.remove(user_id, gone))

    def texts(self, user_id: str) -> list[str]:
        """What is kept of a person."""
        return [one.text for one in self.kept.values() if one.user_id == user_id]

    def _all(self, user_id: str, asked: Collection[str]) -> list[Memory]:
        mine = [one for one in self.kept.values() if one.user_id == user_id]
        return [
            Memory(
                one.memory_id,
                one.text,
                order,
                subject_of(one.text),
                frozenset(words_of(one.text)) & set(asked),
                one.conversation_id,
            )
            for order, one in enumerate(mine)
        ]

    async def _pass(self) -> None:
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure


@dataclass
class Stage:
    """A memory on stand-ins."""

    memory: PastTalk
    words: FakeWords
    store: FakeStore
    embeddings: FakeEmbeddings
    counts: Counter[str]

    async def texts(self, user_id: str, question: str, budget_s: float = 30.0) -> list[str]:
        recalled = await self.memory.recall(user_id, question, budget_s)
        return [one.text for one in recalled.memories]


@asynccontextmanager
async def stage(model: str = "knows-all", *openings: Exception) -> AsyncIterator[Stage]:
    """An open memory, with embeddings of a model of this name; these openings of the store fail."""
    words, store, embeddings = FakeWords(), FakeStore(openings=list(openings)), FakeEmbeddings(model)
    counts = Counter[str]()

    def count(outcome: str) -> None:
        counts[outcome] += 1

    memory = PastTalk(words, Meaning(store, embeddings), count)
    async with embeddings.opened(), memory.opened():
        await anyio.wait_all_tasks_blocked()
        embeddings.asked.clear()
        yield Stage(memory, words, store, embeddings, counts)


async def told(on: Stage, text: str, user_id: str = "ann", turn_id: str = "trn_1", **more: Any) -> None:
    """Tell something, and wait until it is kept."""
    on.memory.remember(user_id, "con_1", turn_id, text, **more)
    await on.memory.settled()

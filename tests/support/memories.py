"""A gateway's memory on real stores in a folder, and the labelled set that is asked of it."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio.lowlevel import checkpoint

from gateway.embedding_client import EmbeddingClient
from gateway.meaning import Meaning
from gateway.memory import PastTalk
from gateway.memory_store import MemoryStore
from gateway.recall_run import Recalled
from gateway.word_memory import open_word_memory
from shared.clock import now_s

CASES = Path(__file__).parents[1] / "cases" / "memory.json"
UNHURRIED_S = 30.0  # where only what comes back is asked, not when


@asynccontextmanager
async def past_talk(folder: Path, llm_url: str | None, outcomes: Counter[str] | None = None) -> AsyncIterator[PastTalk]:
    """A memory in a folder: words in SQLite, and vectors in Milvus Lite where there is somebody who makes them."""
    counted = Counter[str]() if outcomes is None else outcomes

    def count(outcome: str) -> None:
        counted[outcome] += 1

    async with open_word_memory(f"sqlite+aiosqlite:///{folder / 'memory.db'}") as words:
        if llm_url is None:
            async with PastTalk(words, None, count).opened() as memory:
                yield memory
            return
        client = EmbeddingClient(llm_url)
        meaning = Meaning(MemoryStore(str(folder / "vectors.db")), client)
        async with client.opened(), PastTalk(words, meaning, count).opened() as memory:
            while not meaning.is_asked(""):  # it is opened beside all else; the test's own timeout is the limit
                await checkpoint()
            yield memory


@dataclass
class Score:
    """What came back of what was needed. `turns` were told, `kept` of them remembered."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    kept_empty: int = 0  # questions that needed nothing and got nothing
    need_nothing: int = 0

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    def add(self, needs: set[str], may: set[str], came: set[str]) -> None:
        """One question: the turns it needs, those that count neither way, those that came back."""
        self.right += len(needs & came)
        self.wrong += len(came - needs - may)
        self.missed += len(needs - came)
        self.need_nothing += not needs
        self.kept_empty += not needs and not came - may

    def __add__(self, other: "Score") -> "Score":
        return Score(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def people(half: str) -> list[dict[str, Any]]:
    """The people of one half of the labelled set: `tuning` or `reporting`."""
    return [one for one in json.loads(CASES.read_text(encoding="utf-8"))["people"] if one["half"] == half]


async def tell(memory: PastTalk, user_id: str, person: dict[str, Any]) -> None:
    """Everything that a person told, one turn after the other, in one conversation."""
    for told in person["told"]:
        memory.remember(user_id, f"con_{user_id}", _turn_id(user_id, told["id"]), told["text"])
    await memory.settled()


async def score(memory: PastTalk, user_id: str, person: dict[str, Any], took_s: list[float] | None = None) -> Score:
    """Ask all that a person asks later; `took_s` is given how long each recall took."""
    scored = Score()
    for asked in person["asked"]:
        began_s = now_s()
        recalled = await memory.recall(user_id, asked["text"], UNHURRIED_S)
        if took_s is not None:
            took_s.append(now_s() - began_s)
        scored.add(set(asked["needs"]), set(asked.get("may", ())), set(turns_in(recalled)))
    return scored


def turns_in(recalled: Recalled) -> Sequence[str]:
    """The labels of the turns from which memories came back."""
    return [one.memory_id.rpartition(":")[0].rpartition("-")[2] for one in recalled.memories]


def _turn_id(user_id: str, label: str) -> str:
    return f"{user_id}-{label}"

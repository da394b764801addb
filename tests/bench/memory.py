"""What memory brings back, and what it costs.

Three parts. The labelled set (tests/cases/memory.json): facts are told in one conversation, questions come in the
next; precision and recall of what comes back, over both stores and the llm_service's embeddings as a process, and over
the words alone. Then 100,000 memories of 1,000 people on the embedded default: how long keeping takes, how long each
search takes, and whether anybody gets what somebody else told. Then how long an answer waits for a recall that is
quick, for one made slow, and for a slow one that was begun at the pause before the endpoint.

Run: python -m tests.bench.memory [--people 1000] [--memories 100] [--searches 1000].
The last line is JSON.
"""

import argparse
import json
import random
import resource
import shutil
import tempfile
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.core.memory_words import asked_words
from gateway.core.recall import Memory
from gateway.meaning import NEAREST
from gateway.memory import PastTalk
from gateway.memory_store import MemoryStore, StoredVector
from gateway.recall_run import BUDGET_S
from gateway.word_memory import MemoryBase, NewMemory, WordMemory, open_word_memory
from shared import threads
from shared.clock import now_s
from tests.support.memories import Score, past_talk, people, score, tell
from tests.support.own_service import ready

DIMENSIONS = 384
MODEL = "random"
BATCH = 100
SLOW_S = 1.0
EARLY_S = 0.2  # about what a pause before the endpoint takes
THINGS = (
    "dog",
    "cat",
    "garden",
    "piano",
    "bicycle",
    "boat",
    "sister",
    "brother",
    "kitchen",
    "violin",
    "camera",
    "tent",
)
PLACES = ("Leeds", "Oslo", "Busan", "Kyoto", "Lima", "Turin", "Porto", "Graz", "Cork", "Lyon")


def milliseconds(times_s: Sequence[float]) -> dict[str, float]:
    """p50, p95 and the greatest."""
    ordered = sorted(times_s)
    at = {"p50": len(ordered) // 2, "p95": len(ordered) * 95 // 100, "max": len(ordered) - 1}
    return {name: round(1000 * ordered[index], 2) for name, index in at.items()}


async def labelled(half: str, llm_url: str | None) -> dict[str, dict[str, float | int]]:
    """Precision and recall by language, and of all; and how long the recalls took."""
    by_language: dict[str, Score] = {}
    took_s: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with past_talk(Path(folder), llm_url) as memory:
            told = [(f"user{number}", person) for number, person in enumerate(people(half))]
            for user_id, person in told:
                await tell(memory, user_id, person)
            for user_id, person in told:
                before = by_language.get(person["language"], Score())
                by_language[person["language"]] = before + await score(memory, user_id, person, took_s)
    by_language["all"] = sum(by_language.values(), Score())
    return {
        language: {
            "precision": round(one.precision, 3),
            "recall": round(one.recall, 3),
            "needed": one.right + one.missed,
            "need_nothing": one.need_nothing,
            "kept_empty": one.kept_empty,
        }
        for language, one in by_language.items()
    } | {"recall_ms": dict(milliseconds(took_s))}


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def vector(chance: random.Random) -> "array[float]":
    """A random direction."""
    return array("f", [chance.gauss(0, 1) for _ in range(DIMENSIONS)])


def sentence(person: int, number: int) -> str:
    """What a person told, which nobody else did."""
    thing, place = THINGS[number % len(THINGS)], PLACES[(person + number) % len(PLACES)]
    return f"My {thing} number {number} of person{person} is in {place}."


async def fill(words: WordMemory, store: MemoryStore, persons: int, each: int, chance: random.Random) -> None:
    """Everybody's memories, a conversation at a time."""
    for person in range(persons):
        user_id = f"user{person}"
        for first in range(0, each, BATCH):
            numbers = range(first, min(each, first + BATCH))
            new = [
                NewMemory(f"trn_{person}_{number}:0", user_id, f"con_{person}", sentence(person, number), float(number))
                for number in numbers
            ]
            await words.add(new)
            await store.add(
                MODEL, [StoredVector(one.memory_id, user_id, one.conversation_id, vector(chance)) for one in new]
            )


@dataclass
class Searched:
    """What many searches took and gave. `foreign` counts what belongs to somebody else."""

    meaning_s: list[float] = field(default_factory=list)
    words_s: list[float] = field(default_factory=list)
    found: int = 0
    foreign: int = 0

    async def search(self, words: WordMemory, store: MemoryStore, person: int, chance: random.Random) -> None:
        """Both searches for somebody, one after the other; in a recall they run side by side."""
        user_id, asked = f"user{person}", asked_words(f"Where is my {chance.choice(THINGS)}?")
        wanted, began_s = vector(chance), now_s()
        near = dict(await store.near(MODEL, user_id, wanted, NEAREST))
        memories = await words.get(user_id, near, asked)
        self.meaning_s.append(now_s() - began_s)
        began_s = now_s()
        memories += await words.find(user_id, asked)
        self.words_s.append(now_s() - began_s)
        self.found += len(memories)
        self.foreign += sum(f"person{person} " not in one.text for one in memories)
        self.foreign += sum(not memory_id.startswith(f"trn_{person}_") for memory_id in near)


async def crowded(persons: int, each: int, searches: int) -> dict[str, object]:
    """Insert, search, and look whether anything of somebody else came back."""
    chance, folder, searched = random.Random(7), Path(tempfile.mkdtemp()), Searched()
    store = MemoryStore(str(folder / "vectors.db"))
    async with open_word_memory(f"sqlite+aiosqlite:///{folder / 'memory.db'}") as words:
        await store.open()
        began_s = now_s()
        await fill(words, store, persons, each, chance)
        await store.flush()
        figures: dict[str, object] = {"memories": persons * each, "people": persons}
        figures["insert_s"] = round(now_s() - began_s, 1)
        for _ in range(searches):
            await searched.search(words, store, chance.randrange(persons), chance)
        began_s = now_s()
        figures["forgotten"] = await words.forget("user1")
        await store.forget("user1")
        figures["forget_ms"] = round(1000 * (now_s() - began_s), 1)
        left = await store.near(MODEL, "user1", vector(chance), NEAREST)
        figures["left_of_forgotten"] = len(await words.all_of("user1")) + len(left)
    await store.close()
    figures["disk_mb"] = round(await threads.call(_bytes_in, folder) / 1e6)
    shutil.rmtree(folder)
    figures |= {"meaning_ms": milliseconds(searched.meaning_s), "words_ms": milliseconds(searched.words_s)}
    figures |= {"found": searched.found, "foreign": searched.foreign}
    return figures | {"rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


class SlowWords(WordMemory):
    """Searches that take much longer than anybody waits."""

    async def find(self, user_id: str, asked: Collection[str]) -> list[Memory]:
        await anyio.sleep(SLOW_S)
        return await super().find(user_id, asked)


async def waiting(times: int) -> dict[str, object]:
    """How long an answer's question waits for its recall: a quick one, a slow one, and one that was begun early."""
    waits: dict[str, list[float]] = {"quick": [], "slow": [], "slow_begun_early": []}
    outcomes: dict[str, Counter[str]] = {}
    for name, waited_s in waits.items():
        counted = outcomes.setdefault(name, Counter())
        with tempfile.TemporaryDirectory() as folder:
            engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/memory.db")
            async with engine.begin() as connection:
                await connection.run_sync(MemoryBase.metadata.create_all)
            words = (WordMemory if name == "quick" else SlowWords)(engine)
            async with PastTalk(words, None, partial(_add_one, counted)).opened() as memory:
                for _ in range(times):
                    recall = memory.begin("user", "What is my dog's name?")
                    if name == "slow_begun_early":
                        await anyio.sleep(EARLY_S)
                    began_s = now_s()
                    await recall.result()
                    waited_s.append(now_s() - began_s)
            await engine.dispose()
    told = {name: milliseconds(times_s) | dict(outcomes[name]) for name, times_s in waits.items()}
    return {"budget_ms": 1000 * BUDGET_S, **told}


def _add_one(counted: Counter[str], outcome: str) -> None:
    counted[outcome] += 1


async def measured(arguments: argparse.Namespace) -> dict[str, object]:
    """All three parts, printed as they come."""
    results: dict[str, object] = {"waiting": await waiting(arguments.waits)}
    print("an answer waits, ms:", json.dumps(results["waiting"]))
    with ready("llm_service", "LLM", LLM_ENGINE="fake", LLM_EMBEDDING_WARM="true", OMP_NUM_THREADS="1") as base:
        results["labelled"] = await labelled("reporting", base.removesuffix("/v1"))
    print("labelled set, words and vectors:", json.dumps(results["labelled"]))
    results["labelled_words_alone"] = await labelled("reporting", None)
    print("labelled set, words alone:", json.dumps(results["labelled_words_alone"]))
    results["crowded"] = await crowded(arguments.people, arguments.memories, arguments.searches)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--memories", type=int, default=100, help="of each person")
    parser.add_argument("--searches", type=int, default=1000)
    parser.add_argument("--waits", type=int, default=100)
    print(json.dumps(anyio.run(measured, parser.parse_args())))


if __name__ == "__main__":
    main()

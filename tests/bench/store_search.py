"""What a search costs among many turns in four scripts, on SQLite: p50 and p95 of whole calls of the store.

The turns are made up, as uneven as language is: a few words stand in nearly every turn, most in hardly any. Most turns
are one person's, which is the worst that can be. Queries are a character, a word, the beginning of a word, a stretch of
a sentence, two words that stood together, and words that nobody said; half of them are among the most frequent.

Run: python -m tests.bench.store_search [--turns 100000] [--queries 200] [--url URL]. The last line is JSON. The goal is
a p95 of at most 50 ms in every script.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import accumulate, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import anyio
from sqlalchemy import Connection, insert

from gateway import search
from gateway.database import address_of, connected, written
from gateway.store import Store, open_store
from gateway.tables import SessionRow, TurnRow, table_of
from tests.support.kept import NOON

GOAL_MS = 50.0
PAGE = 20
SESSION_TURNS = 50
TURNS_AT_ONCE = 2_000
WORDS = 6_000  # of each language
ENGLISH = "the I you a to and is it of that in what do we can me have for yes not on please how"
CHINESE = "的 我 你 是 不 了 在 有 什么 今天 我们 好 这个 吗 就 说 可以 天气 怎么 一个 去 知道"
KOREAN = "저는 그 안녕하세요 네 오늘 있어요 뭐 우리 이 좀 날씨가 어떻게 그래서 하고 싶어요 좋아요 정말 왜"
JAPANESE = "は の を です が に と ます 今日 私 これ 何 それ から ください はい 天気 どう ない たい ね"
KANA = [chr(code) for code in range(0x3042, 0x3094)]
HANGUL = [chr(code) for code in range(0xAC00, 0xD7A3, 13)]
HAN = [chr(code) for code in range(0x4E00, 0x5900)]
SYLLABLES = [first + vowel for first in "bdfghjklmnprstvw" for vowel in ("a", "e", "i", "o", "u", "an", "er")]


class Language:
    """Words with their frequencies; a few of them are real."""

    def __init__(self, real: str, letters: list[str], longest: int, space: str, chance: random.Random) -> None:
        made = {"".join(chance.choices(letters, k=chance.randint(2, longest))) for _ in range(WORDS)}
        self.words = [*real.split(), *sorted(made)]
        self.space = space
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(len(self.words))))
        self._chance = chance

    def says(self, count: int) -> list[str]:
        """So many words, as often as they come."""
        return self._chance.choices(self.words, cum_weights=self._weights, k=count)

    def text(self, shortest: int, longest: int) -> str:
        """Sentences of ten words at most."""
        words = self.says(self._chance.randint(shortest, longest))
        return " ".join(self.space.join(words[start : start + 10]) + "." for start in range(0, len(words), 10))

    def queries(self) -> Iterator[str]:
        """Every kind in turn."""
        while True:
            frequent, (any_word, other) = self._chance.choice(self.words[:20]), self.says(2)
            rare = self._chance.choice(self.words)
            yield from (frequent, any_word, rare, rare[:1], frequent[:1], rare[: len(rare) // 2 + 1])
            yield from (f"{frequent} {any_word}", f"{any_word} {rare}", self.space.join((frequent, any_word, other)))
            yield from (f"{rare}{rare}", " ".join(self.words[:4]))


def languages(chance: random.Random) -> dict[str, Language]:
    return {
        "english": Language(ENGLISH, SYLLABLES, 4, " ", chance),
        "chinese": Language(CHINESE, HAN, 3, "", chance),
        "korean": Language(KOREAN, HANGUL, 4, " ", chance),
        "japanese": Language(JAPANESE, KANA + HAN[:800], 4, "", chance),
    }


def kept(spoken: list[Language], numbers: range) -> Callable[[Connection], None]:
    """A transaction that keeps turns: nine of ten sessions are one person's."""

    def keep(connection: Connection) -> None:
        for session in {number // SESSION_TURNS for number in numbers if number % SESSION_TURNS == 0}:
            begun = {"id": f"ses_{session}", "user_id": _owner(session), "started_at": NOON}
            connection.execute(insert(table_of(SessionRow)), begun | {"turn_count": SESSION_TURNS})
        rows = [_turn(number, spoken[number // SESSION_TURNS % len(spoken)]) for number in numbers]
        connection.execute(insert(table_of(TurnRow)), rows)

    return keep


def _owner(session: int) -> str:
    return "ann" if session % 10 else f"user_{session}"


def _turn(number: int, language: Language) -> dict[str, Any]:
    session, position = divmod(number, SESSION_TURNS)
    return {
        "id": f"trn_{number}",
        "session_id": f"ses_{session}",
        "position": position,
        "persona": "assistant",
        "user_text": language.text(3, 20),
        "heard_text": language.text(10, 60),
        "heard_ms": 900,
        "finish_reason": "stop",
        "timings": {"done": 5},
        "ended_at": NOON + timedelta(seconds=number),
    }


async def fill(url: str, turns: int, spoken: list[Language]) -> None:
    async with connected(address_of(url)) as engine:
        for start in range(0, turns, TURNS_AT_ONCE):
            await written(engine, kept(spoken, range(start, min(start + TURNS_AT_ONCE, turns))))
        await written(engine, search.fill)


async def took_ms(store: Store, queries: list[str]) -> dict[str, float]:
    """Percentiles of the time that a page takes; each query runs twice, and both count."""
    times = []
    found = 0
    for query in queries * 2:
        began_s = perf_counter()
        found += len(await store.search(query, "ann", PAGE, 0))
        times.append(1000 * (perf_counter() - began_s))
    times.sort()
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    told = {name: round(times[int(share * (len(times) - 1))], 2) for name, share in shares.items()}
    return told | {"most_ms": round(times[-1], 2), "hits_a_query": round(found / len(times), 1)}


async def main(url: str, turns: int, count: int) -> None:
    chance = random.Random(1)
    spoken = languages(chance)
    results: dict[str, dict[str, float]] = {}
    async with open_store(url) as store:
        began_s = perf_counter()
        await fill(url, turns, list(spoken.values()))
        print(f"{turns} turns were made in {perf_counter() - began_s:.0f} s")
        for name, language in spoken.items():
            results[name] = await took_ms(store, list(islice(language.queries(), count)))
            print(f"{name:<10}", "  ".join(f"{what} {value:>7.2f}" for what, value in results[name].items()))
    print(f"goal: p95 of at most {GOAL_MS:.0f} ms")
    print(json.dumps(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--url", help="an empty database; without it, an SQLite file of its own")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        file = Path(folder, "store.db")
        anyio.run(main, asked.url or f"sqlite:///{file}", asked.turns, asked.queries)
        if file.exists():
            print(f"{file.stat().st_size / 1e6:.0f} MB on disk")

"""Search finds the same on every database, in every script; core/search_words.py says what that is."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.store import Store
from tests.support.databases import KINDS
from tests.support.kept import NOON, empty_store, kept

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

SAID = {
    "en": "What will the weather be in Zürich today?",
    "zh": "今天北京的天气怎么样",
    "ko": "우리 학교에서 날씨 이야기를 했어요",
    "ja": "明日の天気はどうですか、ｶﾀｶﾅ",
    "th": "วันนี้อากาศดี",
    "ru": "Какая сегодня погода",
    "rare": "𠮷野家 42 C++",
    "stop": "to be or not to be is it",
}
SEARCHES = {
    "weather": ["en"],
    "WEATHER zürich": ["en"],
    "zurich the": ["en"],
    "weath": ["en"],
    "eather": [],
    "北京": ["zh"],
    "天": ["ja", "zh"],
    "气": ["zh"],
    "天气": ["zh"],
    "天気": ["ja"],
    "北京的天气": ["zh"],
    "北京天气": [],
    "北京 天气": ["zh"],
    "气天": [],
    "학교": ["ko"],
    "교에서": ["ko"],
    "씨": ["ko"],
    "학교 이야기": ["ko"],
    "カタカナ": ["ja"],
    "ナ": ["ja"],
    "どうです": ["ja"],
    "อากาศ": ["th"],
    "ПОГОДА": ["ru"],
    "сег": ["ru"],
    "𠮷": ["rare"],
    "𠮷野": ["rare"],
    "42": ["rare"],
    "to be": ["stop"],
    "is it": ["stop"],
    "is": ["stop"],
    "": [],
    "?!": [],
}
HOSTILE = [
    '"',
    "'",
    "' OR 1=1 --",
    '"a" OR b*',
    "-weather",
    "a:b & !c | d <-> e",
    "NEAR(a b)",
    "+(weather) ~x @2",
    "\\",
    "%_",
]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with empty_store(request.param, tmp_path) as opened:
        yield opened


async def found(store: Store, text: str, limit: int = 50, offset: int = 0, user_id: str = "ann") -> list[str]:
    return [turn["turn_id"] for turn in await store.search(text, user_id, limit, offset)]


async def test_every_script_is_found_by_its_words_or_characters(store: Store) -> None:
    for turn_id, said in SAID.items():
        await store.add_turn("ses_1", "ann", kept(turn_id, said, heard_text=""))

    assert {query: sorted(await found(store, query)) for query in SEARCHES} == SEARCHES


async def test_what_was_heard_is_found_as_what_was_said_and_told_with_its_conversation(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "first", heard_text="An answer"))

    assert await store.search("answer", "ann", 10, 0) == [
        {
            "conversation_id": "ses_1",
            "turn_id": "trn_1",
            "persona": "assistant",
            "user_text": "first",
            "spoken_ms": 0,
            "heard_text": "An answer",
            "heard_ms": 900,
            "finish_reason": "stop",
            "timings": {"first_audio": 300, "done": 5},
            "ended_at": "2026-11-20T12:00:00.123456+00:00",
        }
    ]
    assert await found(store, "first answer") == ["trn_1"]
    assert await found(store, "一") == []


async def test_the_newest_come_first_and_in_pages(store: Store) -> None:
    for number in range(5):
        turn = kept(f"trn_{number}", f"number {number}", ended_at=NOON + timedelta(seconds=number))
        await store.add_turn(f"ses_{number % 2}", "ann", turn)

    assert await found(store, "number") == ["trn_4", "trn_3", "trn_2", "trn_1", "trn_0"]
    assert await found(store, "number", 2, 1) == ["trn_3", "trn_2"]
    assert await found(store, "number", 2, 5) == []


async def test_nobody_finds_what_another_person_said(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "secret"))
    await store.add_turn("ses_2", "bo", kept("trn_2", "secret"))

    assert await found(store, "secret") == ["trn_1"]
    assert await found(store, "secret", user_id="bo") == ["trn_2"]
    assert await found(store, "secret", user_id="Ann") == []


async def test_a_turn_that_came_twice_is_found_once(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "first"))
    await store.add_turn("ses_1", "ann", kept("trn_1", "second"))

    assert await found(store, "first") == ["trn_1"]
    assert await found(store, "second") == []


async def test_a_query_can_ask_for_nothing_but_words(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "weather"))

    assert {query: await found(store, query) for query in HOSTILE} == {
        query: ["trn_1"] if query == "-weather" else [] for query in HOSTILE
    }


async def test_a_very_long_text_is_found_by_its_beginning(store: Store) -> None:
    long = "".join(chr(0x4E00 + number % 5000) for number in range(20_000))
    await store.add_turn("ses_1", "ann", kept("trn_1", long, heard_text="x" * 100_000))

    assert await found(store, long[:20]) == ["trn_1"]
    assert await found(store, long * 2) == ["trn_1"]

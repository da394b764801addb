"""Memories and their words, in each kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from gateway import word_memory
from gateway.word_memory import NewMemory, WordMemory, open_word_memory
from tests.support.databases import KINDS, empty_database

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database."""
    async with empty_database(request.param, tmp_path) as empty:
        yield empty


@pytest.fixture
async def words(url: str) -> AsyncIterator[WordMemory]:
    """It, open."""
    async with open_word_memory(url) as opened:
        yield opened


def new(memory_id: str, text: str, user_id: str = "ann", conversation_id: str = "con_1", at_s: float = 0) -> NewMemory:
    return NewMemory(memory_id, user_id, conversation_id, text, at_s)


async def found(words: WordMemory, user_id: str, *asked: str) -> list[str]:
    return [one.text for one in await words.find(user_id, asked)]


async def test_a_person_s_memories_are_found_by_their_words_the_newest_first(words: WordMemory) -> None:
    await words.add([new("m1", "I live in Leeds.", at_s=1), new("m2", "We moved to York.", at_s=2)])
    await words.add([new("m3", "I live in Oslo.", "bob", "con_2", 3)])
    assert await words.add([]) == []
    assert await found(words, "ann", "#home") == ["We moved to York.", "I live in Leeds."]
    assert await found(words, "ann", "leed", "@oslo") == ["I live in Leeds."]
    assert await found(words, "cyd", "#home") == []
    (memory,) = await words.find("ann", ["leed", "moon"])
    assert (memory.words, memory.subject, memory.order) == (frozenset({"leed"}), "home", 1.0)


async def test_memories_are_read_by_their_ids_by_their_person_alone(words: WordMemory) -> None:
    await words.add([new("m1", "I live in Leeds."), new("m2", "I live in Oslo.", "bob")])
    got = {one.text: one.words for one in await words.get("ann", ["m1", "m2", "m9"], ["leed", "oslo"])}
    assert got == {"I live in Leeds.": frozenset({"leed"})}
    assert [one.words for one in await words.get("bob", ["m2"], ["rain"])] == [frozenset()]


async def test_what_is_forgotten_is_gone_with_its_words(words: WordMemory) -> None:
    await words.add([new("m1", "I live in Leeds."), new("m2", "I live in York.", conversation_id="con_2")])
    await words.add([new("m3", "I live in Oslo.", "bob")])
    assert await words.forget("ann", "con_2") == 1
    assert await found(words, "ann", "#home") == ["I live in Leeds."]
    assert await words.remove("bob", ["m1"]) == []
    assert await words.remove("ann", []) == []
    assert await words.remove("ann", ["m1", "m9"]) == ["m1"]
    assert await words.all_of("ann") == []
    assert await words.forget("ann") == 0
    assert [one["text"] for one in await words.all_of("bob")] == ["I live in Oslo."]


async def test_the_oldest_go_where_a_person_has_too_many(words: WordMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_memory, "MOST_MEMORIES", 2)
    assert await words.add([new("m1", "I have a dog.", at_s=1), new("m2", "I have a cat.", at_s=2)]) == []
    assert await words.add([new("m3", "I have a hen.", at_s=3), new("b1", "I have a cow.", "bob", at_s=0)]) == ["m1"]
    assert [one["id"] for one in await words.all_of("ann")] == ["m3", "m2"]


async def test_words_that_differ_in_accents_or_length_are_words_of_their_own(words: WordMemory) -> None:
    await words.add([new("m1", "My cafe and my café, and " + "x" * 90 + " and " + "x" * 91)])
    assert len(await found(words, "ann", "caf\u00e9")) == 1
    assert len(await found(words, "ann", "x" * 200)) == 1


async def test_names_that_look_alike_are_different_people(words: WordMemory) -> None:
    for number, user_id in enumerate(["Ann", "ann", "ann ", "Änn"]):
        await words.add([new(f"m{number}", f"I live in place{number}.", user_id)])
    assert [await found(words, user_id, "#home") for user_id in ("Ann", "ann", "ann ", "Änn")] == [
        [f"I live in place{number}."] for number in range(4)
    ]


async def test_what_no_database_takes_is_replaced(words: WordMemory) -> None:
    await words.add([new("m1", "I live in \0 Leeds\ud800.", "an\0n")])
    assert await found(words, "an\0n", "#home") == ["I live in \ufffd Leeds\ufffd."]


async def test_two_gateways_may_start_at_once_and_read_what_the_other_kept(url: str) -> None:
    async def start(number: int) -> None:
        async with open_word_memory(url) as words:
            await words.add([new(f"m{number}", "I live in Leeds.")])

    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(start, number)
    async with open_word_memory(url) as words:
        assert len(await found(words, "ann", "#home")) == 2

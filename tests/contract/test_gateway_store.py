"""What the store promises, on every database: SQLite, MariaDB, PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from gateway.store import KeptSegment, Store, open_store
from tests.support.databases import KINDS, empty_database
from tests.support.kept import NOON, kept

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with empty_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with open_store(url) as opened:
        yield opened


async def told(store: Store, conversation_id: str = "ses_1") -> list[str]:
    return [turn["user_text"] for turn in await store.turns(conversation_id) or []]


async def test_turns_come_back_in_their_order_and_whole_after_a_restart(url: str) -> None:
    async with open_store(url) as store:
        for number in range(3):
            await store.add_turn("ses_1", "ann", kept(f"trn_{number}", f"text {number} 你好"))
    async with open_store(url) as store:
        turns = await store.turns("ses_1") or []

    assert [turn["user_text"] for turn in turns] == ["text 0 你好", "text 1 你好", "text 2 你好"]
    assert turns[0] == {
        "turn_id": "trn_0",
        "persona": "assistant",
        "user_text": "text 0 你好",
        "spoken_ms": 0,
        "segments": [],
        "audio": None,
        "heard_text": "heard text 0 你好",
        "heard_ms": 900,
        "finish_reason": "stop",
        "timings": {"first_audio": 300, "done": 5},
        "ended_at": "2026-11-20T12:00:00.123456+00:00",
        "edits": None,
        "edited_by": None,
        "is_current": True,
    }


@pytest.mark.parametrize(
    "text", ["", "안녕하세요 👋🏽 سلام नमस्ते \\ ' \" % :x", "很" * 70_000], ids=["nothing", "every script", "very long"]
)
async def test_every_text_comes_back_as_it_was(store: Store, text: str) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", text, segments=(KeptSegment(text, 0),)))

    assert await told(store) == [text]


async def test_what_no_database_takes_is_replaced_wherever_it_stands(store: Store) -> None:
    await store.add_turn("ses_1", "a\0\ud800n", kept("trn_1", "o\0ne \udfff", segments=(KeptSegment("\0", 0),)))
    await store.voices.add("a\0\ud800n", "\0", "en", "\ud800")

    assert await told(store) == ["o\ufffdne \ufffd"]
    assert [one["id"] for one in await store.conversations(10, 0, "a\0\ud800n")] == ["ses_1"]
    assert [one["turn_id"] for one in await store.search("ne\0", "a\0\ud800n", 10, 0)] == ["trn_1"]
    assert len(await store.voices.of("a\0\ud800n")) == 1


async def test_a_turn_is_kept_once(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "first"))
    await store.add_turn("ses_1", "ann", kept("trn_1", "again", edits="trn_0"))
    await store.add_turn("ses_2", "ann", kept("trn_1", "elsewhere"))

    assert await told(store) == ["first"]
    assert [one["turns"] for one in await store.conversations(10, 0)] == [1]


async def test_two_gateways_that_bring_the_same_turns_at_once_keep_each_once_and_in_one_order(url: str) -> None:
    ids = [f"trn_{number}" for number in range(8)]
    async with open_store(url) as one, open_store(url) as other, anyio.create_task_group() as tasks:
        for store, brought in ((one, ids), (other, ids[::-1])):
            for turn_id in brought:
                tasks.start_soon(store.add_turn, "ses_1", "ann", kept(turn_id, turn_id))
    async with open_store(url) as store:
        assert sorted(await told(store)) == ids
        assert [found["turns"] for found in await store.conversations(10, 0)] == [8]


async def test_turns_that_two_gateways_add_at_once_have_places_of_their_own_in_many_conversations(url: str) -> None:
    async with open_store(url) as one, open_store(url) as other, anyio.create_task_group() as tasks:
        for number in range(12):
            for store in (one, other):
                turn = kept(f"trn_{number}_{store is one}", str(number))
                tasks.start_soon(store.add_turn, f"ses_{number % 3}", "ann", turn)
    async with open_store(url) as store:
        assert {one["id"]: one["turns"] for one in await store.conversations(10, 0)} == {
            f"ses_{n}": 8 for n in range(3)
        }
        for number in range(3):
            texts = await told(store, f"ses_{number}")
            assert sorted(map(int, texts)) == sorted([number, number + 3, number + 6, number + 9] * 2)


async def test_two_gateways_may_start_at_once_on_an_empty_database(url: str) -> None:
    async def start() -> None:
        async with open_store(url) as store:
            assert await store.ready() == "ready"

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(start)


async def test_conversations_are_listed_newest_first_with_their_turns_and_in_pages(store: Store) -> None:
    for number, (session_id, user_id) in enumerate([("ses_1", "ann"), ("ses_2", "bo"), ("ses_3", "ann")]):
        at = NOON + timedelta(minutes=number)
        await store.add_turn(session_id, user_id, kept(f"trn_{number}", ended_at=at))
    await store.add_turn("ses_1", "ann", kept("trn_later", ended_at=NOON + timedelta(hours=1)))
    everything = await store.conversations(10, 0)

    assert everything == [
        {"id": "ses_3", "started_at": "2026-11-20T12:02:00.123456+00:00", "turns": 1},
        {"id": "ses_2", "started_at": "2026-11-20T12:01:00.123456+00:00", "turns": 1},
        {"id": "ses_1", "started_at": "2026-11-20T12:00:00.123456+00:00", "turns": 2},
    ]
    assert await store.conversations(1, 1) == everything[1:2]
    assert await store.conversations(10, 0, "ann") == [everything[0], everything[2]]
    assert await store.conversations(10, 0, "nobody") == []


async def test_names_that_look_alike_are_different_people(store: Store) -> None:
    names = ["Ann", "ann", "ann ", "änn", "ａnn"]
    for number, name in enumerate(names):
        await store.add_turn(f"ses_{number}", name, kept(f"trn_{number}"))

    for number, name in enumerate(names):
        assert [one["id"] for one in await store.conversations(10, 0, name)] == [f"ses_{number}"]


async def test_nobody_can_add_to_the_conversation_of_another_person(store: Store) -> None:
    await store.add_turn("ses_1", "ann", kept("trn_1", "mine"))
    with pytest.raises(PermissionError):
        await store.add_turn("ses_1", "bo", kept("trn_2", "not mine"))

    assert await told(store) == ["mine"]
    assert await store.conversations(10, 0, "bo") == []


async def test_an_unknown_conversation_is_none(store: Store) -> None:
    assert await store.turns("ses_nobody") is None
    assert await store.ready() == "ready"


async def test_a_correction_takes_the_place_of_a_turn_and_of_what_followed_and_nothing_is_lost(store: Store) -> None:
    for one in (kept("a"), kept("b"), kept("c"), kept("d", edits="b"), replace(kept("e"), edits="d")):
        await store.add_turn("ses_1", "ann", one)
    await store.add_turn("ses_1", "ann", kept("f", edits="never_kept"))
    turns = await store.turns("ses_1") or []

    assert [(one["turn_id"], one["is_current"], one["edits"], one["edited_by"]) for one in turns] == [
        ("a", True, None, None),
        ("b", False, None, "d"),
        ("c", False, None, None),
        ("d", False, "b", "e"),
        ("e", True, "d", None),
        ("f", True, "never_kept", None),
    ]

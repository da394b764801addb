"""What is kept, in a real SQLite file."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.store import KeptTurn, open_store

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


def turn(turn_id: str, text: str = "hello") -> KeptTurn:
    ended_at = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    return KeptTurn(turn_id, "assistant", text, f"heard {text}", 900, "stop", {"done": 5}, ended_at)


async def test_turns_come_back_in_their_order_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/deep/t.db"
    async with open_store(url) as store:
        for number in range(3):
            await store.add_turn("ses_1", "somebody", turn(f"trn_{number}", f"text {number} 你好"))
    async with open_store(url) as store:
        kept = await store.turns("ses_1")

    assert kept is not None
    assert [one["user_text"] for one in kept] == ["text 0 你好", "text 1 你好", "text 2 你好"]
    assert kept[0]["timings"] == {"done": 5}


async def test_a_turn_is_kept_once(tmp_path: Path) -> None:
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/t.db") as store:
        await store.add_turn("ses_1", "somebody", turn("trn_1", "first"))
        await store.add_turn("ses_1", "somebody", turn("trn_1", "again"))
        kept = await store.turns("ses_1")

    assert [one["user_text"] for one in kept or []] == ["first"]


async def test_conversations_are_listed_with_their_turns_and_in_pages(tmp_path: Path) -> None:
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/t.db") as store:
        await store.add_turn("ses_1", "somebody", turn("trn_1"))
        await store.add_turn("ses_2", "somebody", turn("trn_2"))
        await store.add_turn("ses_2", "somebody", turn("trn_3"))
        everything = await store.conversations(10, 0)
        page = await store.conversations(1, 1)

    assert {one["id"]: one["turns"] for one in everything} == {"ses_1": 1, "ses_2": 2}
    assert page == everything[1:]


async def test_an_unknown_conversation_is_none(tmp_path: Path) -> None:
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/t.db") as store:
        assert await store.turns("ses_nobody") is None
        assert await store.ready() == "ready"


async def test_a_correction_takes_the_place_of_a_turn_and_of_what_followed_and_nothing_is_lost(tmp_path: Path) -> None:
    async with open_store(f"sqlite+aiosqlite:///{tmp_path}/t.db") as store:
        for one in (turn("a"), turn("b"), turn("c"), replace(turn("d"), edits="b"), replace(turn("e"), edits="d")):
            await store.add_turn("ses_1", "somebody", one)
        await store.add_turn("ses_1", "somebody", replace(turn("f"), edits="never_kept"))
        kept = await store.turns("ses_1") or []

    assert [(one["turn_id"], one["is_current"], one["edits"], one["edited_by"]) for one in kept] == [
        ("a", True, None, None),
        ("b", False, None, "d"),
        ("c", False, None, None),
        ("d", False, "b", "e"),
        ("e", True, "d", None),
        ("f", True, "never_kept", None),
    ]


async def test_a_database_from_before_corrections_needs_no_change(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/t.db"
    async with open_store(url) as store:
        await store.add_turn("ses_1", "somebody", turn("a"))
    with closing(sqlite3.connect(tmp_path / "t.db")) as database:
        database.execute("DROP TABLE edits")
    async with open_store(url) as store:
        await store.add_turn("ses_1", "somebody", replace(turn("b"), edits="a"))
        kept = await store.turns("ses_1") or []

    assert [one["is_current"] for one in kept] == [False, True]

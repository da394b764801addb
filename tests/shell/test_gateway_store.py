"""What is kept, in a real SQLite file."""

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

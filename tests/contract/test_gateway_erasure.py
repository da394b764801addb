"""What is forgotten is gone from every table and folder, on every database; what is exported is all there is."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, func, select

from gateway import erasure, kept_users, retention
from gateway.database import address_of, connected, found
from gateway.store import KeptSegment, Store, open_store
from gateway.tables import Base
from tests.support.databases import KINDS, empty_database
from tests.support.kept import NOON, files_in, kept, sound

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

SEGMENTS = (KeptSegment("Hello.", 0), KeptSegment("How are you?", 400))


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with empty_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(url, tmp_path / "audio") as opened:
        yield opened


async def talk(store: Store, session_id: str, user_id: str, age_days: int = 0) -> None:
    """A conversation of two turns, of which the second corrects the first; both have audio."""
    at = NOON - timedelta(days=age_days)
    one, other = f"{session_id}_1", f"{session_id}_2"
    await store.add_turn(session_id, user_id, kept(one, "tell me", ended_at=at, segments=SEGMENTS))
    await store.add_turn(session_id, user_id, kept(other, "tell me more", ended_at=at, edits=one))
    await store.audio.put(one, sound(f"{session_id} fast".encode()))
    await store.audio.put(other, sound(f"{session_id} hq".encode(), "hq"))


async def rows(url: str) -> dict[str, int]:
    """How many rows each table has, those without any left out."""

    def count(connection: Connection) -> dict[str, int]:
        counted = {table.name: connection.scalar(select(func.count()).select_from(table)) for table in TABLES}
        return {name: number for name, number in counted.items() if number}

    async with connected(address_of(url)) as engine:
        return await found(engine, count)


TABLES = [table for table in Base.metadata.sorted_tables if table.name != "stores"]
ONE_TALK = {"sessions": 1, "users": 1, "turns": 2, "edits": 1, "segments": 2, "audio": 2, "search_entries": 2}


async def heard(store: Store, user_id: str) -> list[str]:
    return [turn["turn_id"] for turn in await store.search("tell", user_id, 50, 0)]


async def test_a_conversation_is_forgotten_with_everything_that_belongs_to_it(
    url: str, store: Store, tmp_path: Path
) -> None:
    await talk(store, "ses_1", "ann")
    kept_before = await rows(url)
    await talk(store, "ses_2", "ann")
    assert await store.delete_conversation("ses_2")

    assert await rows(url) == kept_before == ONE_TALK
    assert sorted(files_in(tmp_path / "audio").values()) == [b"ses_1 fast", b"ses_1 hq"]
    assert await heard(store, "ann") == ["ses_1_2", "ses_1_1"]
    assert await store.turns("ses_2") is None
    assert not await store.delete_conversation("ses_2")


async def test_nobody_deletes_the_conversation_of_another_person(url: str, store: Store) -> None:
    await talk(store, "ses_1", "ann")

    assert not await store.delete_conversation("ses_1", "bo")
    assert await rows(url) == ONE_TALK
    assert await store.delete_conversation("ses_1", "ann")
    assert await rows(url) == {"users": 1}


async def test_a_conversation_that_was_deleted_may_begin_anew(store: Store) -> None:
    await talk(store, "ses_1", "ann")
    await store.delete_conversation("ses_1")
    await talk(store, "ses_1", "ann")

    assert [turn["turn_id"] for turn in await store.turns("ses_1") or []] == ["ses_1_1", "ses_1_2"]
    assert await heard(store, "ann") == ["ses_1_2", "ses_1_1"]


async def test_turns_that_come_while_their_conversation_is_deleted_are_kept_or_gone_but_never_by_half(
    url: str, store: Store
) -> None:
    await talk(store, "ses_1", "ann")
    async with open_store(url) as other, anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(other.add_turn, "ses_1", "ann", kept(f"late_{number}", "tell", segments=SEGMENTS))
            tasks.start_soon(store.delete_conversation, "ses_1")
    left = await store.turns("ses_1") or []

    assert sorted(turn["turn_id"] for turn in left) == sorted(await heard(store, "ann"))
    assert [one["turns"] for one in await store.conversations(10, 0)] == [len(left)] * bool(left)
    assert (await rows(url)).get("segments", 0) == 2 * len(left)


async def test_conversations_whose_newest_turn_is_old_are_forgotten_in_batches(
    url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SESSIONS_AT_ONCE", 2)
    for number in range(5):
        await talk(store, f"ses_{number}", "ann", age_days=40)
    await talk(store, "ses_new", "ann", age_days=20)
    await store.add_turn("ses_4", "ann", kept("trn_later"))
    forgotten = await store.forget_before(NOON - timedelta(days=30))

    assert forgotten == 4
    assert sorted(one["id"] for one in await store.conversations(10, 0)) == ["ses_4", "ses_new"]
    assert len(files_in(tmp_path / "audio")) == 4
    assert await store.forget_before(NOON - timedelta(days=30)) == 0


async def test_old_conversations_go_when_the_gateway_starts_and_a_database_that_fails_stops_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shared.clock.today", lambda: NOON)
    monkeypatch.setattr(retention, "DAY_S", 0.0)
    await talk(store, "ses_old", "ann", age_days=31)
    await talk(store, "ses_new", "ann", age_days=29)
    fails, did = [True], anyio.Event()
    forget = store.forget_before

    async def failing(moment: Any) -> int:
        if fails.pop() if fails else False:
            raise ConnectionRefusedError
        count = await forget(moment)
        did.set()
        return count

    monkeypatch.setattr(store, "forget_before", failing)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retention.run, store, 30)
        await did.wait()
        tasks.cancel_scope.cancel()

    assert [one["id"] for one in await store.conversations(10, 0)] == ["ses_new"]
    assert "could not be forgotten" in caplog.text


async def test_everything_of_one_person_is_exported_and_nothing_of_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_users, "SESSIONS_AT_ONCE", 1)
    monkeypatch.setattr(kept_users, "TURNS_AT_ONCE", 1)
    for session_id, user_id in (("ses_1", "ann"), ("ses_2", "bo"), ("ses_3", "ann")):
        await talk(store, session_id, user_id)
    await store.voices.add("ann", "mine", "en", "yes", "voice_1")
    records = [record async for record in store.users.export("ann")]

    named = [
        [record[name] for name in ("kind", "turn_id", "voice_id", "session_id") if name in record] for record in records
    ]
    talks = [
        [
            ["session", one],
            ["turn", f"{one}_1", one],
            ["audio", f"{one}_1"],
            ["turn", f"{one}_2", one],
            ["audio", f"{one}_2"],
        ]
        for one in ("ses_1", "ses_3")
    ]
    assert named == [["user"], ["voice", "voice_1"], *talks[0], *talks[1]]
    assert records[3]["segments"] == [{"text": "Hello.", "start_ms": 0}, {"text": "How are you?", "start_ms": 400}]
    assert (records[4]["content"], records[4]["offsets_ms"], records[4]["tier"]) == (b"ses_1 fast", [0, 400], "fast")
    assert records[5]["edits"] == "ses_1_1"
    assert [record async for record in store.users.export("nobody")] == []


async def test_a_person_is_erased_in_one_call_and_nobody_else(
    url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "SESSIONS_AT_ONCE", 1)
    for session_id, user_id in (("ses_1", "ann"), ("ses_2", "bo"), ("ses_3", "bo")):
        await talk(store, session_id, user_id)
    await store.voices.add("bo", "mine", "en", "yes")
    assert await store.users.erase("bo")

    assert await rows(url) == ONE_TALK
    assert len(files_in(tmp_path / "audio")) == 2
    assert await heard(store, "bo") == []
    assert not await store.users.erase("bo")
    assert [record async for record in store.users.export("bo")] == []

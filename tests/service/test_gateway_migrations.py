"""Databases of older versions, with data in them, come to today's tables and go back, on every kind of database."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import address_of, connected
from gateway.schema import NEWEST, STEPS, UnknownRevision, migrate
from gateway.store import open_store
from gateway.tables import Base
from tests.support.databases import KINDS, empty_database
from tests.support.house_processes import TOP
from tests.support.kept import kept

pytestmark = [pytest.mark.service, pytest.mark.anyio]

T = TypeVar("T")

BEFORE_STEPS = """
CREATE TABLE conversations (id VARCHAR(64) NOT NULL, user_id VARCHAR(128) NOT NULL, started_at {moment} NOT NULL,
  PRIMARY KEY (id));
CREATE INDEX ix_conversations_user_id ON conversations (user_id);
CREATE TABLE turns (id VARCHAR(64) NOT NULL, conversation_id VARCHAR(64) NOT NULL, position INTEGER NOT NULL,
  persona VARCHAR(64) NOT NULL, user_text TEXT NOT NULL, heard_text TEXT NOT NULL, heard_ms INTEGER NOT NULL,
  finish_reason VARCHAR(16) NOT NULL, timings JSON NOT NULL, ended_at {moment} NOT NULL,
  PRIMARY KEY (id), FOREIGN KEY(conversation_id) REFERENCES conversations (id));
CREATE INDEX ix_turns_conversation_id ON turns (conversation_id);
CREATE TABLE edits (turn_id VARCHAR(64) NOT NULL, edited_turn_id VARCHAR(64) NOT NULL,
  PRIMARY KEY (turn_id), FOREIGN KEY(turn_id) REFERENCES turns (id))
"""
MOMENTS = {"sqlite": "DATETIME", "mariadb": "DATETIME", "postgresql": "TIMESTAMP WITH TIME ZONE"}
CONVERSATIONS = sa.table(
    "conversations", *map(sa.column, ("id", "user_id")), sa.column("started_at", sa.DateTime(True))
)
TURN_COLUMNS = ("id", "conversation_id", "position", "persona", "user_text", "heard_text", "heard_ms", "finish_reason")
TURNS = sa.table(
    "turns", *map(sa.column, TURN_COLUMNS), sa.column("timings", sa.JSON), sa.column("ended_at", sa.DateTime(True))
)
EDITS = sa.table("edits", *map(sa.column, ("turn_id", "edited_turn_id")))
TEXTS = [("a", 0, "weather", "It rains"), ("b", 1, "天气怎么样", "很好"), ("c", 1, "날씨", "좋아요")]


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with empty_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    async with writable(url) as opened:
        yield opened


@asynccontextmanager
async def writable(url: str) -> AsyncIterator[AsyncEngine]:
    """A database that took every script from its beginning; MariaDB's do not, unless they are told to."""
    async with connected(address_of(url)) as opened:
        if opened.dialect.name == "mariadb":
            await told(opened, lambda connection: connection.execute(sa.text("ALTER DATABASE CHARACTER SET utf8mb4")))
        yield opened


def _at(minute: int) -> datetime:
    return datetime(2026, 11, 20, 12, minute, tzinfo=UTC)


def fill(connection: sa.Connection) -> None:
    """A database of before there were steps: two turns of one conversation share a place, as once they could."""
    for statement in BEFORE_STEPS.format(moment=MOMENTS[connection.dialect.name]).split(";"):
        connection.execute(sa.text(statement))
    for number, user_id in enumerate(("ann", "bo", "cy")):
        row = {"id": f"ses_{user_id}", "user_id": user_id, "started_at": _at(number)}
        connection.execute(sa.insert(CONVERSATIONS).values(row))
    for number, (turn_id, position, said, heard) in enumerate(TEXTS):
        values = (turn_id, "ses_ann", position, "assistant", said, heard, 900, "stop", {"done": 5}, _at(10 + number))
        connection.execute(
            sa.insert(TURNS).values(dict(zip([*TURN_COLUMNS, "timings", "ended_at"], values, strict=True)))
        )
    connection.execute(sa.insert(EDITS).values(turn_id="c", edited_turn_id="b"))


def content(connection: sa.Connection) -> list[list[tuple[object, ...]]]:
    """Everything that the tables of before there were steps hold, but for the places of turns."""
    plain = [column for column in TURNS.c if column.name != "position"]
    asked = [sa.select(CONVERSATIONS), sa.select(*plain), sa.select(EDITS)]
    return [[tuple(row) for row in connection.execute(one.order_by(sa.text("1")))] for one in asked]


async def told(engine: AsyncEngine, ask: Callable[[sa.Connection], T]) -> T:
    async with engine.begin() as connection:
        return await connection.run_sync(ask)


def revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def tables(connection: sa.Connection) -> set[str]:
    return {name for name in sa.inspect(connection).get_table_names() if not name.startswith("search_words")}


async def test_an_old_database_keeps_all_that_was_said_and_can_do_what_a_new_one_can(
    url: str, engine: AsyncEngine
) -> None:
    await told(engine, fill)
    async with open_store(url) as store:
        turns = await store.turns("ses_ann") or []
        listed = await store.conversations(10, 0)
        hits = [turn["turn_id"] for turn in await store.search("天气", "ann", 10, 0)]
        await store.add_turn("ses_ann", "ann", kept("d"))
        more = await store.turns("ses_ann") or []

    assert [(one["turn_id"], one["user_text"], one["is_current"]) for one in turns] == [
        ("a", "weather", True),
        ("b", "天气怎么样", False),
        ("c", "날씨", True),
    ]
    assert turns[0]["ended_at"] == "2026-11-20T12:10:00+00:00"
    assert listed == [{"id": "ses_ann", "started_at": "2026-11-20T12:00:00+00:00", "turns": 3}]
    assert [one["turn_id"] for one in more] == ["a", "b", "c", "d"]
    assert hits == ["b"]


async def test_the_way_back_leaves_the_old_tables_with_the_old_content_and_the_way_up_is_open(
    url: str, engine: AsyncEngine
) -> None:
    await told(engine, fill)
    old, was = await told(engine, tables), await told(engine, content)
    await migrate(engine)
    await migrate(engine, "0001")

    assert await told(engine, content) == was
    assert await told(engine, tables) == old | {"alembic_version"}
    async with open_store(url) as store:
        assert [one["turn_id"] for one in await store.turns("ses_ann") or []] == ["a", "b", "c"]


async def test_the_first_step_makes_exactly_the_tables_of_before_there_were_steps(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    def shape(connection: sa.Connection) -> object:
        looked = sa.inspect(connection)
        return {
            name: (
                [(one["name"], str(one["type"]), one["nullable"]) for one in looked.get_columns(name)],
                sorted(str(one["name"]) for one in looked.get_indexes(name)),
                looked.get_pk_constraint(name)["constrained_columns"],
                [(one["constrained_columns"], one["referred_table"]) for one in looked.get_foreign_keys(name)],
            )
            for name in ("conversations", "turns", "edits")
        }

    await migrate(engine, "0001")
    async with empty_database(engine.dialect.name, tmp_path / "before") as url, writable(url) as before:
        await told(before, fill)
        assert await told(engine, shape) == await told(before, shape)


async def test_a_database_from_before_corrections_is_known_too(url: str, engine: AsyncEngine) -> None:
    await told(engine, fill)
    await told(engine, lambda connection: connection.execute(sa.text("DROP TABLE edits")))
    async with open_store(url) as store:
        await store.add_turn("ses_ann", "ann", kept("d", edits="a"))
        assert [one["is_current"] for one in await store.turns("ses_ann") or []] == [False, False, False, True]


async def test_the_steps_lead_to_the_tables_that_the_code_knows(engine: AsyncEngine) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        def is_ours(_: object, name: str | None, kind: str, __: object, ___: object) -> bool:
            return not (kind == "table" and (name or "").startswith("search_words"))

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_ours})
        return list(compare_metadata(context, Base.metadata))

    await migrate(engine)
    assert await told(engine, differences) == []
    assert await told(engine, revision) == NEWEST


async def test_a_database_of_a_later_version_is_left_alone(url: str, engine: AsyncEngine) -> None:
    await migrate(engine)
    await told(
        engine, lambda connection: connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    )
    with pytest.raises(UnknownRevision, match="9999"):
        async with open_store(url):
            pass

    assert await told(engine, revision) == "9999"


async def test_nothing_is_changed_when_a_step_fails(tmp_path: Path) -> None:
    for kind in ("sqlite", "postgresql"):  # MariaDB commits each change of a table
        async with empty_database(kind, tmp_path) as url, connected(address_of(url)) as engine:
            await told(engine, fill)
            await told(engine, lambda connection: connection.execute(sa.text("CREATE TABLE audio (id INTEGER)")))
            before = await told(engine, tables)
            with pytest.raises(sa.exc.DBAPIError):
                await migrate(engine)
            assert (await told(engine, tables), await told(engine, revision)) == (before, None)


def test_the_newest_step_is_the_last_one() -> None:
    assert ScriptDirectory(str(STEPS)).get_heads() == [NEWEST]


def test_a_command_takes_the_gateway_s_database_to_a_step(tmp_path: Path) -> None:
    setting = {"GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path}/t.db"}
    found = []
    for wanted in ([], ["0001"]):
        subprocess.run([sys.executable, "-m", "gateway.migrations", *wanted], cwd=TOP, env=setting, check=True)
        database = sa.create_engine(f"sqlite:///{tmp_path}/t.db")
        with database.connect() as connection:
            found.append((revision(connection), "sessions" in tables(connection)))
        database.dispose()

    assert found == [(NEWEST, True), ("0001", False)]

"""How the gateway reaches its database; what the store promises on all of them stands in tests/contract."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import ATTEMPTS, address_of, connected, found, url_of, written
from gateway.store import open_store
from tests.support.kept import kept

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with connected(address_of(f"sqlite:///{tmp_path}/t.db")) as opened:
        yield opened


class Deadlock(Exception):
    """What MariaDB's driver raises."""


class Serialisation(Exception):
    """What PostgreSQL's driver raises."""

    sqlstate = "40001"


class Work:
    """A transaction that is given up so many times."""

    def __init__(self, failures: int, cause: Exception) -> None:
        self.runs = 0
        self._failures = failures
        self._cause = cause

    def __call__(self, connection: Connection) -> int:
        self.runs += 1
        connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": self.runs})
        if self.runs <= self._failures:
            raise OperationalError("INSERT", {}, self._cause)
        return self.runs


async def test_the_folder_of_a_file_is_made_and_its_writers_go_ahead_of_it(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/deep/down/t.db") as store:
        await store.add_turn("ses_1", "ann", kept("trn_1"))
        with closing(sqlite3.connect(tmp_path / "deep/down/t.db")) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_each_connection_keeps_references_and_syncs_at_checkpoints(engine: AsyncEngine) -> None:
    def pragmas(connection: Connection) -> list[object]:
        return [connection.scalar(text(f"PRAGMA {name}")) for name in ("foreign_keys", "synchronous")]

    assert await found(engine, pragmas) == [1, 1]


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///var/t.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:///var/t.db", "sqlite+aiosqlite"),
        ("mysql://db/parley", "mariadb+aiomysql"),
        ("mysql+pymysql://db/parley", "mariadb+aiomysql"),
        ("mariadb://db/parley", "mariadb+aiomysql"),
        ("postgres://db/parley", "postgresql+asyncpg"),
        ("postgresql+psycopg://db/parley", "postgresql+asyncpg"),
    ],
)
def test_a_url_gets_the_driver_that_is_here(url: str, driver: str) -> None:
    address = address_of(url)

    assert address.drivername == driver
    assert address.database == make_url(url).database


def test_another_kind_of_database_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="oracle is none of mariadb, mysql, postgres, postgresql, sqlite"):
        address_of("oracle://db/parley")


def test_a_url_is_made_of_parts_with_any_letters() -> None:
    address = address_of(url_of("mariadb", "db.example", 3307, "par@ley", "p/w:%", "talk"))

    assert (address.host, address.port, address.database) == ("db.example", 3307, "talk")
    assert (address.username, address.password) == ("par@ley", "p/w:%")
    assert "p/w" not in str(address)


@pytest.mark.parametrize("cause", [Deadlock(1213, "Deadlock found"), Serialisation()])
async def test_a_transaction_that_was_given_up_runs_again_and_is_kept_once(
    engine: AsyncEngine, cause: Exception
) -> None:
    await written(engine, lambda connection: connection.execute(text("CREATE TABLE numbers (number INTEGER)")))
    work = Work(ATTEMPTS - 1, cause)

    assert await written(engine, work) == ATTEMPTS
    rows = await found(engine, lambda connection: connection.execute(text("SELECT number FROM numbers")).all())
    assert [row.number for row in rows] == [ATTEMPTS]


@pytest.mark.parametrize(
    ("work", "runs"),
    [(Work(ATTEMPTS, Deadlock(1213)), ATTEMPTS), (Work(1, Deadlock(1045)), 1), (Work(1, Deadlock()), 1)],
)
async def test_a_transaction_that_cannot_succeed_fails(engine: AsyncEngine, work: Work, runs: int) -> None:
    await written(engine, lambda connection: connection.execute(text("CREATE TABLE numbers (number INTEGER)")))
    with pytest.raises(DBAPIError):
        await written(engine, work)

    assert work.runs == runs


async def test_a_moment_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/t.db") as store:
        with pytest.raises(StatementError, match="without a time zone"):
            await store.add_turn("ses_1", "ann", kept("trn_1", ended_at=datetime(2026, 11, 20)))
        assert await store.conversations(10, 0) == []


async def test_nothing_is_written_between_choosing_what_to_forget_and_forgetting_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = []

    def write(*_: object) -> None:
        with closing(sqlite3.connect(tmp_path / "t.db", timeout=0)) as other:
            try:
                other.execute("UPDATE sessions SET last_at = NULL")
            except sqlite3.OperationalError as refusal:
                refusals.append(str(refusal))

    async with open_store(f"sqlite:///{tmp_path}/t.db") as store:
        await store.add_turn("ses_1", "ann", kept("trn_1"))
        with monkeypatch.context() as between:
            between.setattr("gateway.search.remove", write)
            with pytest.raises(DBAPIError):  # words that were not removed hold the turn
                await store.delete_conversation("ses_1")
        assert await store.delete_conversation("ses_1")

    assert refusals == ["database is locked"]

"""How the gateway reaches its database: SQLite in a file of its own, MariaDB or PostgreSQL by URL.

`written` runs one transaction, and again when the database gave it up for another one's sake. It never begins one by
reading: on SQLite a transaction that reads first and writes later can lose its place to another writer.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
from sqlalchemy import URL, Connection, Insert, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

T = TypeVar("T")

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "mysql": "mariadb+aiomysql",
    "mariadb": "mariadb+aiomysql",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
ATTEMPTS = 5
LIMIT_S = 20.0  # of one transaction
GIVEN_UP = {1213, 1205, 1020}  # MariaDB: a deadlock, a wait too long, a row that another one changed
GIVEN_UP_STATES = {"40001", "40P01"}  # PostgreSQL: the same


def address_of(url: str) -> URL:
    """The URL with the driver that is here. Raises ValueError for any other kind of database."""
    address = make_url(url)
    driver = DRIVERS.get(address.drivername.partition("+")[0])
    if driver is None:
        raise ValueError(f"{address.drivername} is none of {', '.join(sorted(DRIVERS))}.")
    return address.set(drivername=driver)


def url_of(kind: str, host: str, port: int | None, user: str, password: str, name: str) -> str:
    """One URL from its parts, which may hold any letter; it shows the password."""
    address = URL.create(DRIVERS[kind], user, password or None, host, port, name)
    return address.render_as_string(hide_password=False)


@asynccontextmanager
async def connected(address: URL) -> AsyncIterator[AsyncEngine]:
    """The engine of a database, closed at the end. SQLite's folder is made."""
    if address.get_backend_name() == "sqlite":
        if address.database:
            Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(address)
        event.listen(engine.sync_engine, "connect", _write_ahead)
    elif address.get_backend_name() == "mariadb":  # its default locks gaps between rows, for which writers would wait
        engine = create_async_engine(address, isolation_level="READ COMMITTED", pool_pre_ping=True)
    else:
        engine = create_async_engine(address, pool_pre_ping=True)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction, which a cancel waits for."""
    with anyio.fail_after(LIMIT_S, shield=True):
        async with engine.begin() as connection:
            yield connection


@asynccontextmanager
async def look(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The same, without any change."""
    with anyio.fail_after(LIMIT_S, shield=True):
        async with engine.connect() as connection:
            yield connection


async def written(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """What one transaction returns; `work` may run again. A cancel waits for it: drivers do not bear to be cut in one.

    TimeoutError when the database stands still.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with transaction(engine) as connection:
                return await connection.run_sync(work)
        except DBAPIError as failure:
            if attempt == ATTEMPTS or not _is_given_up(failure):
                raise
    raise AssertionError("unreachable")


async def found(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """What one look at the database returns; it changes nothing. A cancel waits for it, as above."""
    async with look(engine) as connection:
        return await connection.run_sync(work)


def insert_once(connection: Connection, table: Table) -> Insert:
    """An insert that does nothing where the row is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return table.insert().prefix_with("IGNORE")


def _is_given_up(failure: DBAPIError) -> bool:
    cause: Any = failure.orig
    number = cause.args[0] if cause is not None and cause.args else None
    return number in GIVEN_UP or getattr(cause, "sqlstate", None) in GIVEN_UP_STATES


def _write_ahead(connection: Any, _: object) -> None:
    """WAL with a sync at each checkpoint: a commit survives a crash of the process at half a millisecond each."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()

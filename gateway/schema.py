"""Bring a database to the tables of this version, whichever it has; or, when told to, back to those of an older one.

A database from before there were steps is known by its tables and goes on from the first step. One gateway migrates at
a time: others that start beside it wait. On SQLite and PostgreSQL all steps are one transaction; MariaDB commits each
change of a table, so a database that matters is copied before.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

NEWEST = "0002"
STEPS = Path(__file__).parent / "migrations"
LOCK_NUMBER = 7_229_183_427  # of PostgreSQL's advisory lock: any number that is always the same
LOCK_NAME = "parley_migrations"
LOCK_TIMEOUT_S = 600


class UnknownRevision(RuntimeError):
    """The database has tables of a version that is not known here."""


async def migrate(engine: AsyncEngine, revision: str = NEWEST) -> None:
    """Take the steps that lead to a revision, up or down. UnknownRevision when the database is of a later version."""
    async with engine.connect() as connection:
        if await connection.run_sync(_revision) == revision:
            return
    async with engine.begin() as connection:
        await connection.run_sync(_locked, revision)


def _locked(connection: Connection, revision: str) -> None:
    kind = connection.dialect.name
    if kind == "sqlite":
        connection.execute(text("BEGIN IMMEDIATE"))  # its driver would begin with the first change of a row only
    elif kind == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
    else:
        names = {"name": LOCK_NAME, "within_s": LOCK_TIMEOUT_S}
        if connection.execute(text("SELECT GET_LOCK(:name, :within_s)"), names).scalar() != 1:
            raise TimeoutError("another gateway migrates the database")
    try:
        _step(connection, revision)
    finally:
        if kind == "mariadb":
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK_NAME})


def _step(connection: Connection, revision: str) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    now = _revision(connection)
    known = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    if now is not None and now not in known:
        raise UnknownRevision(f"The database has the tables of step {now}; the last one known here is {NEWEST}.")
    if now is None or now < revision:
        command.upgrade(config, revision)
    elif now > revision:
        command.downgrade(config, revision)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()

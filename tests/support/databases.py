"""Real databases for tests: SQLite in a folder, MariaDB and PostgreSQL as servers of one test run's own.

A server is started when it is first asked for, on loopback, in a temporary folder; it ends with the test run, even with
one that is killed. Each test gets a database of its own in it, empty. Where a server is not installed, CI fails and
others skip.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.house_processes import free_ports

KINDS = ("sqlite", "mariadb", "postgresql")
FOLDERS = [Path("/usr/sbin"), Path("/usr/local/sbin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
PASSWORD = "made up/for@tests:%"  # as hard to put into a URL as one can be
NO_SYNC = [
    "--innodb-flush-method=nosync",
    "--innodb-flush-log-at-trx-commit=0",
    "--sync-frm=0",
    "--innodb-doublewrite=0",
]
STOP_TIMEOUT_S = 20
_names = count(1)
_running = ExitStack()
atexit.register(_running.close)


@asynccontextmanager
async def empty_database(kind: str, folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database, removed at the end."""
    if kind == "sqlite":
        yield f"sqlite+aiosqlite:///{folder}/store.db"
        return
    server = make_url(mariadb() if kind == "mariadb" else postgresql())
    name = f"store_{next(_names)}"
    await _tell(server, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    await _tell(server, f"DROP DATABASE {name}" + " WITH (FORCE)" * (kind == "postgresql"))


async def _tell(server: URL, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@cache
def mariadb() -> str:
    """The URL of a running MariaDB."""
    install, server, client = _programs("mariadb-install-db", "mariadbd", "mariadb")
    folder, as_owner, port = _folder("mysql"), _as("mysql"), free_ports(1)
    socket = f"--socket={folder}/socket"
    options = [f"--datadir={folder}/content", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", *NO_SYNC]
    _run([*as_owner, install, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *options])
    options += [f"--pid-file={folder}/pid", f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", socket]
    told = [client, "--no-defaults", "-uroot", socket, "-e"]
    _serve(folder, [*as_owner, server, "--no-defaults", *options], lambda: _succeeds([*told, "SELECT 1"]))
    _run([*told, f"GRANT ALL ON *.* TO tester@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"])
    return _url("mariadb+aiomysql", port)


@cache
def postgresql() -> str:
    """The URL of a running PostgreSQL."""
    init, server, is_ready = _programs("initdb", "postgres", "pg_isready")
    folder, as_owner, port = _folder("postgres"), _as("postgres"), free_ports(1)
    (folder / "password").write_text(PASSWORD)
    made = ["-D", f"{folder}/content", "-U", "tester", "--pwfile", f"{folder}/password", "-A", "scram-sha-256"]
    _run([*as_owner, init, *made, "--no-sync", "--locale=C", "--encoding=UTF8"])
    options = ["-D", f"{folder}/content", "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"]
    options += ["-c", "fsync=off", "-c", "full_page_writes=off"]
    asked = [is_ready, "-h", "127.0.0.1", "-p", str(port)]
    _serve(folder, [*as_owner, server, *options], lambda: _succeeds(asked))
    return _url("postgresql+asyncpg", port, "postgres")


def _url(driver: str, port: int, name: str = "") -> str:
    address = URL.create(driver, "tester", PASSWORD, "127.0.0.1", port, name)
    return address.render_as_string(hide_password=False)


def _programs(*names: str) -> list[str]:
    places = os.pathsep.join([os.environ.get("PATH", ""), *map(str, FOLDERS)])
    found = {name: shutil.which(name, path=places) for name in names}
    missing = ", ".join(name for name, place in found.items() if place is None)
    if missing and os.environ.get("CI"):
        pytest.fail(f"not installed: {missing}")
    if missing:
        pytest.skip(f"not installed: {missing}")
    return [place for place in found.values() if place]


def _as(user: str) -> list[str]:
    """A prefix: root's servers run as their own user; the kernel ends them with the process that started them."""
    if shutil.which("setpriv") is None:
        return []
    owner = ["--reuid", user, "--regid", user, "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", *owner, "--pdeathsig", "TERM"]


def _folder(user: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="parley-"))
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    if os.getuid() == 0:
        shutil.chown(folder, user, user)
    return folder


def _serve(folder: Path, command: list[str], is_ready: Callable[[], bool]) -> None:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    _running.callback(server.wait, STOP_TIMEOUT_S)
    _running.callback(server.terminate)
    while not is_ready():
        assert server.poll() is None, (folder / "log").read_text(errors="replace")[-2000:]


def _run(command: list[str]) -> None:
    ran = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0

"""A whole Parley as `make run` starts it: four services under supervisord, on free ports, in a folder of its own."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
SERVICES = ("gateway", "llm_service", "asr_service", "tts_service")
LISTENING = "Parley is listening on "
STOP_TIMEOUT_S = 30


@dataclass
class RunningParley:
    """A started Parley: where it listens, what it said while it started, and its processes."""

    port: int
    var: Path
    process: subprocess.Popen[str]
    said: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url_of(self, service: str) -> str:
        """Where a service itself listens."""
        return f"http://127.0.0.1:{self.port + SERVICES.index(service)}"

    def pid_of(self, service: str) -> int:
        """The process id of a service's own process."""
        children = _children(self.process.pid)
        for pid in children:
            if _command(pid).endswith(f"-m {service}"):
                return pid
        raise LookupError(f"{service} does not run; running: {[_command(pid) for pid in children]}")

    def kill(self, service: str) -> None:
        """End a service as a crash does."""
        os.kill(self.pid_of(service), signal.SIGKILL)

    def log(self, service: str) -> str:
        """What a service wrote."""
        return (self.var / "log" / f"{service}.log").read_text()

    def interrupt(self) -> int:
        """Ctrl-C at the terminal; the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT_S)


def _children(pid: int) -> list[int]:
    """All processes below `pid`."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *_children(child)]
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if first + count < 65_000 and all(is_free(first + offset) for offset in range(count)):
            return first


def is_free(port: int) -> bool:
    """Whether a service could listen on a port of this machine now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def make_run(var: Path, **environment: str) -> Iterator[RunningParley]:
    """`make run` until it listens; leaving interrupts it as Ctrl-C does."""
    port = free_ports(len(SERVICES))
    process = subprocess.Popen(
        ["make", "--silent", "run", f"PORT={port}"],
        cwd=TOP,
        env={**os.environ, "PARLEY_VAR": str(var), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    parley = RunningParley(port, var, process, [])
    try:
        assert process.stdout is not None
        for line in process.stdout:
            parley.said.append(line.rstrip())
            if LISTENING in line or "not ready" in line:
                break
        assert parley.said, "make run said nothing"
        assert parley.said[-1] == f"{LISTENING}{parley.url}", "\n".join(parley.said)
        yield parley
    finally:
        if process.poll() is None:
            parley.interrupt()
        process.stdout.close()  # type: ignore[union-attr]

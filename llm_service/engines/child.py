"""One life of a child process that serves HTTP: start it, hear its address, know when it ends, make it end.

It cannot outlive us: it holds the far end of a pipe on its stdin and ends when that closes. Its stdout and stderr are
read to their ends, so it never blocks on them; of stderr a few lines are kept, and once it serves only lines about a
crash, because others may quote what a person said.
"""

import os
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import anyio
from anyio.abc import ByteReceiveStream, Process

_LINES_KEPT = 20
_LINE_LIMIT = 300  # characters
_LAST_WORDS_S = 0.5  # what a dead child wrote is in the pipe; a grandchild that holds the pipe is not waited for
_CRASH = re.compile(r"GGML_ASSERT|GGML_ABORT|CUDA error|Segmentation fault|terminate called")
_ADDRESS = re.compile(r"^https?://\S+$")


class Child:
    """A process that runs."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._address: str | None = None
        self._has_spoken = anyio.Event()
        self._has_said_all = anyio.Event()
        self._serves = False
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def last_words(self) -> list[str]:
        """The lines kept of its stderr."""
        return list(self._lines)

    async def address(self) -> str:
        """The address that it prints as a line of its own; waits for ever if it prints none."""
        await self._has_spoken.wait()
        assert self._address is not None
        return self._address

    async def ended(self) -> int:
        """Its exit status, when it has ended and its last words were read; negative: the signal that ended it."""
        status = await self._process.wait()
        with anyio.move_on_after(_LAST_WORDS_S):
            await self._has_said_all.wait()
        return status

    def serves(self) -> None:
        """From now on it hears what people say: keep only lines about a crash."""
        self._serves = True

    def kill(self) -> None:
        """End it without asking."""
        if self._process.returncode is None:
            self._process.kill()

    async def read_stdout(self) -> None:
        """Read to the end."""
        async for line in _lines(self._process.stdout):
            if self._address is None and _ADDRESS.match(line):
                self._address = line
                self._has_spoken.set()

    async def read_stderr(self) -> None:
        """Read to the end."""
        async for line in _lines(self._process.stderr):
            if not self._serves or _CRASH.search(line):
                self._lines.append(line)
        self._has_said_all.set()

    async def end(self, grace_s: float) -> None:
        """Ask it to end, and end it after the grace."""
        if self._process.returncode is None:
            self._process.terminate()
            with anyio.move_on_after(grace_s):
                await self._process.wait()
        self.kill()
        await self._process.aclose()


@asynccontextmanager
async def started(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, grace_s: float
) -> AsyncIterator[Child]:
    """A child that lives inside the block; OSError when it cannot be started.

    It is in a session of its own, so that a Ctrl-C in a terminal ends us first and it in order.
    """
    process = await anyio.open_process(
        command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    child = Child(process)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.read_stdout, name="stdout")
            tasks.start_soon(child.read_stderr, name="stderr")
            yield child
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):  # bounded: the grace, then a kill
            await child.end(grace_s)


async def _lines(stream: ByteReceiveStream | None) -> AsyncIterator[str]:
    """Lines without their ends, each cut at the limit."""
    pending = b""
    while stream is not None:
        try:
            chunk = await stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return
        *whole, pending = (pending + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip()[:_LINE_LIMIT]
        pending = pending[: 4 * _LINE_LIMIT]

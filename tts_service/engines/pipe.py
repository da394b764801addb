"""One child process of ours and the pipes to it, seen from its parent; child.py is the other end.

Every wait has a deadline, so a child that hangs is found out. A pipe whose child ended, hung or wrote nonsense has
raised ChildGone; it is then closed and never used again. A refusal is raised as the error that the child told.

`KeptChild` decides when a child that is gone is replaced: at once the first time, then after longer and longer pauses,
in which requests fail without trying.
"""

import json
import os
import select
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from shared.clock import thread_now_s
from shared.errors import EngineFailed, ParleyError, leaves
from shared.metrics import ENGINE_RESTARTS
from shared.threads import StopToken

SEND_LIMIT_S: Final = 5.0  # a child's listening thread has nothing else to do
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0

_LENGTH: Final = struct.Struct("<I")
_REFUSAL: Final = 1 << 31
_REFUSAL_LIMIT_BYTES: Final = 1 << 16
_BLOCK_LIMIT_BYTES: Final = 1 << 26
_READ_BYTES: Final = 1 << 16
_TICK_S: Final = 0.05  # how often a silent wait looks at the stop token
_ROOT: Final = Path(__file__).resolve().parents[2]
_ERRORS: Final = {error.code: error for error in leaves()}


class ChildGone(Exception):
    """The child ended, was silent for too long, or wrote nonsense."""


class ChildPipe:
    """Started as it is made, in the folder of the project; raises ChildGone when there is no such program."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        try:
            # A session of its own: Ctrl-C in a terminal reaches only the service, which lets its children go in order.
            self._child = subprocess.Popen(  # noqa: S603 (a command of ours)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd=_ROOT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError:
            raise ChildGone from None
        assert self._child.stdin and self._child.stdout
        self._in, self._out = self._child.stdin, self._child.stdout
        os.set_blocking(self._in.fileno(), False)
        self._in_use = threading.Lock()  # a slot may be closed while another thread reads of it
        self._received = bytearray()
        self._is_closed = False
        self._hello: dict[str, Any] | None = None
        self.blocks_read = 0

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return not self._is_closed and self._child.poll() is None

    def hello(self, limit_s: float, stop: StopToken | None = None) -> dict[str, Any] | None:
        """What the child says first, read once; None if `stop` was set before. Raises ChildGone or what it refuses."""
        if self._hello is None:
            block = self.read_block(limit_s, stop)
            if block is None:
                return None
            self._hello = _json_object(block)
        return self._hello

    def send(self, fields: Mapping[str, object]) -> None:
        """Send one line. Raises ChildGone."""
        rest = memoryview(json.dumps(fields).encode() + b"\n")
        deadline_s = thread_now_s() + SEND_LIMIT_S
        while rest:
            rest = rest[self._write(rest) :]
            if rest and thread_now_s() > deadline_s:
                raise ChildGone

    def read_block(self, limit_s: float, stop: StopToken | None = None) -> bytes | None:
        """The next block, b"" at the end of an answer, None if `stop` was set first. Raises ChildGone, or a refusal."""
        deadline_s = thread_now_s() + limit_s
        if not self._has(_LENGTH.size, deadline_s, stop):
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        is_refusal = bool(length & _REFUSAL)
        length &= _REFUSAL - 1
        if length > (_REFUSAL_LIMIT_BYTES if is_refusal else _BLOCK_LIMIT_BYTES):
            raise ChildGone
        if not self._has(_LENGTH.size + length, deadline_s, stop):
            return None
        block = bytes(self._received[_LENGTH.size : _LENGTH.size + length])
        del self._received[: _LENGTH.size + length]
        if is_refusal:
            raise _told(_json_object(block))
        self.blocks_read += 1
        return block

    def close(self) -> None:
        """End the child, however busy it is, and reap it; a thread that reads of it is told ChildGone."""
        self._child.kill()
        self._child.wait()
        with self._in_use:
            self._is_closed = True
            self._in.close()
            self._out.close()

    def _has(self, count: int, deadline_s: float, stop: StopToken | None) -> bool:
        """Whether `count` bytes are there before `stop`; a block that was begun stays whole for the next read."""
        while len(self._received) < count:
            if stop is not None and stop.is_stopped():
                return False
            if thread_now_s() > deadline_s:
                raise ChildGone
            self._received += self._read()
        return True

    def _read(self) -> bytes:
        """What comes within a tick, if anything does. Raises ChildGone at the end."""
        with self._in_use:
            if self._is_closed:
                raise ChildGone
            if not _is_ready(self._out.fileno(), select.POLLIN):
                return b""
            read = os.read(self._out.fileno(), _READ_BYTES)
        if not read:
            raise ChildGone
        return read

    def _write(self, content: memoryview) -> int:
        """Write what goes within a tick, if anything does. Raises ChildGone at the end."""
        with self._in_use:
            if self._is_closed:
                raise ChildGone
            if not _is_ready(self._in.fileno(), select.POLLOUT):
                return 0
            try:
                return os.write(self._in.fileno(), content)
            except OSError:
                raise ChildGone from None


class KeptChild:
    """The child of one slot of the engine `name`; `start` makes a pipe to another one, or raises ChildGone."""

    def __init__(
        self,
        name: str,
        start: Callable[[], ChildPipe],
        clock_s: Callable[[], float] = thread_now_s,
        first: ChildPipe | None = None,
    ) -> None:
        self._name = name
        self._start = start
        self._clock_s = clock_s
        self._losses = 0  # children in a row that were lost before they finished a request
        self._not_before_s = 0.0
        self._is_closed = False
        self._pipe: ChildPipe | None = first or start()

    @property
    def current(self) -> ChildPipe | None:
        """The pipe to the child that was there last, or None since it was lost."""
        return self._pipe

    def living(self) -> ChildPipe:
        """A pipe to a child that lives, started anew if it must be. Raises EngineFailed."""
        if self._is_closed:
            raise EngineFailed("The speech engine is shutting down.", service="tts")
        if self._pipe and not self._pipe.is_alive():
            self.lost()
        if self._pipe is None:
            wait_ms = round((self._not_before_s - self._clock_s()) * 1000)
            if wait_ms > 0:
                raise EngineFailed("The speech engine is starting again.", service="tts", retry_after_ms=wait_ms)
            self._pipe = self._started_again()
        return self._pipe

    def worked(self) -> None:
        """The child finished a request: when it is lost, the next one is started at once."""
        self._losses = 0

    def lost(self) -> None:
        """The child is gone, or is not worth keeping: it is ended."""
        if self._pipe:
            self._pipe.close()
            self._pipe = None
        if self._losses:
            self._not_before_s = self._clock_s() + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._losses - 1))
        self._losses += 1

    def close(self) -> None:
        """End the child, and start no other; a second call does nothing."""
        self._is_closed = True
        if self._pipe:
            self._pipe.close()

    def _started_again(self) -> ChildPipe:
        ENGINE_RESTARTS.labels("tts", self._name).inc()
        try:
            return self._start()
        except ChildGone:
            self.lost()
            raise EngineFailed("The speech engine does not start.", service="tts") from None


def _is_ready(descriptor: int, event: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(_TICK_S * 1000))


def _json_object(block: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        fields = json.loads(block)
        if isinstance(fields, dict):
            return fields
    raise ChildGone


def _told(fields: Mapping[str, Any]) -> ParleyError:
    """The error that a child told; one that this side does not know is a failure of the engine."""
    error = _ERRORS.get(fields.get("code", ""), EngineFailed)
    message = str(fields.get("message") or "The speech engine failed.")
    return error(message, service="tts", param=fields.get("param"), retry_after_ms=fields.get("retry_after_ms"))

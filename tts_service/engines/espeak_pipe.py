"""One espeak-ng child process and the pipes to it; espeak_child.py says what travels in them.

Every read has a deadline, so a child that hangs is found out. A pipe whose child ended, or answered wrongly, is closed
and never used again.
"""

import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.clock import thread_now_s
from shared.threads import StopToken

_LENGTH: Final = struct.Struct("<I")
_REFUSED: Final = 0xFFFFFFFF
_BLOCK_LIMIT_BYTES: Final = 1 << 20
_READ_BYTES: Final = 65_536
_TICK_S: Final = 0.05  # how often a silent wait looks at the stop token
_START_LIMIT_S: Final = 10.0
_COMMAND: Final = (sys.executable, "-m", "tts_service.engines.espeak_child")
_ROOT: Final = Path(__file__).resolve().parents[2]


class ChildGone(Exception):
    """The child ended, was silent for too long, or wrote nonsense."""


class VoiceRefused(Exception):
    """espeak does not know the voice."""


class EspeakPipe:
    """Started as it is made; raises ChildGone when no child comes up."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in a terminal reaches only the service, which lets its children go in order.
        self._child = subprocess.Popen(  # noqa: S603 (a fixed command of ours)
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=_ROOT, start_new_session=True
        )
        assert self._child.stdin and self._child.stdout
        self._in, self._out = self._child.stdin, self._child.stdout
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._received = bytearray()
        self._is_closed = False
        self.blocks_read = 0
        try:
            hello = json.loads(self.read_block(_START_LIMIT_S) or b"{}")
            self.sample_rate: int = hello["sample_rate"]
            self.voices: list[dict[str, Any]] = hello["voices"]
            self.variants: list[str] = hello["variants"]
        except (ChildGone, ValueError, KeyError):
            self.close()
            raise ChildGone from None

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return not self._is_closed and self._child.poll() is None

    def send(self, fields: Mapping[str, object]) -> None:
        """Send one line; it fits the kernel's buffer, and the child's reader thread never waits. Raises ChildGone."""
        try:
            self._in.write(json.dumps(fields).encode() + b"\n")
        except OSError:
            raise ChildGone from None

    def read_block(self, limit_s: float, stop: StopToken | None = None) -> bytes | None:
        """The next block, b"" at the end of an answer, None if `stop` was set first. Raises ChildGone, VoiceRefused."""
        deadline_s = thread_now_s() + limit_s
        if not self._has(_LENGTH.size, deadline_s, stop):
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        if length == _REFUSED:
            del self._received[: _LENGTH.size]
            raise VoiceRefused
        if length > _BLOCK_LIMIT_BYTES:
            raise ChildGone
        if not self._has(_LENGTH.size + length, deadline_s, stop):
            return None
        block = bytes(self._received[_LENGTH.size : _LENGTH.size + length])
        del self._received[: _LENGTH.size + length]
        self.blocks_read += 1
        return block

    def _has(self, count: int, deadline_s: float, stop: StopToken | None) -> bool:
        """Whether `count` bytes are there before `stop`; a block that was begun stays whole for the next read."""
        while len(self._received) < count:
            if stop is not None and stop.is_stopped():
                return False
            if thread_now_s() > deadline_s:
                raise ChildGone
            if self._poll.poll(_TICK_S * 1000):
                read = os.read(self._out.fileno(), _READ_BYTES)
                if not read:
                    raise ChildGone
                self._received += read
        return True

    def close(self) -> None:
        """End the child, however busy it is, and reap it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._child.kill()
        self._child.wait()
        self._in.close()
        self._out.close()

"""The child's end of the pipes that pipe.py reads: what every child process of ours does before and beside its work.

Its stdin brings lines of JSON, and its end is the leash: a thread waits for it and ends the process in the middle of
anything, so that a child never outlives its parent, however that died. (A death signal from the kernel would follow the
thread that started the child, and threads come and go.)

Its stdout carries blocks: `length (u32, little-endian) | bytes`. A length with the bit REFUSAL is that of an error,
told as JSON. Nothing else may be written there, so what a library prints is dropped.
"""

import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from shared.errors import ParleyError

LENGTH: Final = struct.Struct("<I")
REFUSAL: Final = 1 << 31


class Blocks:
    """Where a child's blocks go: the stdout that the process began with. Made once, before any library is loaded."""

    def __init__(self) -> None:
        self._out = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)

    def write(self, content: bytes) -> None:
        """A block; the empty one says that an answer is over."""
        self._write(LENGTH.pack(len(content)) + content)

    def refuse(self, error: ParleyError) -> None:
        """The end of an answer that failed."""
        fields = {
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "retry_after_ms": error.retry_after_ms,
        }
        content = json.dumps(fields).encode()
        self._write(LENGTH.pack(REFUSAL | len(content)) + content)

    def _write(self, content: bytes) -> None:
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._out, view) :]
        except BrokenPipeError:
            os._exit(0)  # nobody reads any more


def hear(take: Callable[[dict[str, Any]], None]) -> None:
    """Give every line of stdin to `take`, on a thread of its own; the end of stdin ends the process."""
    threading.Thread(target=_hear, args=(take,), daemon=True).start()


def _hear(take: Callable[[dict[str, Any]], None]) -> None:
    try:
        for line in sys.stdin.buffer:
            take(json.loads(line))
    finally:
        os._exit(0)

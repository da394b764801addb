"""What a session did, written down as it happens, so that another gateway can go on with it after this one was killed.

One file a session, of records with their length and a checksum in front. What is put in between two calls of `write`
reaches the file in one step; a torn end is passed over. The file is not synced: it survives the end of the process, not
that of the machine. It holds speech and text as the store does, only its owner may read it, and it is removed with the
session. A disk that takes no more ends the writing, not the session. Several gateways may share the folder: a journal
that one of them writes is locked.
"""

import fcntl
import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.core.records import Record, decode, encode
from gateway.core.trace import Trace

SUFFIX: Final = ".journal"
_FRONT: Final = 8  # bytes before each record: 4 of its length, 4 of its CRC-32
log = logging.getLogger(__name__)


class Journal:
    """The records of one session. Without a path nothing is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._file: int | None = None
        self.bytes = 0  # in the file
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed, or its gateway is gone
            self.bytes = os.fstat(self._file).st_size
            whole = sum(_FRONT + len(body) for body, _ in _records(path.read_bytes())) if self.bytes else 0
            if whole < self.bytes:  # what is written behind a torn record would never be read
                os.ftruncate(self._file, whole)
                self.bytes = whole
        except OSError:
            self._give_up()

    def put(self, record: Record) -> None:
        """One more, which is written with the next `write`."""
        if self._file is not None:
            self._waiting.append(_framed(record))

    def write(self) -> None:
        """Everything that was put in, in one step. A few microseconds: the disk itself is not waited for."""
        if not self._waiting or self._file is None:
            return
        whole, self._waiting = b"".join(self._waiting), []
        try:
            written = os.write(self._file, whole)
        except OSError:
            return self._give_up()
        self.bytes += written
        if written < len(whole):
            self._give_up()

    def begin_anew(self, records: list[Record]) -> None:
        """Only these are worth keeping: a new file takes the place of the old one, or the old one stays."""
        if self._file is None or self._path is None:
            return
        newer = self._path.with_suffix(".new")
        try:
            newer.unlink(missing_ok=True)
            with open(os.open(newer, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(b"".join(map(_framed, records)))
            newer.replace(self._path)
        except OSError:
            return self._give_up()
        self._waiting = []
        os.close(self._file)
        self._file = None
        self._open(self._path)

    def close(self, *, remove: bool) -> None:
        """The end; the file stays for another gateway unless it is removed."""
        self.write()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if remove and self._path is not None:
            self._path.unlink(missing_ok=True)

    def _give_up(self) -> None:
        log.error("a session cannot be written down any more", exc_info=True)
        if self._file is not None:
            os.close(self._file)
        self._file, self._waiting = None, []


def path_of(folder: Path, session_id: str) -> Path | None:
    """Where the journal of a session is; None for a name that is no session's."""
    return folder / f"{session_id}{SUFFIX}" if session_id.replace("_", "").isalnum() else None


def is_held(path: Path) -> bool:
    """Whether a gateway writes there now."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as failure:
        return not isinstance(failure, FileNotFoundError)
    return False


def read(path: Path) -> Trace | None:
    """What stands at the end of a journal; None when there is none, or it has no head. For a thread."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    trace = Trace()
    for _, record in _records(content):
        trace.take(record)
    return trace if trace.opened else None


def _framed(record: Record) -> bytes:
    content = encode(record)
    return len(content).to_bytes(4) + zlib.crc32(content).to_bytes(4) + content


def _records(content: bytes) -> Iterator[tuple[bytes, Record]]:
    """Each with its bytes, up to the first that is torn."""
    at = 0
    while at + _FRONT <= len(content):
        length = int.from_bytes(content[at : at + 4])
        body = content[at + _FRONT : at + _FRONT + length]
        if len(body) < length or zlib.crc32(body).to_bytes(4) != content[at + 4 : at + _FRONT]:
            return
        record = decode(body)
        if record is None:
            return
        yield body, record
        at += _FRONT + length

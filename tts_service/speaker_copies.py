"""Copies of prepared speakers on the disk, so that a start does not prepare them again.

A copy is plain bytes behind a digest over them and over what they were made of: the engine, its version and the
revision of the recording. One that does not agree is thrown away, and never reaches an engine. All calls block.
"""

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.ids import new_id
from tts_service import durable
from tts_service.engines.base import Engine

MAGIC: Final = b"parley speaker 1\n"
DIGEST_BYTES: Final = hashlib.sha256().digest_size
LONGEST_BYTES: Final = 64 * 1024 * 1024  # of one speaker; a few MB are usual
DISK_LIMIT_BYTES: Final = 1024 * 1024 * 1024
SUFFIX: Final = ".speaker"
log = logging.getLogger(__name__)


class SpeakerCopies:
    """The copies of one engine in a folder, where other engines may keep theirs."""

    def __init__(self, folder: Path, engine: Engine, limit_bytes: int = DISK_LIMIT_BYTES) -> None:
        self._folder = folder
        self._engine = engine
        self._limit_bytes = limit_bytes

    def read(self, revision: str) -> bytes | None:
        """What was prepared, or None where there is no sound copy."""
        path = self._path(revision)
        try:
            with path.open("rb") as file:
                content = file.read(len(MAGIC) + DIGEST_BYTES + LONGEST_BYTES + 1)
        except OSError:
            return None
        prepared = content[len(MAGIC) + DIGEST_BYTES :]
        if len(prepared) > LONGEST_BYTES or content != self._sealed(revision, prepared):
            log.warning("a copy of a speaker was damaged, and is thrown away")
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return prepared

    def write(self, revision: str, prepared: bytes) -> None:
        """Keep a copy, if the disk takes it; the oldest ones go when there are too many."""
        if len(prepared) > LONGEST_BYTES:
            return
        try:
            durable.replace(self._path(revision), self._sealed(revision, prepared), new_id("spk"))
            self._make_room()
        except OSError:
            log.warning("a speaker could not be kept on the disk")

    def forget(self, revision: str) -> None:
        """Drop the copies of a recording, whichever engine they are of. Raises OSError when one of them stays."""
        failures = list[OSError]()
        for path in self._folder.glob(f"{_hashed(revision)}-*{SUFFIX}"):
            try:
                path.unlink(missing_ok=True)
            except OSError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def keep_only(self, revisions: Iterable[str]) -> None:
        """Drop what belongs to no recording that is known, and what a crash left."""
        known = {_hashed(revision) for revision in revisions}
        try:
            durable.sweep(self._folder)
            for path in self._folder.glob(f"*{SUFFIX}"):
                if path.name.partition("-")[0] not in known:
                    path.unlink(missing_ok=True)
        except OSError:
            log.warning("copies of speakers that are known no more cannot be dropped")

    def _make_room(self) -> None:
        sizes = [(path.stat(), path) for path in self._folder.glob(f"*{SUFFIX}")]
        total_bytes = sum(stat.st_size for stat, _ in sizes)
        for stat, path in sorted(sizes, key=lambda one: one[0].st_mtime_ns):
            if total_bytes <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            total_bytes -= stat.st_size

    def _path(self, revision: str) -> Path:
        return self._folder / f"{_hashed(revision)}-{_hashed(self._maker())}{SUFFIX}"

    def _maker(self) -> str:
        return f"{self._engine.name}\0{self._engine.capabilities.version}"

    def _sealed(self, revision: str, prepared: bytes) -> bytes:
        made_of = f"{self._maker()}\0{revision}\0".encode()
        return MAGIC + hashlib.sha256(made_of + prepared).digest() + prepared


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]

"""Audio as files: each written whole or not at all, never changed, known by a name that is used once.

What refers to a file is not kept here. A file to which nothing refers yet may belong to somebody who is about to; one
that nothing refers to for `STRAY_S` never will, and is swept.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from shared import clock, ids

STRAY_S = 3600.0
UNFINISHED = ".part"


class KeptAudioFiles:
    """A folder of audio. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, content: bytes) -> str:
        """Keep audio; its name. When this returns it survives a loss of power."""
        name = ids.new_id("aud")
        place = self._path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(UNFINISHED)
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(place)
        for folder in (place.parent, self._folder):
            _sync(folder)
        return name

    def read(self, name: str) -> bytes | None:
        """What was kept under a name; None when it is there no more."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are gone already are no fault."""
        for name in names:
            with suppress(FileNotFoundError):
                self._path(name).unlink()

    def old(self) -> Iterator[str]:
        """The names of all files that have been there for so long that something refers to them, or never will.

        What was never finished is removed on the way.
        """
        newest_s = clock.today().timestamp() - STRAY_S
        for place in self._folder.glob("*/aud_*"):
            with suppress(FileNotFoundError):  # another gateway sweeps the same folder
                if place.stat().st_mtime > newest_s:
                    continue
                if place.suffix == UNFINISHED:
                    place.unlink()
                else:
                    yield place.name

    def _path(self, name: str) -> Path:
        return self._folder / name[-2:] / name  # so that no folder holds too many


def _sync(folder: Path) -> None:
    """A new name in a folder is as durable as what it names only then."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

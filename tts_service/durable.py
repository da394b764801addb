"""Files that are there whole or not at all, after a crash too, and for nobody but the service's own user."""

import os
import shutil
from pathlib import Path
from typing import Final

PREFIX: Final = ".part-"  # of what is being written, or deleted; whoever starts sweeps it away


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, unless it is there."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a new file to the disk itself. Raises OSError, also when there is such a file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes, unique: str) -> None:
    """Put a file where there may be one, in one step. `unique` tells apart those who write at once."""
    make_folder(path.parent)
    part = path.parent / f"{PREFIX}{unique}"
    try:
        write(part, content)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def put_folder(path: Path, files: dict[str, bytes]) -> None:
    """Put a new folder with these files, in one step. Raises OSError, and leaves nothing then."""
    make_folder(path.parent)
    part = path.parent / f"{PREFIX}{path.name}"
    try:
        part.mkdir(mode=0o700)
        for name, content in files.items():
            write(part / name, content)
        sync(part)
        part.rename(path)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync(path.parent)


def drop_folder(path: Path) -> None:
    """Take a folder away, in one step; then its files go. Raises OSError; the next try goes on where this one ended."""
    part = path.parent / f"{PREFIX}{path.name}"
    try:
        path.rename(part)
    except FileNotFoundError:
        if not part.is_dir():
            raise
    sync(path.parent)
    shutil.rmtree(part)


def sweep(folder: Path) -> None:
    """Take away what a crash left half done."""
    for part in folder.glob(f"{PREFIX}*"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Turns and audio to keep, and a store on each kind of database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.store import KeptTurn, Store, open_store
from gateway.turn_audio import KeptAudio, Tier
from tests.support.databases import empty_database

NOON = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)


def kept(turn_id: str, text: str = "hello", **others: Any) -> KeptTurn:
    """A turn; what is not said here is always the same."""
    usual: dict[str, Any] = {
        "persona": "assistant",
        "user_text": text,
        "heard_text": f"heard {text}",
        "heard_ms": 900,
        "finish_reason": "stop",
        "timings": {"first_audio": 300, "done": 5},
        "ended_at": NOON,
    }
    return KeptTurn(turn_id, **(usual | others))


@asynccontextmanager
async def empty_store(kind: str, folder: Path) -> AsyncIterator[Store]:
    """A store in an empty database."""
    async with empty_database(kind, folder) as url, open_store(url, folder / "audio") as store:
        yield store


def sound(content: bytes = b"one", tier: Tier = "fast", offsets_ms: Sequence[int] = (0, 400)) -> KeptAudio:
    """The audio of an answer."""
    return KeptAudio(content, "audio/ogg", 24_000, 900, tuple(offsets_ms), tier, NOON)


def files_in(folder: Path) -> dict[str, bytes]:
    """What lies in a folder of audio and below it."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

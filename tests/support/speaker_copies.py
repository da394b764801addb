"""Copies of prepared speakers in a folder of a test."""

from pathlib import Path

from tts_service.engines.base import Capabilities
from tts_service.engines.fake import FakeEngine
from tts_service.speaker_copies import SpeakerCopies


def copies(folder: Path, version: str = "1", limit_bytes: int = 1 << 30) -> SpeakerCopies:
    class Versioned(FakeEngine):
        capabilities = Capabilities(("en",), (), 1_000, "chunk", can_clone=True, version=version)

    return SpeakerCopies(folder / "speakers", Versioned(), limit_bytes)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "speakers").iterdir()) if (folder / "speakers").exists() else []

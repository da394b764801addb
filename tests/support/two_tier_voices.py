"""A tts_service on a port with two engines that a test commands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from anyio.lowlevel import checkpoint

from tests.support.llm import serving
from tests.support.tts_peer import LOADING
from tts_service.app import build_app
from tts_service.engines.fake import FakeEngine
from tts_service.settings import TtsSettings


@dataclass
class Voices:
    """A tts_service on a port, and its two engines."""

    folder: Path
    fast: FakeEngine = field(default_factory=FakeEngine)
    hq: FakeEngine = field(default_factory=FakeEngine)
    address: str = ""

    @asynccontextmanager
    async def served(self, *, is_two_tier: bool = True) -> AsyncIterator["Voices"]:
        folders: dict[str, Any] = {
            name: self.folder / name for name in ("voices_dir", "seed_voices_dir", "speakers_dir", "hq_dir")
        }
        settings = TtsSettings(engine="fake", **folders)
        app = build_app(settings, self.fast, self.hq if is_two_tier else None)
        async with serving(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            asked = {"message_id": "m", "text": "-", "voice": "nobody"}
            while (await client.post("/v1/rerenders", json=asked)).json()["error"]["message"] == LOADING:
                await checkpoint()
            self.address = url.replace("http", "ws")
            yield self

    def said(self) -> list[str]:
        """What the finer engine was asked to say."""
        return [request.text for request in self.hq.requests]

    def kept(self) -> list[Path]:
        """What the service keeps of it."""
        return [path for path in (self.folder / "hq_dir").rglob("*") if path.is_file()]

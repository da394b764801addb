"""A tts_service with two engines that a test holds in its hands, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from tests.support.tts_peer import LOADING, report
from tts_service.app import build_app
from tts_service.engines.fake import FakeEngine
from tts_service.settings import TtsSettings


@dataclass
class House:
    """A running service."""

    app: FastAPI
    client: httpx.AsyncClient
    fast: FakeEngine
    hq: FakeEngine

    async def ask(self, text: str, message_id: str = "msg_1", **more: Any) -> httpx.Response:
        return await self.client.post("/v1/rerenders", json={"message_id": message_id, "text": text, **more})

    async def until(self, state: str, key: str) -> dict[str, Any]:
        """What there is of it, once it is in that state."""
        while True:
            found: dict[str, Any] = (await self.client.get(f"/v1/rerenders/{key}")).raise_for_status().json()
            if found["state"] == state:
                return found
            await checkpoint()  # such a request never waits

    async def until_hq_requests(self, count: int) -> None:
        while len(self.hq.requests) < count:
            await checkpoint()

    def hq_texts(self) -> list[str]:
        return [request.text for request in self.hq.requests]


@asynccontextmanager
async def house(folder: Path, hq: FakeEngine | None = None, **settings: Any) -> AsyncIterator[House]:
    """A service whose both engines have started, or have failed to."""
    fast, hq = FakeEngine(), hq or FakeEngine()
    app = build_app(TtsSettings(engine="fake", hq_dir=folder / "hq", **settings), fast, hq)
    with anyio.fail_after(30):
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://tts") as client:
                assert await report(app) == "ready"
                found = House(app, client, fast, hq)
                while (await found.ask("-", voice="nobody")).json()["error"]["message"] == LOADING:
                    await checkpoint()
                yield found
    assert (fast.running, hq.running, fast.open_slots, hq.open_slots) == (0, 0, 0, 0)

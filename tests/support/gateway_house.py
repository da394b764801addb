"""A gateway in memory, with stand-ins for its services and a real database in a temporary folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from gateway.client_socket import ClientSocket
from gateway.llm_client import LlmClient
from gateway.personas import load_personas
from gateway.session import House, Session
from gateway.settings import GatewaySettings
from gateway.store import open_store
from gateway.watch import ServiceWatch
from tests.support.client import MemoryClient
from tests.support.services import FakeAsr, FakeLlm, FakeTts, services


@dataclass
class TestHouse:
    """The shared parts, the stand-ins, and a way to open sessions."""

    __test__ = False

    house: House
    asr: FakeAsr
    llm: FakeLlm
    tts: FakeTts
    tasks: TaskGroup
    clients: list[MemoryClient] = field(default_factory=list)

    async def open(self, transport: str = "binary") -> tuple[MemoryClient, Session]:
        """A session whose recogniser is connected, and its client."""
        client = MemoryClient()
        self.clients.append(client)
        connected = self.asr.tally.seen.count("connected")
        session = Session(ClientSocket(await client.websocket()), self.house, "somebody", transport)
        self.tasks.start_soon(session.run)
        await client.see("ready")
        await self.asr.tally.wait_for("connected", connected + 1)
        await self.asr.tally.wait_for("config", connected + 1)
        return client, session

    async def turns(self, session: Session) -> list[dict[str, Any]]:
        return await self.house.store.turns(session.session_id) or []


@asynccontextmanager
async def open_house(folder: Path, **settings: Any) -> AsyncIterator[TestHouse]:
    """A gateway for one test; leaving ends its sessions."""
    async with services() as (recogniser, model, voice), open_store(f"sqlite+aiosqlite:///{folder}/t.db") as store:
        wanted = GatewaySettings(
            asr_url=f"ws://127.0.0.1:{recogniser.port}", tts_url=f"ws://127.0.0.1:{voice.port}", **settings
        )
        client = LlmClient("http://llm", 1.0, 5.0, model)
        async with client.opened() as llm, anyio.create_task_group() as tasks:
            house = House(wanted, llm, store, load_personas(wanted.personas_dir), ServiceWatch({}))
            test_house = TestHouse(house, recogniser, model, voice, tasks)
            yield test_house
            tasks.cancel_scope.cancel()
        for one in test_house.clients:
            one.close()

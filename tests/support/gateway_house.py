"""A gateway in memory, with stand-ins for its services and a real database in a temporary folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from gateway.client_socket import ClientSocket
from gateway.house import House
from gateway.llm_client import LlmClient
from gateway.load import HouseLoad
from gateway.lobby import Lobby
from gateway.personas import load_personas
from gateway.session import Session
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
    lobby: Lobby = field(init=False)
    clients: list[MemoryClient] = field(default_factory=list)
    _stop: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _stopped: anyio.Event = field(default_factory=anyio.Event)

    async def open(self, transport: str = "binary") -> tuple[MemoryClient, Session]:
        """A session whose recogniser is connected, and its client."""
        connected = self.asr.tally.seen.count("connected")
        client = await self.call(transport)
        session = self.lobby.session((await client.see("ready"))["session_id"])
        assert session is not None
        await self.asr.tally.wait_for("connected", connected + 1)
        await self.asr.tally.wait_for("config", connected + 1)
        return client, session

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """A lobby, until it is stopped."""
        with anyio.CancelScope() as self._stop:
            async with Lobby(self.house).opened() as self.lobby:
                task_status.started()
                await anyio.sleep_forever()
        self._stopped.set()

    async def restart(self) -> None:
        """End the gateway's sessions where they stand, and open it again: all that is left is what was written down."""
        self._stopped = anyio.Event()
        self._stop.cancel()
        await self._stopped.wait()
        await self.tasks.start(self.serve)

    async def call(self, transport: str = "binary") -> MemoryClient:
        """A connection, whatever becomes of it."""
        client = MemoryClient()
        self.clients.append(client)
        self.tasks.start_soon(self.lobby.receive, ClientSocket(await client.websocket()), "somebody", transport)
        return client

    async def turns(self, session: Session) -> list[dict[str, Any]]:
        return await self.house.store.turns(session.session_id) or []


@asynccontextmanager
async def open_house(folder: Path, load: HouseLoad | None = None, **settings: Any) -> AsyncIterator[TestHouse]:
    """A gateway for one test; leaving ends its sessions."""
    async with services() as (recogniser, model, voice), open_store(f"sqlite+aiosqlite:///{folder}/t.db") as store:
        stand_ins = {
            "asr_url": f"ws://127.0.0.1:{recogniser.port}", "tts_url": f"ws://127.0.0.1:{voice.port}"
        }  # fmt: skip
        wanted = GatewaySettings(**{"sessions_dir": folder / "sessions", **stand_ins, **settings})
        client = LlmClient("http://llm", 1.0, 5.0, model)
        async with client.opened() as llm, anyio.create_task_group() as tasks:
            house = House(wanted, llm, store, load_personas(wanted.personas_dir), ServiceWatch({}), load or HouseLoad())
            test_house = TestHouse(house, recogniser, model, voice, tasks)
            await tasks.start(test_house.serve)
            yield test_house
            tasks.cancel_scope.cancel()
        for one in test_house.clients:
            one.close()

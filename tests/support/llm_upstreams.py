"""Several canned servers on loopback, and the front that chooses among them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest

from llm_service.app import assemble, build_app
from llm_service.core.answer import Answerer, Delta, Part
from llm_service.engines.fake import Canned, Exchange, FakeEngine, Script
from llm_service.openai_wire import ChatRequest
from llm_service.settings import LlmSettings
from llm_service.upstreams import Upstreams
from tests.support.llm import DONE, FINISH, HELLO, delta, says, serving

READERS_OF_TIME = ("upstream", "exchange", "catalogue", "dialect")


class Clock:
    """The loop's time, moved on by a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        for name in READERS_OF_TIME:
            monkeypatch.setattr(f"llm_service.{name}.now_s", lambda: anyio.current_time() + self.ahead_s)


@dataclass
class Server:
    """A server elsewhere whose script a test sets; it keeps what it was asked."""

    script: Script = field(default_factory=lambda: says(delta("hi"), FINISH, DONE))
    models: tuple[str, ...] | None = None  # None: it lists none
    asked: list[Exchange] = field(default_factory=list)
    listings: int = 0

    def __post_init__(self) -> None:
        self.engine = FakeEngine(self._answer)
        self.engine.listing = self._list

    async def _answer(self, exchange: Exchange) -> None:
        self.asked.append(exchange)
        await self.script(exchange)

    async def _list(self, exchange: Exchange) -> None:
        self.listings += 1
        if self.models is None:
            await exchange.tell(500, {"error": "m"})
        else:
            await exchange.tell(200, {"object": "list", "data": [{"id": name} for name in self.models]})

    async def until_left(self) -> None:
        """Wait until nobody is connected."""
        await self.engine.until(lambda engine: engine.connections == 0)


@asynccontextmanager
async def settled(
    servers: Mapping[str, Server], specs: Mapping[str, Mapping[str, Any]] | None = None, **fields: Any
) -> AsyncIterator[LlmSettings]:
    """Settings that list the servers, which answer inside the block."""
    async with AsyncExitStack() as stack:
        listed = []
        for name, server in servers.items():
            await stack.enter_async_context(server.engine.running())
            target = await server.engine.target(0)
            assert target is not None
            listed.append({"name": name, "url": target.address, **(specs or {}).get(name, {})})
        own = {"engine": "fake", "start_wait_s": 0, "trim": False, "model_name": "own-model"}
        yield LlmSettings.model_validate({**own, "upstreams": listed, **fields})


@asynccontextmanager
async def fronted(
    own: FakeEngine | None,
    servers: Mapping[str, Server],
    specs: Mapping[str, Mapping[str, Any]] | None = None,
    **fields: Any,
) -> AsyncIterator[Upstreams]:
    """The front of an engine and the servers."""
    async with settled(servers, specs, **fields) as settings:
        upstreams = Upstreams(settings, own)
        async with upstreams.running():
            yield upstreams


@asynccontextmanager
async def client_of(
    servers: Mapping[str, Server], specs: Mapping[str, Mapping[str, Any]] | None = None, **fields: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service with an engine of its own, unless that is `openai`, and the servers."""
    async with settled(servers, specs, **fields) as settings:
        app = build_app(settings) if settings.engine == "openai" else assemble(settings, FakeEngine(Canned()))
        async with serving(app) as at, httpx.AsyncClient(base_url=at, timeout=20, trust_env=False) as client:
            yield client


async def parts_told(upstreams: Upstreams, model: str | None = None, **fields: Any) -> list[Part]:
    """Everything of one answer."""
    request = ChatRequest.model_validate({"messages": HELLO, "model": model, **fields})
    async with upstreams.answer(request) as parts:
        return [part async for part in parts]


async def answer(upstreams: Upstreams, model: str | None = None, **fields: Any) -> tuple[str, str]:
    """Who answered, by its public name, and the text."""
    first, *parts = await parts_told(upstreams, model, **fields)
    assert isinstance(first, Answerer)
    return first.model, "".join(part.text for part in parts if isinstance(part, Delta))


async def no_server_at() -> str:
    """An address at which nobody answers any more."""
    server = Server()
    async with server.engine.running():
        target = await server.engine.target(0)
    assert target is not None
    return target.address

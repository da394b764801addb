"""The gateway's HTTP side: the WebSocket under its three names, personas, kept conversations, the page."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.staticfiles import StaticFiles

from gateway import retention
from gateway.client_socket import ClientSocket
from gateway.embedding_client import EmbeddingClient
from gateway.house import House
from gateway.llm_client import LlmClient
from gateway.load import HouseLoad
from gateway.lobby import Lobby
from gateway.meaning import Meaning
from gateway.memory import PastTalk
from gateway.memory_store import MemoryStore
from gateway.personas import InvalidPersona, load_personas
from gateway.replicas import Replicas
from gateway.rerender_client import RerenderClient
from gateway.routes import add_routes
from gateway.settings import GatewaySettings
from gateway.store import Store, open_store
from gateway.two_tier import TwoTier
from gateway.watch import ServiceWatch
from gateway.word_memory import open_word_memory
from shared import metrics
from shared.app import create_app
from shared.errors import NotFound
from shared.health import Readiness

PAGE = Path(__file__).parent / "page"


def build_app(settings: GatewaySettings) -> FastAPI:
    """The app of one gateway. Raises InvalidPersona when a persona file is wrong or the default one is not there."""
    personas = load_personas(settings.personas_dir)
    if settings.default_persona not in personas:
        raise InvalidPersona(f"GATEWAY_DEFAULT_PERSONA: there is no persona {settings.default_persona!r}.")
    readiness = Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(settings.store_url, settings.audio_dir))
            services = {name: Replicas(name, urls) for name, urls in _services(settings).items()}
            client = LlmClient(services["llm_service"], settings.connect_timeout_s, settings.first_token_timeout_s)
            llm = await stack.enter_async_context(client.opened())
            readiness.checks["store"] = store.ready
            watch = ServiceWatch(services.values())
            off = {"llm_service": not settings.llm_enabled, "tts_service": not settings.tts_enabled}
            readiness.checks.update({name: watch.check(name) for name in services if not off.get(name)})
            memory = await stack.enter_async_context(_memory(settings, services["llm_service"]))
            load = HouseLoad(settings.ladder_params())
            sound = await stack.enter_async_context(_two_tier(settings, store, load, services["tts_service"]))
            house = app.state.house = House(settings, llm, store, personas, watch, load, memory, sound)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(watch.run, name="watch")
            tasks.start_soon(house.load.run, name="load")
            if settings.retention_days:
                tasks.start_soon(retention.run, store, settings.retention_days, name="retention")
            app.state.lobby = await stack.enter_async_context(Lobby(house).opened())
            yield
            tasks.cancel_scope.cancel()

    app = create_app("Parley gateway", readiness, lifespan)
    _add_sockets(app)
    _add_resources(app)
    add_routes(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


@asynccontextmanager
async def _memory(settings: GatewaySettings, llm: Replicas) -> AsyncIterator[PastTalk | None]:
    if not settings.memory:
        yield None
        return
    async with open_word_memory(settings.memory_database_url) as words, EmbeddingClient(llm).opened() as embeddings:
        meaning = Meaning(MemoryStore(settings.milvus_uri, settings.milvus_collection), embeddings)
        async with PastTalk(words, meaning, lambda outcome: metrics.RECALLS.labels(outcome).inc()).opened() as memory:
            yield memory


@asynccontextmanager
async def _two_tier(
    settings: GatewaySettings, store: Store, load: HouseLoad, tts: Replicas
) -> AsyncIterator[TwoTier | None]:
    if not settings.keeps_audio:
        yield None
        return
    finer = RerenderClient(tts, settings.connect_timeout_s) if settings.tts_enabled else None
    async with TwoTier(
        store.audio, load, finer, lambda outcome: metrics.KEPT_AUDIO.labels(outcome).inc()
    ).opened() as tier:
        yield tier


def _services(settings: GatewaySettings) -> dict[str, str]:
    return {"asr_service": settings.asr_url, "llm_service": settings.llm_url, "tts_service": settings.tts_url}


def _add_sockets(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await _serve(websocket, "local", "binary")

    @app.websocket("/ws/chat")
    async def talk_in_json(websocket: WebSocket) -> None:
        await _serve(websocket, "local", "json")

    @app.websocket("/ws/{user_id}/{session_id}")
    async def talk_as(websocket: WebSocket, user_id: str, session_id: str) -> None:
        await _serve(websocket, user_id[:128], "binary", session_id)


async def _serve(websocket: WebSocket, user_id: str, transport: str, session_id: str = "") -> None:
    await websocket.accept()
    lobby: Lobby = websocket.app.state.lobby
    await lobby.receive(ClientSocket(websocket), user_id, transport, session_id)


def _add_resources(app: FastAPI) -> None:
    @app.get("/v1/personas")
    async def list_personas(request: Request) -> dict[str, Any]:
        personas = request.app.state.house.personas.values()
        return {"data": [persona.model_dump(exclude={"system_prompt"}) for persona in personas]}

    @app.get("/v1/conversations")
    async def list_conversations(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> dict[str, Any]:
        store: Store = request.app.state.house.store
        return {"data": await store.conversations(limit, offset)}

    @app.get("/v1/conversations/{conversation_id}")
    async def read_conversation(request: Request, conversation_id: str) -> dict[str, Any]:
        store: Store = request.app.state.house.store
        turns = await store.turns(conversation_id)
        if turns is None:
            raise NotFound("There is no such conversation.")
        return {"id": conversation_id, "turns": turns}

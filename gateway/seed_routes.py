"""The paths by which the clients of earlier systems ask, each over the handler that does the same here: docs/rest.md.

Nothing is decided in this file but which path means what, and what an answer is called.
"""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from gateway.forward import Destination
from gateway.house import House
from gateway.openai_routes import MB, TRANSCRIPTIONS, add_forward
from gateway.service_calls import ASR, LLM, TTS, Service, ServiceCalls, calls_of, is_on
from gateway.turn_answer import Desk, TurnAnswer
from gateway.turn_form import RECORDING_BYTES, TEXT_BYTES, recording_in, text_in
from gateway.voice_profiles import bring, forget, listed
from gateway.watch import LOADING
from shared.health import READY, Check, Readiness

SPEECH: Final = Destination(TTS, "/tts", MB)
ANSWER: Final = Destination(LLM, "/llm")
SPEAKERS: Final = Destination(TTS, "/speaker_info")
UserId = Annotated[str, Query(min_length=1, max_length=128)]
TRANSCRIBE: Final = '{"type":"config","mode":"transcription"}'
MODELS: Final = {"vllm": (LLM, "running"), "whisper": (ASR, READY), "tts": (TTS, READY)}


def add_seed_routes(app: FastAPI) -> None:
    """Add the routes. They must come before the page, which takes every path that is left."""
    calls = calls_of(app)
    add_forward(app, calls, "POST", "/stt", TRANSCRIPTIONS)
    add_forward(app, calls, "POST", "/tts", SPEECH)
    add_forward(app, calls, "POST", "/api/tts/synthesize", SPEECH)
    add_forward(app, calls, "POST", "/llm", ANSWER)
    add_forward(app, calls, "GET", "/speaker_info", SPEAKERS)
    _add_turns(app, Desk(calls))
    _add_voice_profiles(app, calls)
    _add_health(app)
    _add_conversations(app)
    app.router.routes.append(WebSocketRoute("/ws_asr", Transcribing()))


def _add_turns(app: FastAPI, desk: Desk) -> None:
    @app.post("/chat", response_class=Response)
    async def chat() -> Response:
        return TurnAnswer(desk, text_in, TEXT_BYTES, speaks=False)

    @app.post("/conversation", response_class=Response)
    async def conversation() -> Response:
        return TurnAnswer(desk, recording_in, RECORDING_BYTES, speaks=True)

    @app.post("/api/voice-chat", response_class=Response)
    async def voice_chat() -> Response:
        return TurnAnswer(desk, recording_in, RECORDING_BYTES, speaks=True)


def _add_voice_profiles(app: FastAPI, calls: ServiceCalls) -> None:
    @app.post("/api/voice-profile", status_code=201, response_class=Response)
    async def bring_voice(request: Request) -> Response:
        return await bring(request, calls, fills=True)

    @app.get("/api/voice-profiles")
    async def voice_profiles(request: Request) -> dict[str, Any]:
        return await listed(request.app.state.house, calls)

    @app.delete("/api/voice-profile/{voice_id}", response_class=Response)
    async def forget_voice(request: Request, voice_id: str, user_id: UserId = "local") -> Response:
        return await forget(request.app.state.house, calls, voice_id, user_id)


def _add_conversations(app: FastAPI) -> None:
    @app.get("/api/conversations")
    async def conversations(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> dict[str, Any]:
        house: House = request.app.state.house
        return {"conversations": await house.store.conversations(limit, offset)}


def _add_health(app: FastAPI) -> None:
    """`/health` is told with the models' states, in place of the one that every service has: both say `healthy`."""
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") != "/health"]

    @app.get("/health")
    async def health(request: Request) -> dict[str, Any]:
        house: House = request.app.state.house
        models = {name: await _state(house, service, good) for name, (service, good) in MODELS.items()}
        return {"status": "healthy", "models": models}

    @app.get("/api/ping")
    async def ping() -> dict[str, str]:
        return {"status": "ok", "message": "pong"}

    @app.get("/api/health")
    async def health_in_detail(request: Request) -> dict[str, Any]:
        return await _parts(request.app.state.house)


async def _state(house: House, service: Service, good: str) -> str:
    if not is_on(house, service):
        return "off"
    state = await house.watch.check(service.name)()
    return good if state == READY else "loading" if state == LOADING else "unavailable"


async def _parts(house: House) -> dict[str, Any]:
    """Live is whoever answers this; `degraded` while something that is needed is missing."""
    checks: dict[str, Check] = {"database": house.store.ready}
    if house.memory:
        checks["milvus"] = house.memory.ready
    states = await Readiness(checks).report()
    services = {service.name: await _state(house, service, READY) for service in (ASR, LLM, TTS)}
    is_whole = states["database"] == READY and {*services.values()} <= {READY, "off"}
    told = {"database": "connected" if states["database"] == READY else states["database"]}
    told["milvus"] = {READY: "connected"}.get(states["milvus"], states["milvus"]) if "milvus" in states else "off"
    return {"status": "healthy" if is_whole else "degraded", **told, "services": services}


class Transcribing:
    """A session of `/ws` that only writes down what is said, before its client has asked for anything."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The session begins as if its client had sent the mode first."""
        is_told = has_connected = False

        async def received() -> Message:
            nonlocal is_told, has_connected
            if has_connected and not is_told:
                is_told = True
                return {"type": "websocket.receive", "text": TRANSCRIBE}
            has_connected = True
            return await receive()

        await scope["app"].router({**scope, "path": "/ws", "raw_path": b"/ws"}, received, send)

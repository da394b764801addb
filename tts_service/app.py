"""The tts_service put together: an engine, the routes over it, and how both start and end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, WebSocket

from shared.app import create_app
from shared.health import Readiness
from tts_service import engines
from tts_service.engines.base import Engine
from tts_service.settings import TtsSettings
from tts_service.speech import speech_routes
from tts_service.stream import serve_stream
from tts_service.synthesiser import Synthesiser
from tts_service.voices import voice_routes


def build_app(settings: TtsSettings, engine: Engine | None = None) -> FastAPI:
    """The service; `engine` replaces the one that the settings name. Nothing is loaded before its lifespan begins."""
    synthesiser = Synthesiser(settings, engine or engines.load(settings.engine, settings))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(synthesiser.load, name="load")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                await synthesiser.close()

    app = create_app("Parley tts_service", Readiness({"engine": synthesiser.state}), lifespan)
    app.include_router(speech_routes(synthesiser))
    app.include_router(voice_routes(synthesiser))

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await serve_stream(socket, synthesiser)

    return app

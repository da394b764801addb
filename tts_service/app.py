"""The tts_service put together: an engine, the routes over it, and how both start and end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, WebSocket

from shared.app import create_app
from shared.health import Readiness
from tts_service import engines
from tts_service.engines.base import Engine
from tts_service.hq import hq_routes
from tts_service.plain import plain_routes
from tts_service.settings import TtsSettings
from tts_service.speaker_info import speaker_info_routes
from tts_service.speech import speech_routes
from tts_service.stream import serve_stream
from tts_service.synthesiser import Synthesiser
from tts_service.voices import voice_routes


def build_app(settings: TtsSettings, engine: Engine | None = None, hq_engine: Engine | None = None) -> FastAPI:
    """The service; the engines replace those that the settings name. Nothing is loaded before its lifespan begins."""
    if hq_engine is None and settings.hq_engine is not None:
        hq_engine = engines.load(settings.hq_engine, settings)
    synthesiser = Synthesiser(settings, engine or engines.load(settings.engine, settings), hq_engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(synthesiser.run, name="engines")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                await synthesiser.close()

    app = create_app("Parley tts_service", Readiness({"engine": synthesiser.state}), lifespan)
    app.include_router(speech_routes(synthesiser))
    app.include_router(plain_routes(synthesiser))
    app.include_router(voice_routes(synthesiser))
    app.include_router(speaker_info_routes(synthesiser))
    app.include_router(hq_routes(synthesiser))

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await serve_stream(socket, synthesiser)

    return app

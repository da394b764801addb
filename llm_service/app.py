"""The language service put together: one engine, the client in front of it, the routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from llm_service.answers import EngineAnswers
from llm_service.chat import add_chat
from llm_service.engines import load
from llm_service.engines.base import Engine
from llm_service.models import add_models
from llm_service.settings import LlmSettings
from llm_service.upstream import Upstream
from shared.app import create_app
from shared.health import Readiness


def build_app(settings: LlmSettings) -> FastAPI:
    """The service with the engine that the settings name; raises engines.base.SetupProblem."""
    return assemble(settings, load(settings))


def assemble(settings: LlmSettings, engine: Engine) -> FastAPI:
    """The service around one engine. The engine starts with the app; it need not be ready for the app to answer."""
    upstream = Upstream(engine, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.running(), upstream.opened():  # leaving ends our answers first, then the engine
            yield

    app = create_app("Parley: language service", Readiness({"engine": engine.readiness}), lifespan)
    add_chat(app, EngineAnswers(upstream), settings)
    add_models(app, settings)
    return app

"""The language service put together: the servers that answer, the routes in front of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from llm_service.bounded_route import BoundedRoute
from llm_service.chat import add_chat
from llm_service.completions import add_completions
from llm_service.embeddings import add_embeddings
from llm_service.engines.base import Engine
from llm_service.engines.embedding import load_embedder
from llm_service.models import add_models
from llm_service.plain import add_plain
from llm_service.settings import LlmSettings
from llm_service.stores import runs_for
from llm_service.text_upstream import TextUpstream
from llm_service.upstreams import Upstreams, load_upstreams
from shared.app import create_app
from shared.health import Readiness


def build_app(settings: LlmSettings) -> FastAPI:
    """The service with the servers that the settings name; raises engines.base.SetupProblem."""
    return _assembled(settings, load_upstreams(settings))


def assemble(settings: LlmSettings, engine: Engine) -> FastAPI:
    """The service around one engine, and the servers beside it that the settings name.

    The engine starts with the app; it need not be ready for the app to answer.
    """
    return _assembled(settings, Upstreams(settings, engine))


def _assembled(settings: LlmSettings, upstreams: Upstreams) -> FastAPI:
    runs = runs_for(settings)
    texts = TextUpstream(upstreams.engine, settings)
    embedder = load_embedder(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with upstreams.running(), texts.opened(), embedder.running(), runs.opened():
            yield

    readiness = Readiness({"engine": upstreams.readiness})
    if settings.embedding_warm:
        readiness.checks["embeddings"] = embedder.readiness
    if settings.redis_url is not None:
        readiness.checks["answers"] = runs.readiness
    app = create_app("Parley: language service", readiness, lifespan, settings.body_limit_bytes)
    app.router.route_class = BoundedRoute
    add_chat(app, upstreams, settings, runs)
    add_plain(app, upstreams, settings, runs)
    add_completions(app, texts, settings, runs)
    add_embeddings(app, embedder, settings)
    add_models(app, upstreams)
    return app

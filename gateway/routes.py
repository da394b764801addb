"""Every path of the gateway's REST, in the order in which they are looked through."""

from fastapi import FastAPI

from gateway.kept_routes import add_kept_routes
from gateway.openai_routes import add_openai_routes
from gateway.seed_routes import add_seed_routes
from gateway.session_routes import add_session_routes
from gateway.voice_routes import add_voice_routes


def add_routes(app: FastAPI) -> None:
    """Add them all, before the page, which takes every path that is left."""
    for add in (add_openai_routes, add_voice_routes, add_session_routes, add_kept_routes, add_seed_routes):
        add(app)

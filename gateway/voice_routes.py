"""`/v1/voices`: the voices that may be asked for, and those that people bring."""

from typing import Annotated

from fastapi import FastAPI, Query, Request, Response

from gateway.forward import Forwarded
from gateway.openai_routes import VOICES, add_forward
from gateway.service_calls import calls_of
from gateway.voice_profiles import bring, forget


def add_voice_routes(app: FastAPI) -> None:
    """Add the routes. They must come before the page, which takes every path that is left."""
    calls = calls_of(app)
    add_forward(app, calls, "GET", VOICES.path, VOICES)

    @app.post("/v1/voices", status_code=201, response_class=Response)
    async def bring_voice(request: Request) -> Response:
        """Multipart: `file`, `name`, `transcript`, `language`, `consent=true`, and `user_id`."""
        return await bring(request, calls, fills=False)

    @app.get("/v1/voices/{voice_id}", response_class=Response)
    async def voice(voice_id: str) -> Response:
        return Forwarded(calls, VOICES.below(voice_id))

    @app.delete("/v1/voices/{voice_id}", response_class=Response)
    async def forget_voice(
        request: Request, voice_id: str, user_id: Annotated[str, Query(min_length=1, max_length=128)] = "local"
    ) -> Response:
        return await forget(request.app.state.house, calls, voice_id, user_id)

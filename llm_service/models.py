"""GET /v1/models: the one model of this service, under its public name."""

from fastapi import FastAPI

from llm_service.settings import LlmSettings
from shared.clock import today
from shared.errors import NotFound


def add_models(app: FastAPI, settings: LlmSettings) -> None:
    """Add the routes."""
    model = {"id": settings.public_name, "object": "model", "created": int(today().timestamp()), "owned_by": "parley"}

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, object]:
        if name != settings.public_name:
            raise NotFound("There is no such model.", param="model")
        return dict(model)

"""GET /v1/models: every model of every server, as a request may name it.

The engine of the settings comes first under its public name alone when it is the only server, so that a client which
takes the first model of the list gets what it got before there were several. A server that is slow to list its models
holds up nobody for long: what it is known to have is told, and what it lists later is told later.
"""

from collections.abc import Sequence

from fastapi import FastAPI

from llm_service.core.routing import Place
from llm_service.exchange import SERVICE
from llm_service.upstreams import Upstreams
from shared.clock import today
from shared.errors import ModelNotFound

_LISTED_WITHIN_S = 1.0


def add_models(app: FastAPI, upstreams: Upstreams) -> None:
    """Add the routes."""
    created = int(today().timestamp())

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        owners = _owners(await upstreams.catalogue.asked(within_s=_LISTED_WITHIN_S))
        return {"object": "list", "data": [_model(name, owner, created) for name, owner in owners.items()]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, object]:
        owner = _owner(name, await upstreams.catalogue.asked(lambda places: _owner(name, places) is not None))
        if owner is None:
            raise ModelNotFound("There is no such model.", service=SERVICE, param="model")
        return _model(name, owner, created)


def _owner(name: str, places: Sequence[Place]) -> str | None:
    """Whose the model is, by any of its names."""
    bare = {model: place.name for place in reversed(places) for model in place.models or ()}
    return (bare | _owners(places)).get(name)


def _owners(places: Sequence[Place]) -> dict[str, str]:
    """Name → whose it is, in order."""
    found: dict[str, str] = {}
    for place in places:
        names = [f"{place.name}/{model}" for model in place.models or ()]
        if place.public_name:
            is_all = len(places) == 1 and len(names) <= 1
            found[place.public_name] = "parley"
            names = [] if is_all else names
        found |= {name: place.name for name in names if name not in found}
    return found


def _model(name: str, owner: str, created: int) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}

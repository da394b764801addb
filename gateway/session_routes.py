"""Sessions over HTTP: begin one before anybody speaks, end one, and the figures of one or of all of a person.

A session that is begun here is kept, and its id names the conversation: a turn that is sent with it belongs to it.
Ending one that is open closes it as if its client had left, after its last turn is kept.
"""

from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.house import House
from shared.errors import NotFound

USER_CHARS: Final = 128


class SessionWanted(BaseModel):
    """Whose the session is."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    user_id: str | None = Field(None, min_length=1, max_length=USER_CHARS)


UserQuery = Annotated[str | None, Query(min_length=1, max_length=USER_CHARS)]
Wanted = Annotated[SessionWanted | None, Body()]


def add_session_routes(app: FastAPI) -> None:
    """Add the routes. They must come before the page, which takes every path that is left."""
    _add_beginnings(app)
    _add_ends(app)
    _add_figures(app)


def _add_beginnings(app: FastAPI) -> None:
    @app.post("/v1/sessions", status_code=201)
    async def begin(request: Request, wanted: Wanted = None, user_id: UserQuery = None) -> dict[str, Any]:
        return await _begun(_house(request), wanted, user_id)

    @app.post("/api/sessions/new")
    async def begin_new(request: Request, wanted: Wanted = None, user_id: UserQuery = None) -> dict[str, Any]:
        return await _begun(_house(request), wanted, user_id)

    @app.get("/v1/sessions/{session_id}")
    async def read(request: Request, session_id: str) -> dict[str, Any]:
        return _found(await _house(request).store.sessions.get(session_id))


def _add_ends(app: FastAPI) -> None:
    @app.post("/v1/sessions/{session_id}/end")
    async def end(request: Request, session_id: str) -> dict[str, Any]:
        return await _ended(request, session_id)

    @app.post("/api/sessions/{session_id}/end")
    async def end_it(request: Request, session_id: str) -> dict[str, Any]:
        return await _ended(request, session_id)


def _add_figures(app: FastAPI) -> None:
    @app.get("/v1/sessions/{session_id}/stats")
    async def session_stats(request: Request, session_id: str) -> dict[str, Any]:
        return _found(await _house(request).store.sessions.stats(session_id))

    @app.get("/api/sessions/{some_id}/stats")
    async def stats(request: Request, some_id: str) -> dict[str, Any]:
        """A session's id first, else a person's."""
        sessions = _house(request).store.sessions
        return _found(await sessions.stats(some_id) or await sessions.user_stats(some_id))

    @app.get("/v1/users/{user_id}/stats")
    async def user_stats(request: Request, user_id: str) -> dict[str, Any]:
        return _found(await _house(request).store.sessions.user_stats(user_id), "person")

    @app.get("/api/users/{user_id}/stats")
    async def stats_of_user(request: Request, user_id: str) -> dict[str, Any]:
        return _found(await _house(request).store.sessions.user_stats(user_id), "person")


async def _begun(house: House, wanted: SessionWanted | None, user_id: str | None) -> dict[str, Any]:
    whose = user_id or (wanted and wanted.user_id) or "local"
    return _found(await house.store.sessions.get(await house.store.sessions.create(whose)))


async def _ended(request: Request, session_id: str) -> dict[str, Any]:
    open_session = request.app.state.lobby.session(session_id)
    if open_session is not None:
        await open_session.end()
    sessions = _house(request).store.sessions
    if await sessions.end(session_id):
        return _found(await sessions.get(session_id))
    if open_session is None:
        raise _unknown()
    return {"session_id": session_id, "turns": 0}  # one in which nothing was said is not kept


def _found(told: dict[str, Any] | None, what: str = "session") -> dict[str, Any]:
    if told is None:
        raise _unknown(what)
    return told


def _unknown(what: str = "session") -> NotFound:
    return NotFound(f"There is no such {what}.", service="gateway")


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house

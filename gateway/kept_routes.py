"""What is kept, over HTTP: search it, hear it, forget it, and all that is kept of one person to be taken or erased."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.house import House
from gateway.memory_store import MemoryUnavailable
from gateway.service_calls import RETRY_AFTER_MS, ServiceCalls, calls_of
from gateway.voice_profiles import forget_sound
from shared.errors import NotFound, ServiceUnavailable

LINES: Final = "application/x-ndjson"
User = Annotated[str, Query(min_length=1, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=2**31)]


def add_kept_routes(app: FastAPI) -> None:
    """Add the routes. They must come before the page, which takes every path that is left."""
    _add_conversations(app)
    _add_people(app, calls_of(app))


def _add_conversations(app: FastAPI) -> None:
    @app.get("/v1/conversations/search")
    async def search(
        request: Request,
        text: Annotated[str, Query(min_length=1, max_length=500)],
        user_id: User = "local",
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """The turns of one person that hold all of a text."""
        return {"data": await _house(request).store.search(text, user_id, limit, offset)}

    app.router.routes.insert(0, app.router.routes.pop())  # else it reads as the conversation called "search"

    @app.delete("/v1/conversations/{conversation_id}")
    async def forget(request: Request, conversation_id: str) -> dict[str, Any]:
        house = _house(request)
        kept = await house.store.sessions.get(conversation_id)
        if kept is not None:
            await _forget_in_memory(house, kept["user_id"], conversation_id)
        if not await house.store.delete_conversation(conversation_id):
            raise NotFound("There is no such conversation.", service="gateway")
        return {"id": conversation_id, "deleted": True}

    @app.get("/v1/turns/{turn_id}/audio", response_class=Response)
    async def audio(request: Request, turn_id: str) -> Response:
        """The sound of an answer, as it is kept."""
        kept = await _house(request).store.audio.get(turn_id)
        if kept is None:
            raise NotFound("No sound is kept of such a turn.", service="gateway")
        headers = {"Cache-Control": "no-store", "X-Tier": kept.tier}
        return Response(kept.content, media_type=kept.media_type, headers=headers)


def _add_people(app: FastAPI, calls: ServiceCalls) -> None:
    @app.get("/v1/users/{user_id}/export", response_class=StreamingResponse)
    async def export(request: Request, user_id: str) -> Response:
        """All that is kept of a person, a record a line; sound as base64."""
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_lines(_house(request), user_id), media_type=LINES, headers=headers)

    @app.delete("/v1/users/{user_id}")
    async def erase(request: Request, user_id: str) -> dict[str, Any]:
        """All of it goes, the sound of their voices first: where that cannot be reached, it is to be asked again."""
        house = _house(request)
        voices = await house.store.voices.of(user_id)
        for voice in voices:
            if not await forget_sound(house, calls, voice["voice_id"]):
                message = "A voice could not be deleted; ask again."
                raise ServiceUnavailable(message, service="tts", retry_after_ms=RETRY_AFTER_MS)
        await _forget_in_memory(house, user_id)
        if not await house.store.users.erase(user_id) and not voices:
            raise NotFound("Nothing is kept of such a person.", service="gateway")
        return {"user_id": user_id, "deleted": True}


async def _lines(house: House, user_id: str) -> AsyncIterator[bytes]:
    async for record in house.store.users.export(user_id):
        told = {
            name: base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
            for name, value in record.items()
        }
        yield json.dumps(told, ensure_ascii=False).encode() + b"\n"
    for memory in await house.memory.all_of(user_id) if house.memory else []:
        yield json.dumps({"kind": "memory", **memory}, ensure_ascii=False).encode() + b"\n"


async def _forget_in_memory(house: House, user_id: str, conversation_id: str | None = None) -> None:
    """What is remembered goes before what it was made of, so that it can be asked for again."""
    try:
        if house.memory and conversation_id is None:
            await house.memory.forget(user_id)
        elif house.memory and conversation_id is not None:
            await house.memory.forget_conversation(user_id, conversation_id)
    except MemoryUnavailable:
        message = "What is remembered cannot be reached; ask again."
        raise ServiceUnavailable(message, service="gateway", retry_after_ms=RETRY_AFTER_MS) from None


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house

"""`/v1/rerenders`: a finished message is spoken again in high quality, in the background, and fetched when it is made.

The id stands for the text and for how it is spoken, so whoever asks for the same gets the same, and what was made
before is there at once. A newer text of a message takes the place of the older one.
"""

from typing import Final, Literal

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import NotFound, ParleyError, RequestInFlight
from tts_service.hq_store import RenderedSegment
from tts_service.reply import TEXT_LIMIT_CHARS
from tts_service.rerenders import Rerenders
from tts_service.synthesiser import Synthesiser

LOOK_AGAIN_MS: Final = 1000


class RerenderRequest(BaseModel):
    """What a message says, and how it is spoken."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    message_id: str = Field(min_length=1, max_length=128, description="Whose older text, if any, this one replaces.")
    text: str = Field(min_length=1, max_length=TEXT_LIMIT_CHARS, repr=False)
    voice: str | None = Field(None, max_length=128, description="A voice of the hq engine; its default unless told.")
    language: str = Field("en", max_length=16, description="BCP 47; what text in no script of its own is read as.")
    speed: float = Field(1.0, ge=0.25, le=4.0)
    instructions: str | None = Field(None, max_length=4096, description="How it is to be spoken, in words.")


class Failure(BaseModel):
    """Why it was not made; asking again tries again."""

    code: str
    message: str
    retryable: bool


class Rerender(BaseModel):
    """What there is of it; the sound is at `/audio` once it is `done`, and each segment begins at its sample of it."""

    id: str
    state: Literal["waiting", "running", "done", "failed"]
    engine: str | None = None
    sample_rate: int | None = None
    total_samples: int | None = None
    segments: list[RenderedSegment] | None = None
    error: Failure | None = None


class DeletedRerender(BaseModel):
    """It is neither made nor kept any more."""

    id: str
    deleted: bool = True


def hq_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/rerenders", status_code=202, responses={200: {"description": "It is made already."}})
    async def ask(request: RerenderRequest, response: Response) -> Rerender:
        manner = synthesiser.manner(
            language=request.language,
            voice=request.voice,
            speed=request.speed,
            instruction=request.instructions,
            tier="hq",
        )
        rerenders = synthesiser.rerenders()
        found = _rerender(rerenders, rerenders.ask(request.message_id, request.text, manner))
        if found.state == "done":
            response.status_code = 200
        return found

    @router.get("/v1/rerenders/{key}")
    async def look(key: str) -> Rerender:
        return _rerender(synthesiser.rerenders(), key)

    @router.get("/v1/rerenders/{key}/audio", response_class=FileResponse)
    async def audio(key: str) -> FileResponse:
        rerenders = synthesiser.rerenders()
        found = _rerender(rerenders, key)
        if found.state == "failed":
            raise rerenders.failure(key)
        if found.state != "done":
            raise RequestInFlight("It is being made.", service="tts", retry_after_ms=LOOK_AGAIN_MS)
        return FileResponse(rerenders.store.sound(key), media_type="audio/wav", headers={"Cache-Control": "no-store"})

    @router.delete("/v1/rerenders/{key}")
    async def drop(key: str) -> DeletedRerender:
        if not await synthesiser.rerenders().drop(key):
            raise _unknown()
        return DeletedRerender(id=key)

    return router


def _rerender(rerenders: Rerenders, key: str) -> Rerender:
    """Raises NotFound."""
    made = rerenders.store.find(key)
    if made is not None:
        return Rerender(
            id=key,
            state="done",
            engine=made.engine,
            sample_rate=made.sample_rate,
            total_samples=made.total_samples,
            segments=list(made.segments),
        )
    state = rerenders.state(key)
    if state is None:
        raise _unknown()
    return Rerender(id=key, state=state, error=_failure(rerenders.failure(key)) if state == "failed" else None)


def _failure(error: ParleyError) -> Failure:
    return Failure(code=error.code, message=error.message, retryable=error.retryable)


def _unknown() -> NotFound:
    return NotFound("Nothing of that id is spoken again.", service="tts", param="id")

"""POST /llm: the plain form of a chat, some messages in and one text out, as older clients ask it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from llm_service.answers import Answers
from llm_service.chat import Measures, gathered, measured
from llm_service.claims import add_dismissal, claim_of, opening
from llm_service.core.answer import Part
from llm_service.openai_wire import ChatMessage, ChatRequest
from llm_service.runs import Pieces, Runs
from llm_service.settings import LlmSettings
from llm_service.telling import JsonTelling, as_json

PATH = "/llm"


class PlainRequest(BaseModel):
    """What to answer, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: list[ChatMessage] = Field(min_length=1, max_length=4096)
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)
    session_id: str | None = Field(None, max_length=256, description="Accepted; a conversation is in its messages.")


class PlainAnswer(BaseModel):
    """The answer; `cached` when it was made for an earlier request with the same key."""

    text: str
    model: str
    cached: bool


def add_plain(app: FastAPI, answers: Answers, settings: LlmSettings, runs: Runs) -> None:
    """Add the route, and the one that dismisses an answer with a key."""
    add_dismissal(app, PATH, runs)

    @app.post(PATH, response_model=PlainAnswer)
    async def plain(request: PlainRequest, http: Request) -> Response:
        asked = ChatRequest(messages=request.messages, temperature=request.temperature, max_tokens=request.max_tokens)
        make = partial(_making, answers, asked, settings.public_name)
        return JsonTelling(opening(runs, await claim_of(http), make), _with_cached)


@asynccontextmanager
async def _making(answers: Answers, request: ChatRequest, model: str) -> AsyncIterator[Pieces]:
    with measured(answers.name) as measures:
        async with answers.answer(request) as parts, aclosing(_text(parts, model, measures)) as pieces:
            yield pieces


async def _text(parts: AsyncGenerator[Part, None], model: str, measures: Measures) -> AsyncGenerator[bytes, None]:
    text, _, _ = await gathered(parts, measures)
    yield as_json({"text": text, "model": measures.model or model})


def _with_cached(made: bytes, is_replayed: bool) -> bytes:
    """The last field, which alone differs between clients."""
    return b'%s,"cached":%s}' % (made.removesuffix(b"}"), b"true" if is_replayed else b"false")

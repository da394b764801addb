"""POST /v1/completions: OpenAI's older form, in which the model goes on with a text.

The text is handed to the model as it is: no roles, no template, and markers in it are markers, as who asks writes the
whole prompt. Only the engine of this service is asked. What would change the answer in a way that is not offered is
refused. Prompts and completions are never logged, only their sizes.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Annotated, Literal

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator

from llm_service.chat import Measures, gathered, measured
from llm_service.claims import add_dismissal, claim_of, opening
from llm_service.core.answer import Delta, Finished, FinishReason, Part, Usage
from llm_service.core.model_names import means
from llm_service.engines.base import Manner
from llm_service.exchange import SERVICE
from llm_service.openai_wire import Stop, StreamOptions, is_whole, some_stops
from llm_service.runs import Pieces, Runs
from llm_service.settings import LlmSettings
from llm_service.telling import LAST_EVENT, EventTelling, JsonTelling, as_json, event
from llm_service.text_upstream import TextUpstream
from shared.clock import today
from shared.errors import InvalidMessage, ModelNotFound, Unsupported
from shared.ids import new_id

PATH = "/v1/completions"
_PROMPT_LIMIT = 1_000_000  # characters
_TOKENS_UNLESS_TOLD = 16  # as OpenAI has it
_PASSED = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "stop", "seed", "presence_penalty", "frequency_penalty",
    "repeat_penalty",
)  # fmt: skip

Prompt = Annotated[str, Field(min_length=1, max_length=_PROMPT_LIMIT)]
Prompts = Annotated[list[Prompt], Field(min_length=1, max_length=1)]


class CompletionRequest(BaseModel):
    """What to go on with, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: SkipValidation[Prompt | Prompts] = Field(description="One text; `text` says what is wrong with another.")
    model: str | None = Field(None, max_length=256, description="The model of this service, or nothing.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int = Field(_TOKENS_UNLESS_TOLD, ge=1)
    n: Literal[1] | None = None
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    logprobs: None = None
    suffix: Literal[""] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, le=1)
    stop: Stop = None
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    user: str | None = Field(None, description="Accepted; not handed on.")

    @field_validator("stop")
    @classmethod
    def _is_sendable(cls, stop: Stop) -> Stop:
        """Half characters cannot be sent, and empty texts stop nothing."""
        "".join([stop] if isinstance(stop, str) else stop or ()).encode()  # a ValueError for one
        return some_stops(stop)

    def asks_usage(self) -> bool:
        """Whether the stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def text(self) -> str:
        """The one prompt; raises Unsupported for several and for tokens, InvalidMessage for what is none."""
        given: object = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if not isinstance(given, list) or not all(isinstance(one, str | int | list) for one in given):
            raise _invalid("it is neither a text nor a list with a text")
        if any(isinstance(one, int | list) for one in given):
            raise Unsupported("Arrays of tokens are not taken; send text.", service=SERVICE, param="prompt")
        if len(given) > 1:
            raise Unsupported("Only one prompt is taken at once.", service=SERVICE, param="prompt")
        text: str = given[0] if given else ""
        if not text:
            raise _invalid("it is empty")
        if len(text) > _PROMPT_LIMIT:
            raise _invalid(f"it has more than {_PROMPT_LIMIT} characters")
        if not is_whole(text):
            raise _invalid("it has half of a character")
        return text

    def for_engine(self, manner: Manner) -> dict[str, object]:
        """The request as the engine wants it: its defaults and its name for the model."""
        chosen = {name: value for name in _PASSED if (value := getattr(self, name)) is not None}
        named = {"model": manner.model} if manner.model else {}
        return {**manner.defaults, **chosen, **named, "prompt": self.text()}


def _invalid(reason: str) -> InvalidMessage:
    return InvalidMessage(f"prompt: {reason}.", service=SERVICE, param="prompt")


def add_completions(app: FastAPI, upstream: TextUpstream, settings: LlmSettings, runs: Runs) -> None:
    """Add the route, and the one that dismisses an answer with a key."""
    add_dismissal(app, PATH, runs)

    @app.post(PATH, response_model=None)
    async def completions(request: CompletionRequest, http: Request) -> Response:
        if not means(request.model, settings.public_name):
            raise ModelNotFound("There is no such model.", service=SERVICE, param="model")
        body = request.for_engine(upstream.manner)
        opened = partial(opening, runs, await claim_of(http))
        envelope = _Envelope(settings.public_name)
        if request.stream:
            return EventTelling(opened(partial(_events, upstream, request, body, envelope)), settings.idle_timeout_s)
        return JsonTelling(opened(partial(_whole, upstream, body, envelope)))


@asynccontextmanager
async def _events(
    upstream: TextUpstream, request: CompletionRequest, body: dict[str, object], envelope: "_Envelope"
) -> AsyncIterator[Pieces]:
    """The completion as server-sent events."""
    with measured(upstream.name) as measures:
        async with (
            upstream.complete(body) as parts,
            aclosing(_stream(parts, request.asks_usage(), envelope, measures)) as pieces,
        ):
            yield pieces


async def _stream(
    parts: AsyncGenerator[Part, None], asks_usage: bool, envelope: "_Envelope", measures: Measures
) -> Pieces:
    async for part in parts:
        measures.note(part)
        match part:
            case Delta(text):
                yield event(envelope.told(text))
            case Finished(reason):
                yield event(envelope.told("", reason))
            case Usage() if asks_usage:
                yield event(envelope.told(None, usage=part))
    measures.outcome = "completed"
    yield LAST_EVENT


@asynccontextmanager
async def _whole(upstream: TextUpstream, body: dict[str, object], envelope: "_Envelope") -> AsyncIterator[Pieces]:
    """The completion as one JSON object."""
    with measured(upstream.name) as measures:
        async with upstream.complete(body) as parts, aclosing(_gathered(parts, envelope, measures)) as pieces:
            yield pieces


async def _gathered(parts: AsyncGenerator[Part, None], envelope: "_Envelope", measures: Measures) -> Pieces:
    text, reason, usage = await gathered(parts, measures)
    yield as_json(envelope.told(text, reason, usage))


class _Envelope:
    """What every piece of one completion carries."""

    def __init__(self, model: str) -> None:
        created = int(today().timestamp())
        self._head = {"id": new_id("cmpl"), "object": "text_completion", "created": created, "model": model}

    def told(
        self, text: str | None, reason: FinishReason | None = None, usage: Usage | None = None
    ) -> dict[str, object]:
        """A piece, or all of it; without a text it holds the counts alone."""
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        told: dict[str, object] = {**self._head, "choices": [] if text is None else [choice]}
        if usage:
            total = usage.prompt_tokens + usage.completion_tokens
            counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            told["usage"] = {**counts, "total_tokens": total}
        return told

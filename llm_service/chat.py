"""POST /v1/chat/completions: one generation, told as it is made (SSE) or whole (JSON).

An answer is made here, once, as bytes; who reads them and how they are told is decided elsewhere (runs, telling). A
complete stream ends with exactly one `data: [DONE]`, and an answer whose pieces end without an error is complete.
Prompts and replies are never logged, only their sizes.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial

from fastapi import FastAPI, Request, Response

from llm_service.answers import Answers
from llm_service.claims import add_dismissal, claim_of, opening
from llm_service.core.answer import Answerer, Delta, Finished, FinishReason, Part, ToolCallDelta, Usage
from llm_service.core.tool_calls import ToolCalls
from llm_service.openai_wire import ChatRequest, Envelope
from llm_service.runs import Make, Opening, Pieces, Runs, live
from llm_service.settings import LlmSettings
from llm_service.telling import LAST_EVENT, EventTelling, JsonTelling, as_json, event
from shared.clock import now_s
from shared.errors import ParleyError
from shared.metrics import LLM_TOKENS, LLM_TTFT_SECONDS

log = logging.getLogger(__name__)
PATH = "/v1/chat/completions"


def add_chat(app: FastAPI, answers: Answers, settings: LlmSettings, runs: Runs) -> None:
    """Add the route, and the one that dismisses an answer with a key."""
    add_dismissal(app, PATH, runs)

    @app.post(PATH, response_model=None)
    async def chat_completions(request: ChatRequest, http: Request) -> Response:
        claim = await claim_of(http)
        return chat_answer(answers, request, settings, partial(opening, runs, claim))


def for_one(make: Make) -> Opening:
    """An answer that is made for the client alone to which it is told."""
    return partial(live, make)


def chat_answer(
    answers: Answers,
    request: ChatRequest,
    settings: LlmSettings,
    opened: Callable[[Make], Opening] = for_one,
) -> Response:
    """The answer to one request, made when it is told; `opened` says for whom it is made."""
    if request.stream:
        return EventTelling(opened(partial(_events, answers, request, settings.public_name)), settings.idle_timeout_s)
    return JsonTelling(opened(partial(_completion, answers, request, settings.public_name)))


@asynccontextmanager
async def _events(answers: Answers, request: ChatRequest, model: str) -> AsyncIterator[Pieces]:
    """The answer as server-sent events."""
    with measured(answers.name) as measures:
        async with answers.answer(request) as parts, aclosing(_stream(parts, request, model, measures)) as pieces:
            yield pieces


async def _stream(
    parts: AsyncGenerator[Part, None], request: ChatRequest, model: str, measures: "Measures"
) -> AsyncGenerator[bytes, None]:
    envelope, has_begun = Envelope(model), False
    async for part in parts:
        measures.note(part)
        if isinstance(part, Answerer):
            envelope.name(part.model)
            continue
        if not has_begun:
            has_begun = True
            yield event(envelope.chunk({"role": "assistant", "content": ""}))
        match part:
            case Delta(text):
                yield event(envelope.chunk({"content": text}))
            case ToolCallDelta():
                yield event(envelope.tool_chunk(part))
            case Finished(reason):
                yield event(envelope.chunk({}, reason))
            case Usage() if request.asks_usage():
                yield event(envelope.usage_chunk(part))
    measures.outcome = "completed"
    yield LAST_EVENT


@asynccontextmanager
async def _completion(answers: Answers, request: ChatRequest, model: str) -> AsyncIterator[Pieces]:
    """The answer as one JSON object."""
    with measured(answers.name) as measures:
        async with answers.answer(request) as parts, aclosing(_whole(parts, model, measures)) as pieces:
            yield pieces


async def _whole(parts: AsyncGenerator[Part, None], model: str, measures: "Measures") -> AsyncGenerator[bytes, None]:
    calls = ToolCalls()
    text, reason, usage = await gathered(parts, measures, calls)
    yield as_json(Envelope(measures.model or model).completion(text, reason, usage, calls.whole()))


async def gathered(
    parts: AsyncGenerator[Part, None], measures: "Measures", calls: ToolCalls | None = None
) -> tuple[str, FinishReason, Usage | None]:
    """All of an answer: its text, why it ended, its counts when known. Tool calls go to `calls`."""
    texts: list[str] = []
    reason: FinishReason = "stop"
    usage: Usage | None = None
    async for part in parts:
        measures.note(part)
        match part:
            case Delta(text):
                texts.append(text)
            case ToolCallDelta() if calls is not None:
                calls.add(part)
            case Finished(reason):
                pass
            case Usage():
                usage = part
    measures.outcome = "completed"
    return "".join(texts), reason, usage


class Measures:
    """What is counted of one generation."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._asked_s = now_s()
        self._ttft_ms: int | None = None
        self._delta_count = 0
        self.model = ""  # the public name of the one that answers, once it is known
        self.outcome = "cancelled"

    def note(self, part: Part) -> None:
        if isinstance(part, Answerer):
            self._engine, self.model = part.upstream, part.model
        elif isinstance(part, Delta | ToolCallDelta):
            if self._ttft_ms is None:
                ttft_s = now_s() - self._asked_s
                self._ttft_ms = round(1000 * ttft_s)
                LLM_TTFT_SECONDS.labels(self._engine).observe(ttft_s)
            self._delta_count += 1
        elif isinstance(part, Usage):
            LLM_TOKENS.labels("prompt").inc(part.prompt_tokens)
            LLM_TOKENS.labels("completion").inc(part.completion_tokens)

    def log(self) -> None:
        total_ms = round(1000 * (now_s() - self._asked_s))
        figures = {"ttft_ms": self._ttft_ms, "deltas": self._delta_count, "total_ms": total_ms}
        log.info("a generation ended", extra={"engine": self._engine, "outcome": self.outcome, **figures})


@contextmanager
def measured(engine: str) -> Iterator[Measures]:
    """Count one generation, however it ends."""
    measures = Measures(engine)
    try:
        yield measures
    except ParleyError as failure:
        measures.outcome = failure.code
        raise
    finally:
        measures.log()

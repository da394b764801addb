"""POST /v1/chat/completions: one generation, told as it is made (SSE) or whole (JSON).

A stream's 200 is sent with its first part, so what fails before keeps its status; what fails later is one `error` event
and the end. A complete stream ends with exactly one `data: [DONE]`. When the client leaves, at whatever moment, or
stops reading, the generation is cancelled. Prompts and replies are never logged, only their sizes.
"""

import json
import logging

import anyio
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from llm_service.answers import Answers
from llm_service.core.answer import DONE, Delta, Finished, FinishReason, Part, Usage
from llm_service.openai_wire import ChatRequest, Envelope
from llm_service.settings import LlmSettings
from llm_service.upstream import SERVICE
from shared.clock import now_s
from shared.errors import ParleyError, error_body
from shared.metrics import ERRORS, LLM_TOKENS, LLM_TTFT_SECONDS

log = logging.getLogger(__name__)
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def add_chat(app: FastAPI, answers: Answers, settings: LlmSettings) -> None:
    """Add the route."""

    @app.post("/v1/chat/completions", response_model=None)
    async def chat_completions(request: ChatRequest) -> Response:
        return ChatAnswer(answers, request, settings)


class ClientGone(Exception):
    """Nobody takes the answer any more."""


class ChatAnswer(Response):
    """The answer to one request. It is made while it is sent, so a client that leaves ends it."""

    def __init__(self, answers: Answers, request: ChatRequest, settings: LlmSettings) -> None:
        super().__init__()
        self._answers = answers
        self._request = request
        self._idle_timeout_s = settings.idle_timeout_s
        self._envelope = Envelope(settings.public_name)
        self._measures = _Measures(answers.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope, name="client")
            try:
                await (self._stream(send) if self._request.stream else self._tell_whole(scope, receive, send))
            except ClientGone:
                self._measures.outcome = "client_gone"
            except ParleyError as error:
                failure = error
                self._measures.fail(error)
            finally:
                self._measures.log()
            tasks.cancel_scope.cancel()
        if failure:
            raise failure

    async def _stream(self, send: Send) -> None:
        """Tell each part when it comes. Raises a ParleyError only as long as nothing was sent."""
        voice = _EventStream(send, self._idle_timeout_s)
        try:
            async with self._answers.answer(self._request) as parts:
                async for part in parts:
                    self._measures.note(part)
                    if not voice.has_begun:
                        await voice.say(self._envelope.chunk({"role": "assistant", "content": ""}))
                    await self._tell(part, voice)
                self._measures.outcome = "completed"
                await voice.end(DONE)
        except ParleyError as failure:
            if not voice.has_begun:
                raise
            if not voice.has_ended:
                self._measures.fail(failure)
                await voice.end(json.dumps(error_body(failure)))

    async def _tell(self, part: Part, voice: "_EventStream") -> None:
        match part:
            case Delta(text):
                await voice.say(self._envelope.chunk({"content": text}))
            case Finished(reason):
                await voice.say(self._envelope.chunk({}, reason))
            case Usage() if self._request.asks_usage():
                await voice.say(self._envelope.usage_chunk(part))

    async def _tell_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        texts: list[str] = []
        reason: FinishReason = "stop"
        usage: Usage | None = None
        async with self._answers.answer(self._request) as parts:
            async for part in parts:
                self._measures.note(part)
                match part:
                    case Delta(text):
                        texts.append(text)
                    case Finished(reason):
                        pass
                    case Usage():
                        usage = part
        self._measures.outcome = "completed"
        await JSONResponse(self._envelope.completion("".join(texts), reason, usage))(scope, receive, send)


class _EventStream:
    """Our side of one SSE answer."""

    def __init__(self, send: Send, idle_timeout_s: float) -> None:
        self._send = send
        self._idle_timeout_s = idle_timeout_s
        self.has_begun = False
        self.has_ended = False

    async def say(self, event: dict[str, object]) -> None:
        """One event; waits for a slow client, and raises ClientGone when it takes nothing any more."""
        await self._write(json.dumps(event, ensure_ascii=False, separators=(",", ":")), more=True)

    async def end(self, payload: str) -> None:
        """The last event, and the end of the body."""
        self.has_ended = True
        await self._write(payload, more=False)

    async def _write(self, payload: str, more: bool) -> None:
        with anyio.move_on_after(self._idle_timeout_s) as patience:
            if not self.has_begun:
                self.has_begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            body = f"data: {payload}\n\n".encode()
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if patience.cancelled_caught:
            raise ClientGone


class _Measures:
    """What is counted of one generation."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._asked_s = now_s()
        self._ttft_ms: int | None = None
        self._delta_count = 0
        self.outcome = "cancelled"

    def note(self, part: Part) -> None:
        if isinstance(part, Delta):
            if self._ttft_ms is None:
                ttft_s = now_s() - self._asked_s
                self._ttft_ms = round(1000 * ttft_s)
                LLM_TTFT_SECONDS.labels(self._engine).observe(ttft_s)
            self._delta_count += 1
        elif isinstance(part, Usage):
            LLM_TOKENS.labels("prompt").inc(part.prompt_tokens)
            LLM_TOKENS.labels("completion").inc(part.completion_tokens)

    def fail(self, failure: ParleyError) -> None:
        self.outcome = failure.code
        ERRORS.labels(SERVICE, failure.code).inc()

    def log(self) -> None:
        total_ms = round(1000 * (now_s() - self._asked_s))
        figures = {"ttft_ms": self._ttft_ms, "deltas": self._delta_count, "total_ms": total_ms}
        log.info("a generation ended", extra={"engine": self._engine, "outcome": self.outcome, **figures})


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """The body was read before, so what comes next is that the client left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()

"""Fit a request to the engine before it is asked: what it wants of its tools, and the conversation into the context, so
that a long talk never ends in a refusal.

Tools are fitted first, in wanted_calls.py: what the model is not told of takes no room. What goes of the conversation
is decided in core/prompt_budget.py from the engine's own token counts. No text is counted while all is so short that it
must fit. Where the engine is there and does not count, the conversation goes as it is, and the engine is not asked to
count for a while; one that is down is only said to be down.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pydantic import BaseModel

from llm_service.answers import Answers
from llm_service.core.answer import Part
from llm_service.core.markers import MarkerBreaker
from llm_service.core.prompt_budget import Measured, kept
from llm_service.engines.base import Engine
from llm_service.exchange import RETRY_AFTER_MS, SERVICE
from llm_service.openai_wire import ChatRequest
from llm_service.settings import LlmSettings
from llm_service.token_counts import Terms, TokenCounter, Uncountable, Unreached
from llm_service.wanted_calls import as_calls, chosen
from shared.clock import now_s
from shared.errors import ContextLengthExceeded, ServiceUnavailable

log = logging.getLogger(__name__)
_LEAST_REPLY_TOKENS = 16
_STARTING = "The language model is starting."
_UNCOUNTED_S = 30.0  # an engine that cannot count now is not waited for by each request


class FittedAnswers:
    """Answers of one engine to conversations of any length. Open it inside the engine's own block."""

    def __init__(self, answers: Answers, engine: Engine, settings: LlmSettings) -> None:
        self.name = answers.name
        self._answers = answers
        self._counter = TokenCounter(engine, settings)
        self._markers = MarkerBreaker(engine.manner.markers)
        self._tools = engine.manner.tools
        self._trims = settings.trim and engine.manner.counts_tokens
        self._counts_from_s = 0.0

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Answers can be asked for inside the block."""
        return self._counter.opened()

    @asynccontextmanager
    async def answer(self, request: ChatRequest) -> AsyncIterator[AsyncGenerator[Part, None]]:
        """As Answers has it; raises ContextLengthExceeded when the pinned messages and the last turn do not fit,
        ServiceUnavailable when the engine is down, and Unsupported for a call that the model cannot be made to make."""
        request, is_calls = chosen(request, self._tools)
        fitted = await self.fitted(request) if self._trims else request
        answer = self._answers.answer(fitted)
        async with as_calls(answer) if is_calls else answer as parts:
            yield parts

    async def fitted(self, request: ChatRequest) -> ChatRequest:
        """The request with the messages that fit."""
        if now_s() < self._counts_from_s:
            return request
        texts = [self._markers.broken(text) for text in _texts(request)]
        try:
            terms = await self._counter.terms()
            bounds = [len(text.encode()) for text in texts]  # no token is shorter than a byte
            if self._kept(request, bounds, terms) == list(range(len(request.messages))):
                return request
            counts = await self._counter.counts(texts)
        except Unreached:
            raise ServiceUnavailable(_STARTING, service=SERVICE, retry_after_ms=RETRY_AFTER_MS) from None
        except Uncountable:
            log.warning("prompts are not counted and go as they are", extra={"engine": self.name})
            self._counts_from_s = now_s() + _UNCOUNTED_S
            return request
        stay = self._kept(request, counts, terms)
        if stay is None:
            raise ContextLengthExceeded(
                "The instructions and the last message alone are longer than the model's context.",
                service=SERVICE,
                param="messages",
            )
        if len(stay) == len(request.messages):
            return request
        log.info("old turns were left out of a prompt", extra={"messages": len(request.messages), "kept": len(stay)})
        return request.model_copy(update={"messages": [request.messages[index] for index in stay]})

    def _kept(self, request: ChatRequest, counts: list[int], terms: Terms) -> list[int] | None:
        """The messages that stay, with room for as long a reply as is asked for if that takes no more than half."""
        *told, tools_tokens = counts
        measured = [
            Measured(message.role, tokens + terms.message_tokens)
            for message, tokens in zip(request.messages, told, strict=True)
        ]
        asked = request.max_completion_tokens or request.max_tokens or terms.context_tokens // 4
        room = terms.context_tokens - terms.fixed_tokens - tools_tokens
        stay = kept(measured, room - min(asked, terms.context_tokens // 2))
        return stay if stay is not None else kept(measured, room - _LEAST_REPLY_TOKENS)  # a short reply before none


def _texts(request: ChatRequest) -> list[str]:
    """What each message says and calls, and last what describes the tools."""
    calls = [_as_json(message.tool_calls) for message in request.messages]
    said = [message.text + called for message, called in zip(request.messages, calls, strict=True)]
    return [*said, _as_json(request.tools)]


def _as_json(parts: Sequence[BaseModel] | None) -> str:
    return json.dumps([part.model_dump(exclude_unset=True) for part in parts]) if parts else ""

"""Who answers a request: the seam between the routes and the servers behind them."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from llm_service.core.answer import Part
from llm_service.core.markers import MarkerBreaker
from llm_service.openai_wire import ChatRequest
from llm_service.upstream import Upstream


class Answers(Protocol):
    """Something that answers chats. `name` is who, for figures and logs."""

    name: str

    def answer(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncGenerator[Part, None]]:
        """The parts of one answer: text, its end, then its counts when known. Raises a ParleyError, also while read.

        A cancel or an error inside the block stops the work at once.
        """


class EngineAnswers:
    """One engine answers, for the model that the request names, or of its own choice."""

    def __init__(self, upstream: Upstream) -> None:
        self.name = upstream.engine.name
        self._upstream = upstream
        self._markers = MarkerBreaker(upstream.engine.manner.markers)

    def answer(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncGenerator[Part, None]]:
        return self._upstream.answer(request.for_engine(self._upstream.engine.manner, self._markers, request.model))

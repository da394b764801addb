"""Ask an engine for a text completion, OpenAI's older form: a prompt goes on, without roles and without a template."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import httpx

from llm_service.core.answer import AnswerReader, Part, lacks_route, refuses_stream_options
from llm_service.core.text_answer import TextReader
from llm_service.dialect import Dialect
from llm_service.engines.base import Engine, Manner, Target
from llm_service.exchange import SERVICE, Refusal, send
from llm_service.settings import LlmSettings
from llm_service.upstream import Upstream
from shared.errors import Unsupported

_NONE = "The model's server makes no text completions; use chat completions."


class TextUpstream:
    """The client side of one engine, if there is one. Open it inside the engine's own block; leaving it ends every
    completion."""

    def __init__(self, engine: Engine | None, settings: LlmSettings) -> None:
        self.name = engine.name if engine else "none"
        self.manner = engine.manner if engine else Manner(model=None)
        self._upstream = _Upstream(engine, settings) if engine else None

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Completions can be asked for inside the block."""
        return self._upstream.opened() if self._upstream else nullcontext()

    def complete(self, body: Mapping[str, Any]) -> AbstractAsyncContextManager[AsyncGenerator[Part, None]]:
        """The parts of one completion, as Upstream.answer has them; Unsupported when nobody makes any."""
        if self._upstream is None:
            raise Unsupported(_NONE, service=SERVICE)
        return self._upstream.answer(body)


class _Upstream(Upstream):
    """As for chats, in another dialect."""

    def __init__(self, engine: Engine, settings: LlmSettings) -> None:
        super().__init__(engine, settings)
        self._dialect = _TextDialect()


class _TextDialect(Dialect):
    """Text completions alone."""

    async def ask(
        self, client: httpx.AsyncClient, target: Target, body: Mapping[str, Any], limit: int
    ) -> tuple[httpx.Response, AnswerReader]:
        """An accepted answer, to be read by that reader and closed."""
        address, body = f"{target.address}/completions", {**body, "stream": True}
        answer = await send(client, target, address, {**body, "stream_options": {"include_usage": True}})
        if isinstance(answer, Refusal) and refuses_stream_options(answer.status, answer.body):
            answer = await send(client, target, address, body)
        if not isinstance(answer, Refusal):
            return answer, TextReader(limit)
        if lacks_route(answer.status, answer.body):
            raise Unsupported(_NONE, service=SERVICE)
        raise answer.error()

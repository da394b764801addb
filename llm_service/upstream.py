"""Ask one server for an answer, and hand it on as clean parts or one typed error.

Always asks for a stream, so that there is one path and leaving it stops the work: the connection is closed at once. An
answer that was read to its end gives its connection back for the next. Every wait has an end: for the engine, for the
connection, for the first token, between events. A server that failed too often is not asked for a while, where a
breaker is given.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx

from llm_service.core.answer import AnswerReader, Part
from llm_service.core.breaker import Breaker, Outcome, Pass
from llm_service.dialect import Dialect
from llm_service.engines.base import Engine, Target
from llm_service.engines.bodies import plain_bytes
from llm_service.exchange import RETRY_AFTER_MS, SERVICE, parts_of, read_tail, typed
from llm_service.settings import LlmSettings
from llm_service.upstream_specs import Kind
from shared.clock import now_s
from shared.errors import EngineFailed, Overloaded, ParleyError, ServiceTimeout, ServiceUnavailable
from shared.metrics import LLM_RUNNING

__all__ = ["RETRY_AFTER_MS", "SERVICE", "Upstream"]
_STOPPING = "The language service is stopping."
_LEFT_ALONE = "The model's server failed lately and is left alone for a while."


class Upstream:
    """The client side of one engine. Open it inside the engine's own block; leaving it ends every answer."""

    def __init__(
        self, engine: Engine, settings: LlmSettings, breaker: Breaker | None = None, kind: Kind = "auto"
    ) -> None:
        self.engine = engine
        self._settings = settings
        self._breaker = breaker
        self._dialect = Dialect(kind)
        self._answers: set[anyio.CancelScope] = set()
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Answers can be asked for inside the block. Leaving it refuses new ones and ends those that run."""
        timeout = httpx.Timeout(None, connect=self._settings.connect_timeout_s)
        # llama.cpp closes the connection of a stream, though it says otherwise; and what is not kept is not sent twice.
        is_local = self.engine.manner.is_local
        kept = 0 if is_local else self._settings.max_requests
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=not is_local) as self._client:
            try:
                yield
            finally:
                self._client = None
                for answer in self._answers:
                    answer.cancel()

    @asynccontextmanager
    async def answer(self, body: Mapping[str, Any]) -> AsyncIterator[AsyncGenerator[Part, None]]:
        """The parts of one answer: text, its end, then its counts when known. Raises a ParleyError, also while read.

        A cancel or an error inside the block closes the connection to the engine at once.
        """
        client = self._client
        if client is None:
            raise ServiceUnavailable(_STOPPING, service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        if len(self._answers) >= self._settings.max_requests:
            raise Overloaded("Too many answers are wanted at once.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        with self._counted() as scope, self._tried() as trial:
            target = await self._target()
            deadline_s = now_s() + self._settings.first_token_timeout_s
            async with (
                self._asked(client, target, body, deadline_s) as (chunks, reader),
                aclosing(parts_of(chunks, reader, deadline_s, self._settings.idle_timeout_s)) as parts,
                aclosing(trial.noted(parts)) as noted,
            ):
                yield noted
                if not self.engine.manner.is_local:
                    await read_tail(chunks)
        if scope.cancelled_caught:
            raise ServiceUnavailable(_STOPPING, service=SERVICE, retry_after_ms=RETRY_AFTER_MS)

    @asynccontextmanager
    async def _asked(
        self, client: httpx.AsyncClient, target: Target, body: Mapping[str, Any], deadline_s: float
    ) -> AsyncIterator[tuple[AsyncGenerator[bytes, None], AnswerReader]]:
        """The bytes of an accepted answer. Unless they are read to the end, the connection is closed at once."""
        with typed(deadline_s):
            response, reader = await self._dialect.ask(client, target, body, self._settings.answer_limit)
        try:
            async with aclosing(plain_bytes(response)) as chunks:
                yield chunks, reader
        finally:
            await response.aclose()  # closes the socket without waiting for the peer, under a cancel too

    @contextmanager
    def _counted(self) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope, LLM_RUNNING.labels(self.engine.name).track_inprogress():
            self._answers.add(scope)
            try:
                yield scope
            finally:
                self._answers.discard(scope)

    @contextmanager
    def _tried(self) -> Iterator["_Trial"]:
        """Leave for one request, and what became of it told to the breaker."""
        given = self._breaker.admit(now_s()) if self._breaker else None
        if self._breaker and not given:
            wait_ms = max(1, round(1000 * self._breaker.retry_in_s(now_s())))
            raise ServiceUnavailable(_LEFT_ALONE, service=SERVICE, retry_after_ms=wait_ms)
        trial = _Trial(self._breaker, given)
        try:
            yield trial
        except (ServiceUnavailable, ServiceTimeout, EngineFailed):
            trial.becomes(Outcome.FAILED)
            raise
        except ParleyError:  # it refused, so it answers
            trial.becomes(Outcome.ANSWERED)
            raise
        finally:
            trial.becomes(Outcome.ABANDONED)

    async def _target(self) -> Target:
        target = await self.engine.target(self._settings.start_wait_s)
        if target is None:
            raise ServiceUnavailable("The language model is starting.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        return target


class _Trial:
    """What becomes of one request, told to the breaker; the first thing that is known holds."""

    def __init__(self, breaker: Breaker | None, given: Pass | None) -> None:
        self._breaker = breaker
        self._given = given

    def becomes(self, outcome: Outcome) -> None:
        if self._breaker and self._given:
            self._breaker.note(self._given, outcome, now_s())
            self._given = None

    async def noted(self, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
        """The parts; the first one means that the server answers."""
        async for part in parts:
            self.becomes(Outcome.ANSWERED)
            yield part

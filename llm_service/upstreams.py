"""Several servers behind one front: each request goes to the one that its model names, or to one that stands in for it.

A server that cannot serve — out of reach, overloaded, failing, too late, left alone by its breaker — is replaced by the
next before the first token was told, and never after it: two servers never write one answer. A refusal of the request
itself is no reason to ask another. What each server may take, and how long it is waited for, are its own bounds.
Prompts, replies and keys are never logged, only names and codes.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from llm_service.answers import Answers, EngineAnswers
from llm_service.catalogue import Catalogue, Entry
from llm_service.core.answer import Answerer, Part
from llm_service.core.breaker import Breaker, BreakerParams
from llm_service.core.routing import Place, Way, is_plain, ways
from llm_service.engines import load
from llm_service.engines.base import Engine, Manner
from llm_service.engines.remote import RemoteServer
from llm_service.exchange import RETRY_AFTER_MS, SERVICE
from llm_service.openai_wire import ChatRequest
from llm_service.prompt import FittedAnswers
from llm_service.settings import LlmSettings, own_name
from llm_service.upstream import Upstream
from llm_service.upstream_specs import UpstreamSpec
from shared.errors import (
    EngineFailed,
    ModelNotFound,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
    Unsupported,
)
from shared.health import READY

log = logging.getLogger(__name__)
_ELSEWHERE = (ServiceUnavailable, ServiceTimeout, EngineFailed, Overloaded, Unsupported)  # another may do better
_LONGEST_REST_S = 60.0


def load_upstreams(settings: LlmSettings) -> "Upstreams":
    """The servers that the settings name; raises engines.base.SetupProblem."""
    is_only_default = settings.engine == "openai" and "upstream_url" not in settings.model_fields_set
    return Upstreams(settings, None if is_only_default and settings.upstreams else load(settings))


@dataclass(frozen=True, slots=True)
class _Member:
    """One server: its place among the others, what it is, who asks it."""

    entry: Entry
    engine: Engine
    upstream: Upstream
    answers: Answers
    takes_tools: bool = True

    @property
    def place(self) -> Place:
        return self.entry.place


class Upstreams:
    """The engine of the settings, when there is one, and the servers of LLM_UPSTREAMS."""

    def __init__(self, settings: LlmSettings, engine: Engine | None) -> None:
        own = [_own(settings, engine)] if engine else []
        members = [*own, *(_listed(settings, spec) for spec in settings.upstreams)]
        self.name = members[0].engine.name
        self.engine = engine
        self.catalogue = Catalogue([member.entry for member in members])
        self._members = {member.place.name: member for member in members}
        self._default = settings.default_model
        self._stand_ins = settings.fallback

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers can be asked for inside the block; leaving it ends all answers first, then the engines."""
        async with AsyncExitStack() as stack:
            for member in self._members.values():
                await stack.enter_async_context(member.engine.running())
            await stack.enter_async_context(self.catalogue.running())
            for member in self._members.values():
                await stack.enter_async_context(member.upstream.opened())
                if isinstance(member.answers, FittedAnswers):
                    await stack.enter_async_context(member.answers.opened())
            yield

    async def readiness(self) -> str:
        """`ready` when a request that names no model can be answered; else what the first one misses."""
        states = []
        for way in ways(self._default, await self._places(self._default), self._stand_ins):
            states.append(await self._members[way.upstream].engine.readiness())
            if states[-1] == READY:
                return READY
        return next(iter(states), "no server has the default model")

    @asynccontextmanager
    async def answer(self, request: ChatRequest) -> AsyncIterator[AsyncGenerator[Part, None]]:
        """The parts of one answer, who answers first. Raises a ParleyError, also while read.

        A cancel or an error inside the block stops the work at once.
        """
        failures: list[ParleyError] = []
        found = await self._ways(request)
        for way in found:
            has_begun = False
            try:
                async with self._asked(way, request) as parts:
                    first = await anext(parts)  # nobody was told anything before
                    has_begun = True
                    async with aclosing(_told(self._answerer(way), first, parts)) as told:
                        yield told
                    return
            except ParleyError as failure:
                was_asked_for = not failures and request.model and way.model  # else the operator named the model
                is_set_wrong = isinstance(failure, ModelNotFound) and not was_asked_for
                if has_begun or not (is_set_wrong or isinstance(failure, _ELSEWHERE)):
                    raise
                failures.append(failure)
                stand_ins = len(found) - len(failures)
                figures = {"upstream": way.upstream, "code": failure.code, "stand_ins": stand_ins}
                log.warning("a server cannot serve", extra=figures)
        if isinstance(failures[0], ModelNotFound):
            raise EngineFailed("The model's server does not have the model that is set.", service=SERVICE)
        raise failures[0]

    def _asked(self, way: Way, request: ChatRequest) -> AbstractAsyncContextManager[AsyncGenerator[Part, None]]:
        return self._members[way.upstream].answers.answer(request.model_copy(update={"model": way.model}))

    async def _ways(self, request: ChatRequest) -> list[Way]:
        """Who may answer, in order; raises a ParleyError when nobody does."""
        model = request.model or self._default
        places = await self._places(model)
        found = ways(model, places, self._stand_ins)
        if not found and any(place.models is None for place in places):
            raise ServiceUnavailable(
                "Whether a server has this model is not known now.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS
            )
        if not found:
            raise ModelNotFound("There is no such model.", service=SERVICE, param="model")
        able = [way for way in found if self._members[way.upstream].takes_tools or not request.needs_tools()]
        if not able:
            raise Unsupported("This model's server takes neither tools nor a response format.", service=SERVICE)
        return able

    async def _places(self, model: str) -> list[Place]:
        """The servers with as much known of their models as it takes to find this one."""

        def is_enough(places: Sequence[Place]) -> bool:
            return is_plain(model, places) and bool(ways(model, places, self._stand_ins))

        places = self.catalogue.places
        return places if is_enough(places) else await self.catalogue.asked(is_enough)

    def _answerer(self, way: Way) -> Answerer:
        member = self._members[way.upstream]
        return Answerer(member.engine.name, _public_name(member, way.model))


def _public_name(member: _Member, model: str | None) -> str:
    """What the one who asked is told; `model`: None for the server's own choice."""
    if member.place.public_name and not model:
        return member.place.public_name
    model = model or member.engine.manner.model
    return f"{member.place.name}/{model}" if model else member.place.name


async def _told(answerer: Answerer, first: Part, parts: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    yield answerer
    yield first
    async for part in parts:
        yield part


def _own(settings: LlmSettings, engine: Engine) -> _Member:
    """The engine of the settings. One in a child process is watched by its supervisor, and needs no breaker."""
    is_local = engine.manner.is_local
    models = (settings.public_name,) if is_local else (engine.manner.model,) if engine.manner.model else None
    place = Place(own_name(settings.engine), models, is_closed=is_local, public_name=settings.public_name)
    listing = engine.models if isinstance(engine, RemoteServer) and models is None else None
    upstream = Upstream(engine, settings, None if is_local else _breaker(settings))
    answers = FittedAnswers(EngineAnswers(upstream), engine, settings)
    return _Member(Entry(place, listing), engine, upstream, answers)


def _listed(settings: LlmSettings, spec: UpstreamSpec) -> _Member:
    """A server of LLM_UPSTREAMS."""
    manner = Manner(model=spec.models[0] if spec.models else None, is_local=False)
    engine = RemoteServer(spec.name, spec.url, spec.key, manner)
    place = Place(spec.name, spec.models or None, is_closed=bool(spec.models))
    own = settings.model_copy(update=spec.bounds())
    upstream = Upstream(engine, own, _breaker(settings), spec.kind)
    listing = None if spec.models else engine.models
    return _Member(Entry(place, listing), engine, upstream, EngineAnswers(upstream), spec.takes_tools)


def _breaker(settings: LlmSettings) -> Breaker:
    longest_s = max(_LONGEST_REST_S, settings.breaker_open_s)
    return Breaker(BreakerParams(settings.breaker_failures, settings.breaker_open_s, longest_s))

"""The real llama.cpp server as a server elsewhere: by both of its paths, and while it comes and goes."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from llm_service.core.answer import Delta, Finished, Usage
from llm_service.engines.llama_server import LlamaServer, load
from llm_service.settings import LlmSettings
from llm_service.upstreams import Upstreams
from tests.support.llm_upstreams import Server, answer, fronted, parts_told

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def llama(anyio_backend: str) -> AsyncIterator[LlamaServer]:
    engine = load(LlmSettings())
    async with engine.running():
        yield engine


@asynccontextmanager
async def in_front_of(llama: LlamaServer) -> AsyncIterator[Upstreams]:
    """The server under three names, one for each kind; the demo model wants a low temperature."""
    target = await llama.target(20)
    assert target is not None
    key = target.headers["Authorization"].removeprefix("Bearer ")
    specs = {kind: {"url": target.address, "key": key, "kind": kind} for kind in ("auto", "chat", "completion")}
    listed = [{"name": name, **spec} for name, spec in specs.items()]
    async with fronted(None, {}, upstreams=listed) as upstreams:
        yield upstreams


@pytest.mark.parametrize("kind", ["auto", "chat", "completion"])
async def test_it_answers_by_every_path(llama: LlamaServer, kind: str) -> None:
    async with in_front_of(llama) as upstreams:
        parts = await parts_told(upstreams, kind, temperature=0, max_tokens=20)

    _, *texts, finished, usage = parts
    assert texts != []
    assert all(isinstance(part, Delta) for part in texts)
    assert isinstance(finished, Finished)
    assert isinstance(usage, Usage)
    assert usage.prompt_tokens > 5
    assert 1 < usage.completion_tokens <= 20


async def test_both_paths_give_the_same_answer_where_the_server_renders_its_own_template(llama: LlamaServer) -> None:
    async with in_front_of(llama) as upstreams:
        (_, chat), (_, older) = [
            await answer(upstreams, kind, temperature=0, max_tokens=20, repeat_penalty=1)
            for kind in ("chat", "completion")
        ]

    assert chat == older


async def test_a_short_limit_is_told_by_every_path(llama: LlamaServer) -> None:
    async with in_front_of(llama) as upstreams:
        ends = [
            [part for part in await parts_told(upstreams, kind, max_tokens=1) if isinstance(part, Finished)]
            for kind in ("chat", "completion")
        ]

    assert ends == [[Finished("length")]] * 2


async def test_its_models_are_listed_with_its_key(llama: LlamaServer) -> None:
    async with in_front_of(llama) as upstreams:
        places = await upstreams.catalogue.asked()

    assert {place.name: place.models for place in places} == dict.fromkeys(
        ("auto", "chat", "completion"), ("parley-demo",)
    )


async def test_while_it_is_gone_another_answers_and_when_it_is_back_it_does() -> None:
    engine, other = load(LlmSettings()), Server()
    async with other.engine.running():
        target = await other.engine.target(0)
        assert target is not None
        settings = LlmSettings.model_validate(
            {"start_wait_s": 0, "trim": False, "fallback": "other"}
            | {"upstreams": [{"name": "other", "url": target.address, "models": ["m"]}]}
        )
        upstreams = Upstreams(settings, engine)
        async with upstreams.running():
            assert await engine.target(30)
            before, _ = await answer(upstreams, max_tokens=3)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            meanwhile, _ = await answer(upstreams, max_tokens=3)
            with anyio.fail_after(30):  # each question waits for nothing, and lets the server go on starting
                while (await answer(upstreams, max_tokens=3))[0] != "parley-demo":
                    await checkpoint()

    assert (before, meanwhile) == ("parley-demo", "other/m")

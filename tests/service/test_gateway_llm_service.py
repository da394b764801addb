"""A long talk through the gateway's client and the language service: what is remembered, left out, and answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from gateway.core.history import History
from gateway.llm_client import LlmClient, Question
from llm_service.settings import LlmSettings
from shared.errors import ContextLengthExceeded
from tests.support.counting_engine import CountingEngine
from tests.support.llm import talking_to

pytestmark = [pytest.mark.service, pytest.mark.anyio]

PERSONA = "You are kind."
ANSWER = "This is a canned answer."
CONTEXT_TOKENS = 400


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def reached(engine: CountingEngine) -> AsyncIterator[LlmClient]:
    """The gateway's client of a service around this engine."""
    settings = LlmSettings(engine="fake", context_tokens=CONTEXT_TOKENS)
    async with talking_to(engine, settings) as service, LlmClient(str(service.base_url), 20, 20).opened() as client:
        yield client


async def answered(client: LlmClient, history: History, text: str) -> str:
    question = Question(history.messages(text), None, 320, text.split()[-1])
    async with client.answer(question) as deltas:
        return "".join([delta.text async for delta in deltas])


async def test_in_a_long_talk_nothing_is_refused_and_most_prompts_begin_as_the_one_before() -> None:
    engine, history = CountingEngine(CONTEXT_TOKENS), History(PERSONA, max_turns=40)
    async with reached(engine) as client:
        for turn in range(100):
            assert await answered(client, history, f"question {turn}") == ANSWER
            history.add(f"question {turn}", ANSWER)

    prompts = [[message["content"] for message in body["messages"]] for body in engine.asked]
    anew = sum(later[: len(prompt)] != prompt for prompt, later in pairwise(prompts))
    assert len(prompts) == 100
    assert all((prompt[0], prompt[-1]) == (PERSONA, f"question {turn}") for turn, prompt in enumerate(prompts))
    assert max(map(len, prompts)) > 20
    assert anew < 40


async def test_a_server_that_nobody_counts_for_is_asked_again_for_less() -> None:
    engine, history = CountingEngine(CONTEXT_TOKENS, counts_tokens=False), History(PERSONA)
    for turn in range(100):
        history.add(f"question {turn}", ANSWER)
    async with reached(engine) as client:
        assert await answered(client, history, "and now") == ANSWER

    assert [len(body["messages"]) for body in engine.asked] == [202, 102, 52]
    assert (engine.messages()[0]["content"], engine.messages()[-1]["content"]) == (PERSONA, "and now")


async def test_a_question_that_is_too_long_alone_is_refused_as_such() -> None:
    engine = CountingEngine(CONTEXT_TOKENS, counts_tokens=False)
    async with reached(engine) as client:
        with pytest.raises(ContextLengthExceeded) as refused:
            await answered(client, History(PERSONA), "word " * CONTEXT_TOKENS)

    assert refused.value.service == "llm"

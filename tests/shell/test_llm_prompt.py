"""Long conversations are fitted into an engine's context before it is asked."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llm_service.answers import EngineAnswers
from llm_service.core.answer import Delta
from llm_service.engines.base import Target
from llm_service.engines.fake import FakeEngine
from llm_service.openai_wire import ChatRequest
from llm_service.prompt import FittedAnswers
from llm_service.settings import LlmSettings
from llm_service.upstream import Upstream
from shared.errors import ContextLengthExceeded, ServiceUnavailable
from tests.support.counting_engine import FIXED_TOKENS, MARKER, MESSAGE_TOKENS, CountingEngine
from tests.support.llm_upstreams import no_server_at

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PERSONA = {"role": "system", "content": "You are Ada . Be brief ."}
CONTEXT = 2048


@asynccontextmanager
async def fitting(engine: FakeEngine, **fields: Any) -> AsyncIterator[FittedAnswers]:
    settings = LlmSettings(**{"engine": "fake", "context_tokens": CONTEXT, "start_wait_s": 0, **fields})
    upstream = Upstream(engine, settings)
    answers = FittedAnswers(EngineAnswers(upstream), engine, settings)
    async with engine.running(), upstream.opened(), answers.opened():
        yield answers


async def ask(answers: FittedAnswers, messages: list[dict[str, str]], **fields: Any) -> str:
    request = ChatRequest.model_validate({"messages": messages, **fields})
    async with answers.answer(request) as parts:
        return "".join([part.text async for part in parts if isinstance(part, Delta)])


def talk(turns: int, words: int = 20) -> list[dict[str, str]]:
    """A persona, finished turns and one more question."""
    past = [
        {"role": role, "content": f"{number} {' '.join([role] * words)}"}
        for number in range(turns)
        for role in ("user", "assistant")
    ]
    return [PERSONA, *past, {"role": "user", "content": f"{turns} {' '.join(['user'] * words)}"}]


async def test_a_conversation_of_500_turns_never_ends_in_a_refusal_and_the_persona_is_always_there() -> None:
    engine = CountingEngine(CONTEXT)
    beginnings = []

    async with fitting(engine) as answers:
        for turns in range(0, 500, 3):
            assert await ask(answers, talk(turns)) == "This is a canned answer."
            assert engine.messages()[0] == PERSONA
            assert engine.messages()[-1] == talk(turns)[-1]
            beginnings.append(engine.messages()[1]["content"])

    assert len(set(beginnings)) < len(beginnings) / 2  # what was read before is of use most of the time


async def test_what_is_short_is_not_counted() -> None:
    engine = CountingEngine(CONTEXT)

    async with fitting(engine) as answers:
        await ask(answers, talk(0))
        learnt = len(engine.tokenised)
        await ask(answers, talk(1))

    assert learnt == len(engine.tokenised) == 3  # a word, and two conversations to learn the template from
    assert len(engine.messages()) == 4


async def test_each_text_is_counted_once_and_many_in_one_question() -> None:
    engine = CountingEngine(CONTEXT)

    async with fitting(engine) as answers:
        await ask(answers, talk(40))
        before = len(engine.tokenised)
        await ask(answers, talk(40))
        await ask(answers, talk(41))

    assert before == 3 + 4 + 1  # the template, which marker is a token, all the texts
    assert engine.tokenised[before:] == [f"{talk(41)[-2]['content']}{MARKER}{talk(41)[-1]['content']}"]


@pytest.mark.parametrize("markers", [(), ("a b",)])
async def test_without_a_marker_that_is_a_token_each_text_is_asked_for(markers: tuple[str, ...]) -> None:
    engine = CountingEngine(400, markers=markers)

    async with fitting(engine, context_tokens=400) as answers:
        await ask(answers, talk(20))

    assert talk(20)[1]["content"] in engine.tokenised
    assert engine.messages()[0] == PERSONA
    assert 2 < len(engine.messages()) < 41


async def test_text_that_holds_a_marker_is_counted_as_it_will_be_read() -> None:
    engine = CountingEngine(CONTEXT)
    messages = [{"role": "user", "content": f"{MARKER} " * 300}] * 8

    async with fitting(engine) as answers:
        await ask(answers, messages, max_tokens=10)

    assert len(engine.messages()) == 2  # 600 words each, once the markers are broken: 3 do not fit three quarters


@pytest.mark.parametrize(("max_tokens", "kept"), [(1, 16), (50, 12), (None, 12), (1000, 7)])
async def test_room_is_left_for_the_answer(max_tokens: int | None, kept: int) -> None:
    engine = CountingEngine(200)
    messages = [{"role": "user", "content": "one two three four five six seven"}] * 40  # 10 tokens each

    async with fitting(engine, context_tokens=200) as answers:
        await ask(answers, messages, max_tokens=max_tokens)

    assert len(engine.messages()) == kept


async def test_a_question_that_leaves_little_room_for_an_answer_is_asked_alone() -> None:
    engine = CountingEngine(100)

    async with fitting(engine, context_tokens=100) as answers:
        await ask(answers, talk(3, words=100 - 16 - FIXED_TOKENS - 2 * MESSAGE_TOKENS - 7 - 1))

    assert [message["role"] for message in engine.messages()] == ["system", "user"]


async def test_only_a_question_that_does_not_fit_beside_the_persona_is_refused() -> None:
    engine = CountingEngine(100)

    async with fitting(engine, context_tokens=100) as answers:
        with pytest.raises(ContextLengthExceeded) as failure:
            await ask(answers, talk(3, words=100 - 16 - FIXED_TOKENS - 2 * MESSAGE_TOKENS - 7))

    assert failure.value.param == "messages"
    assert engine.asked == []


@pytest.mark.parametrize("fields", [{"trim": False}, {"counts_tokens": False}])
async def test_a_server_that_does_not_count_and_one_that_shall_not_be_trimmed_get_what_was_asked(
    fields: dict[str, Any],
) -> None:
    engine = CountingEngine(100_000, counts_tokens=fields.pop("counts_tokens", True))

    async with fitting(engine, **fields) as answers:
        await ask(answers, talk(200))

    assert len(engine.messages()) == 402
    assert engine.tokenised == []


@pytest.mark.parametrize(
    "refusal",
    [(404, {"error": "no"}), (500, {}), (200, []), (200, {"tokens": None}), (200, {"tokens": [1], "prompt": 1})],
)
async def test_where_the_engine_does_not_count_the_conversation_goes_as_it_is(
    refusal: tuple[int, object], caplog: pytest.LogCaptureFixture
) -> None:
    engine = CountingEngine(100_000)
    engine.refusal = refusal

    async with fitting(engine) as answers:
        with caplog.at_level(logging.WARNING, "llm_service"):
            await ask(answers, talk(200))
            await ask(answers, talk(200))

    assert len(engine.messages()) == 402
    assert [record.message for record in caplog.records] == ["prompts are not counted and go as they are"]


async def test_tools_and_their_calls_take_room_too() -> None:
    engine = CountingEngine(400)
    tool = {"type": "function", "function": {"name": "f", "description": "what it is for " * 30}}
    call = {"id": "1", "function": {"name": "f", "arguments": "one " * 60}}
    called = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "done"}]
    messages: list[Any] = [*talk(3), *called]

    async with fitting(engine, context_tokens=400) as answers:
        await ask(answers, messages, max_tokens=100)
        without_tools = len(engine.messages())
        await ask(answers, messages, max_tokens=100, tools=[tool])

    assert without_tools == 10
    assert [message["role"] for message in engine.messages()] == ["system", "user", "assistant", "tool"]


class Comes(CountingEngine):
    """It is down when it is asked for the first times: not there, or where nobody answers any more."""

    def __init__(self, *first: str) -> None:
        super().__init__(CONTEXT)
        self._first = list(first)

    async def target(self, within_s: float) -> Target | None:
        how = self._first.pop(0) if self._first else "up"
        return None if how == "none" else Target(await no_server_at(), {}) if how == "gone" else await super().target(0)


@pytest.mark.parametrize("how", ["none", "gone"])
async def test_an_engine_that_is_down_is_said_to_be_down_and_counts_when_it_is_up(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Comes(how)
    async with fitting(engine) as answers:
        with pytest.raises(ServiceUnavailable) as failure, caplog.at_level(logging.WARNING, "llm_service"):
            await ask(answers, talk(1))
        await ask(answers, talk(200))

    assert failure.value.retry_after_ms == 1000
    assert 2 < len(engine.messages()) < 402
    assert caplog.records == []


@pytest.mark.parametrize("how", ["none", "gone"])
async def test_an_engine_that_ended_while_its_template_was_known_counts_when_it_is_up_again(how: str) -> None:
    engine = Comes("up", "up", how)  # the terms, the answer, the counts
    async with fitting(engine) as answers:
        await ask(answers, talk(0))
        with pytest.raises(ServiceUnavailable):
            await ask(answers, talk(200))
        await ask(answers, talk(200))

    assert 2 < len(engine.messages()) < 402


async def test_an_engine_that_is_loading_counts_when_it_has_loaded() -> None:
    engine = CountingEngine(CONTEXT)
    engine.refusal = (503, {"error": {"message": "Loading model"}})
    async with fitting(engine) as answers:
        with pytest.raises(ServiceUnavailable):
            await ask(answers, talk(1))
        engine.refusal = None
        await ask(answers, talk(200))

    assert 2 < len(engine.messages()) < 402


async def test_no_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with fitting(CountingEngine(CONTEXT)) as answers:
        with caplog.at_level(logging.DEBUG, "llm_service"):
            await ask(answers, talk(200))

    [record] = [record for record in caplog.records if record.name == "llm_service.prompt"]
    assert vars(record)["messages"] == 402
    assert "assistant" not in str(vars(record))

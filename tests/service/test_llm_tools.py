"""OpenAI's own client calling tools of the language service, and of one that asks another Parley.

The demo model was taught no tools. With a chat template that knows them it must call them where the request says so;
what it calls of its own free will is not looked at.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from openai import BadRequestError, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageFunctionToolCall
from pydantic import BaseModel, Field

from llm_service.settings import LlmSettings
from tests.service import test_llm_openai_client as client_tests
from tests.service.test_llm_openai_client import HELLO, House, houses_of, strict
from tests.support.llm import TOOL_TEMPLATE

pytestmark = [pytest.mark.service, pytest.mark.anyio]


class Day(BaseModel):
    name: Literal["Monday", "Friday"]
    hours: list[Literal[9, 18]] = Field(min_length=1, max_length=2)


class Weather(BaseModel):
    city: Literal["Paris", "Rome"]
    day: Day


class Clock(BaseModel):
    pass


MODELS: dict[str, type[BaseModel]] = {"Weather": Weather, "Clock": Clock}
TOOLS: Any = [pydantic_function_tool(model) for model in MODELS.values()]
NAMED: Any = {name: {"type": "function", "function": {"name": name}} for name in MODELS}

engine = client_tests.engine
anyio_backend = client_tests.anyio_backend
house = client_tests.house


@pytest.fixture(scope="module")
async def houses(anyio_backend: str, engine: str) -> AsyncIterator[dict[str, House]]:
    """Houses whose chat template knows tools."""
    here = LlmSettings(engine=engine, context_tokens=1024, slots=2, start_wait_s=20, chat_template_path=TOOL_TEMPLATE)
    async with houses_of(here) as found:
        yield found


@pytest.fixture(scope="module")
async def toolless_houses(anyio_backend: str, engine: str) -> AsyncIterator[dict[str, House]]:
    """Houses with the demo model's own template."""
    async with houses_of(LlmSettings(engine=engine, context_tokens=512, slots=2, start_wait_s=20)) as found:
        yield found


@pytest.fixture(params=client_tests.HOUSES)
def toolless(request: pytest.FixtureRequest, toolless_houses: dict[str, House]) -> House:
    return toolless_houses[request.param]


async def asked(house: House, **fields: Any) -> ChatCompletion:
    wanted = {"model": house.model, "messages": HELLO, "tools": TOOLS, "max_tokens": 300, "temperature": 0, **fields}
    told: ChatCompletion = strict(await house.client.chat.completions.create(**wanted))
    return told


async def streamed(house: House, **fields: Any) -> list[ChatCompletionChunk]:
    wanted = {"model": house.model, "messages": HELLO, "tools": TOOLS, "max_tokens": 300, "temperature": 0, **fields}
    return [strict(chunk) async for chunk in await house.client.chat.completions.create(**wanted, stream=True)]


def calls_in(told: ChatCompletion) -> list[ChatCompletionMessageFunctionToolCall]:
    """The calls, each whole and of a function that was given."""
    calls = told.choices[0].message.tool_calls or []
    for call in calls:
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        assert call.id
        MODELS[call.function.name].model_validate_json(call.function.arguments, strict=True)
    assert len({call.id for call in calls}) == len(calls)
    return calls  # type: ignore[return-value]  # all were looked at


@pytest.mark.parametrize("choice", ["required", *NAMED])
async def test_a_call_that_must_be_made_is_made(house: House, choice: str) -> None:
    told = await asked(house, tool_choice=NAMED.get(choice, choice))

    (call,) = calls_in(told)
    assert call.function.name in ([choice] if choice in NAMED else [*MODELS])
    assert told.choices[0].finish_reason == "tool_calls"
    assert told.choices[0].message.content is None
    assert told.usage is not None
    assert told.usage.completion_tokens > 0


@pytest.mark.parametrize("choice", ["required", *NAMED])
async def test_a_call_that_must_be_made_is_streamed(house: House, choice: str) -> None:
    chunks = await streamed(house, tool_choice=NAMED.get(choice, choice))

    deltas = [chunk.choices[0].delta for chunk in chunks]
    pieces = [piece for delta in deltas for piece in delta.tool_calls or []]
    first, *rest = pieces
    assert (first.type, bool(first.id)) == ("function", True)
    assert {piece.index for piece in pieces} == {0}
    assert [(piece.id, piece.function and piece.function.name) for piece in rest] == [(None, None)] * len(rest)
    assert first.function is not None
    assert first.function.name in ([choice] if choice in NAMED else [*MODELS])
    arguments = "".join((piece.function and piece.function.arguments) or "" for piece in pieces)
    MODELS[first.function.name].model_validate_json(arguments, strict=True)
    assert "".join(delta.content or "" for delta in deltas) == ""
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_client_reads_the_arguments_as_its_own_types(house: House) -> None:
    told = await house.client.chat.completions.parse(
        model=house.model, messages=HELLO, tools=TOOLS, tool_choice=NAMED["Weather"], temperature=0
    )

    (call,) = told.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)


async def test_the_client_puts_a_stream_of_calls_together(house: House) -> None:
    async with house.client.chat.completions.stream(
        model=house.model, messages=HELLO, tools=TOOLS, tool_choice="required", temperature=0
    ) as stream:
        told = await stream.get_final_completion()

    assert len(calls_in(ChatCompletion.model_validate(told.to_dict()))) == 1


async def test_several_calls_may_be_made_where_they_are_asked_for(house: House) -> None:
    told = await asked(house, tool_choice="required", parallel_tool_calls=True, max_tokens=700)

    assert 1 <= len(calls_in(told)) <= 16
    assert told.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("fields", [{"tool_choice": "auto"}, {}, {"tool_choice": "none"}])
async def test_a_model_that_may_call_nothing_just_answers(house: House, fields: dict[str, str]) -> None:
    told = await asked(house, **fields, max_tokens=40)
    chunks = await streamed(house, **fields, max_tokens=40)

    assert told.choices[0].message.tool_calls is None
    assert (told.choices[0].message.content or "").strip()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == told.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == told.choices[0].finish_reason


async def test_a_model_that_may_call_is_told_of_its_tools_and_another_is_not(house: House) -> None:
    plain = await asked(house, max_tokens=5, tools=[])
    none = await asked(house, max_tokens=5, tool_choice="none")
    auto = await asked(house, max_tokens=5, tool_choice="auto")

    assert plain.usage is not None
    assert none.usage is not None
    assert auto.usage is not None
    assert none.usage.prompt_tokens == plain.usage.prompt_tokens < auto.usage.prompt_tokens - 50


async def test_a_talk_goes_on_with_what_the_tool_gave(house: House) -> None:
    first = await asked(house, tool_choice=NAMED["Weather"])
    (call,) = calls_in(first)
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain all day"}
    talk: list[Any] = [*HELLO, first.choices[0].message.to_dict(), result]

    told = await asked(house, messages=talk, max_tokens=20)
    again = await asked(house, messages=talk, tool_choice="required")

    assert first.usage is not None
    assert told.usage is not None
    assert (told.choices[0].message.content or "").strip()
    assert told.usage.prompt_tokens > first.usage.prompt_tokens + 10
    assert len(calls_in(again)) == 1


@pytest.mark.parametrize("arguments", ["", '{"city": "Pa', "Rome", "[1, NaN]"])
async def test_a_call_that_was_cut_or_is_no_json_does_not_end_the_talk(house: House, arguments: str) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "Weather", "arguments": arguments}}
    result = {"role": "tool", "tool_call_id": "call-1", "content": "that was no call"}
    talk = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}, result]

    told = await asked(house, messages=talk, max_tokens=20)

    assert (told.choices[0].message.content or "").strip()


async def test_a_call_that_is_longer_than_it_may_be_is_said_to_be_cut(house: House) -> None:
    told = await asked(house, tool_choice=NAMED["Weather"], max_tokens=12)
    chunks = await streamed(house, tool_choice=NAMED["Weather"], max_tokens=12)

    assert told.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"
    for call in told.choices[0].message.tool_calls or []:
        with pytest.raises(json.JSONDecodeError):
            json.loads(call.function.arguments)  # type: ignore[union-attr]  # it has one


async def test_no_text_stops_a_call_before_it_is_whole(house: House) -> None:
    assert len(calls_in(await asked(house, tool_choice="required", stop=["{", "name", '"']))) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [{"type": "function", "function": {"name": "Rain"}}, {"type": "made_up"}])
async def test_a_choice_of_a_function_that_was_not_given_is_refused(house: House, choice: Any, stream: bool) -> None:
    with pytest.raises(BadRequestError) as refusal:
        await house.client.chat.completions.create(
            model=house.model, messages=HELLO, tools=TOOLS, tool_choice=choice, stream=stream
        )

    assert refusal.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", NAMED["Weather"]])
async def test_a_model_whose_template_knows_no_tools_cannot_be_made_to_call_one(
    toolless: House, choice: Any, stream: bool
) -> None:
    with pytest.raises(BadRequestError) as refusal:
        await toolless.client.chat.completions.create(
            model=toolless.model, messages=HELLO, tools=TOOLS, tool_choice=choice, stream=stream
        )

    assert refusal.value.code == "unsupported"
    assert refusal.value.type == "invalid_request_error"


async def test_a_model_whose_template_knows_no_tools_answers_where_it_may(toolless: House) -> None:
    told = await asked(toolless, max_tokens=40)

    assert told.choices[0].message.tool_calls is None
    assert (told.choices[0].message.content or "").strip()

"""What llama.cpp in batches of our own making adds to tool calls: any temperature, several, cut ones, any schema.

The model is the demo, which knows nothing of tools: that its calls are sound is the grammar's work.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import BadRequestError
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage

from llm_service.settings import LlmSettings
from tests.service import test_llm_openai_client as client_tests
from tests.service.test_llm_openai_client import HELLO, HOUSES, House, houses_of, strict
from tests.support.llm import TOOL_TEMPLATE

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 12},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
    "required": ["city", "unit", "days"],
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now", "description": "The time."}},
]
NAMED = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def houses(anyio_backend: str) -> AsyncIterator[dict[str, House]]:
    here = LlmSettings(
        engine="llama_cpp", context_tokens=1024, slots=2, start_wait_s=20, chat_template_path=TOOL_TEMPLATE
    )
    async with houses_of(here) as found:
        yield found


house = client_tests.house


async def asked(house: House, **fields: Any) -> ChatCompletion:
    whole: dict[str, Any] = {"model": house.model, "messages": HELLO, "tools": TOOLS, "max_tokens": 300, **fields}
    return strict(await house.client.chat.completions.create(**whole))  # type: ignore[no-any-return]


async def streamed(house: House, **fields: Any) -> tuple[list[tuple[str, str, str]], str, str]:
    """The calls as id, name and arguments, the text, and why it ended."""
    whole = {"model": house.model, "messages": HELLO, "tools": TOOLS, "max_tokens": 300, "stream": True, **fields}
    chunks: list[ChatCompletionChunk] = [
        strict(chunk) async for chunk in await house.client.chat.completions.create(**whole)
    ]
    calls: dict[int, list[str]] = {}
    for piece in [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]:
        assert piece.function is not None
        call = calls.setdefault(piece.index, ["", "", ""])
        found = (piece.id, piece.function.name, piece.function.arguments)
        calls[piece.index] = [old + (new or "") for old, new in zip(call, found, strict=True)]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    return [(one[0], one[1], one[2]) for one in calls.values()], text, str(chunks[-1].choices[0].finish_reason)


def calls_of(message: ChatCompletionMessage) -> list[tuple[str, str, str]]:
    """The calls as id, name and arguments."""
    found = message.tool_calls or []
    return [(one.id, one.function.name, one.function.arguments) for one in found if one.type == "function"]


def check(name: str, arguments: str) -> None:
    """The arguments keep to the schema."""
    given = json.loads(arguments)
    if name == "now":
        assert given == {}
        return
    assert given.keys() == WEATHER["properties"].keys()
    assert given["unit"] in ("celsius", "fahrenheit")
    assert 1 <= len(given["city"]) <= 12
    assert isinstance(given["days"], int)


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("temperature", [0, 1.5])
async def test_a_call_that_is_forced_is_made_whole(house: House, choice: Any, temperature: float) -> None:
    told = (await asked(house, tool_choice=choice, temperature=temperature, seed=7)).choices[0]

    assert told.finish_reason == "tool_calls"
    assert told.message.content is None
    ((key, name, arguments),) = calls_of(told.message)
    assert key
    assert name == "weather" or choice == "required"
    check(name, arguments)


async def test_several_calls_are_made_where_they_are_asked_for(house: House) -> None:
    """One answer of many at least: how many calls it makes is the model's choice."""
    counts = []
    for seed in range(8):
        many: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": True, "temperature": 2, "stop": "}"}
        told = (await asked(house, **many, seed=seed)).choices[0]
        calls = calls_of(told.message)
        counts.append(len(calls))
        assert len({key for key, _, _ in calls}) == len(calls)
        for _, name, arguments in calls if told.finish_reason == "tool_calls" else calls[:-1]:
            check(name, arguments)

    assert max(counts) > 1


async def test_a_call_that_the_model_makes_by_itself_is_found(house: House) -> None:
    """The demo model would make none: it is kept to JSON, which it may write as its answer, and which is one."""
    shape = {"type": "object", "properties": {"name": {"const": "weather"}, "arguments": WEATHER}}
    wanted = {"name": "it", "schema": {**shape, "required": ["name", "arguments"]}}
    asking: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": wanted}, "temperature": 0}
    told = (await asked(house, **asking)).choices[0]
    calls, text, reason = await streamed(house, **asking)

    assert (told.finish_reason, told.message.content) == ("tool_calls", None)
    assert (text, reason) == ("", "tool_calls")
    for _, name, arguments in [*calls_of(told.message), *calls]:
        assert name == "weather"
        check(name, arguments)
    assert len(calls) == 1


@pytest.mark.parametrize(("parallel", "expected"), [(True, '"a</tool_call>b"'), (False, '"a')])
async def test_where_one_call_is_all_nothing_follows_its_end(house: House, parallel: bool, expected: str) -> None:
    """The demo model is made to write the marker, in a text that is no call."""
    wanted = {"name": "it", "schema": {"const": "a</tool_call>b"}}
    shape = {"type": "json_schema", "json_schema": wanted}
    told = (await asked(house, response_format=shape, parallel_tool_calls=parallel)).choices[0]

    assert (told.message.content, told.finish_reason) == (expected, "stop")


async def test_a_call_that_is_cut_is_told_as_far_as_it_came(house: House) -> None:
    ((_, _, whole),) = calls_of((await asked(house, tool_choice=NAMED, temperature=0)).choices[0].message)
    told = (await asked(house, tool_choice=NAMED, temperature=0, max_tokens=45)).choices[0]
    ((_, _, arguments),), _, reason = await streamed(house, tool_choice=NAMED, temperature=0, max_tokens=45)
    nothing = (await asked(house, tool_choice=NAMED, temperature=0, max_tokens=1)).choices[0]

    assert [told.finish_reason, reason, nothing.finish_reason] == ["length"] * 3
    assert [calls_of(one.message)[0][1:] for one in (told, nothing)] == [("weather", arguments), ("weather", "")]
    assert len(arguments) < len(whole)
    assert whole.startswith(arguments)


TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"kids": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}},
}
HARD: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 17, "maximum": 4096}}, "required": ["n"]},
        "n",
    ),
    ({"properties": {"q": {"enum": ['say "hi"\\', "天气", None]}}, "required": ["q"]}, "q"),
    ({"properties": {"when": {"type": "string", "format": "date-time"}}, "required": ["when"]}, "when"),
    ({"properties": {"x": {"type": ["integer", "null"], "minimum": 1}, "any": {}}, "required": ["x"]}, "x"),
    (
        {
            "properties": {"tree": {"$ref": "#/$defs/tree"}},
            "required": ["tree"],
            "$defs": {"tree": {"enum": [[1], {}]}},
        },
        "tree",
    ),
    ({"properties": {"kids": TREE["properties"]["kids"]}, "required": ["kids"]}, "kids"),
    ({"type": "object", "additionalProperties": {"type": "boolean"}, "required": ["on"]}, "on"),
]


@pytest.mark.parametrize(("schema", "name"), HARD, ids=[name for _, name in HARD])
async def test_schemas_that_are_not_simple_are_kept_to(houses: dict[str, House], schema: Any, name: str) -> None:
    """What a grammar keeps to is tested by itself: here that llama.cpp takes it, and stays within it."""
    tools = [{"type": "function", "function": {"name": "do_it", "parameters": schema, "strict": True}}]
    for seed in range(3):
        told = (await asked(houses[HOUSES[0]], tools=tools, tool_choice="required", temperature=2, seed=seed)).choices[
            0
        ]
        ((_, called, arguments),) = calls_of(told.message)
        assert called == "do_it"
        if told.finish_reason == "tool_calls":
            assert json.loads(arguments).keys() <= {name, "any"}
            assert name in json.loads(arguments)


async def test_what_cannot_be_kept_to_is_refused_where_it_must_be(houses: dict[str, House]) -> None:
    """A pattern is as much as a hint, unless the tool is strict."""
    schema = {"properties": {"a": {"type": "string", "pattern": "^x+$", "maxLength": 9}}, "required": ["a"]}
    function = {"name": "do_it", "parameters": schema}
    ours = houses[HOUSES[0]]
    told = (await asked(ours, tools=[{"type": "function", "function": function}], tool_choice="required")).choices[0]
    with pytest.raises(BadRequestError):
        strict_one = {"type": "function", "function": {**function, "strict": True}}
        await asked(ours, tools=[strict_one], tool_choice="required")

    assert json.loads(calls_of(told.message)[0][2]).keys() == {"a"}

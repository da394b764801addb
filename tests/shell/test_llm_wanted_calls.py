"""What a request wants of its tools, and how an engine of this service is asked for it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_service.engines.base import ToolManner
from llm_service.engines.fake import Exchange, FakeEngine, Script
from llm_service.engines.supervised import knows_tools, model_options
from llm_service.openai_wire import ChatRequest
from llm_service.settings import LlmSettings
from llm_service.wanted_calls import chosen
from shared.errors import InvalidMessage, Unsupported
from tests.support.llm import FINISH, HELLO, TOOL_TEMPLATE, delta, loaded, says, streamed, talking_to, text_of

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("clock", "weather")
]
WEATHER = {"type": "function", "function": {"name": "weather"}}
FORCED = ["required", WEATHER]


def request_of(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": HELLO, "tools": TOOLS, **fields})


class Asked:
    """A script that remembers what was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.body: dict[str, Any] = {}

    async def __call__(self, exchange: Exchange) -> None:
        self.body = dict(exchange.body)
        await self._script(exchange)


def engine_of(manner: ToolManner, script: Script) -> FakeEngine:
    engine = FakeEngine(script)
    engine.manner = replace(engine.manner, tools=manner)
    return engine


@pytest.mark.parametrize("choice", [None, "auto", "none", *FORCED, {"type": "made_up"}])
def test_an_engine_that_sees_to_tools_itself_is_asked_as_the_request_says(choice: Any) -> None:
    call = {"id": "c", "function": {"name": "clock", "arguments": ""}}
    request = request_of(tool_choice=choice, messages=[*HELLO, {"role": "assistant", "tool_calls": [call]}])

    assert chosen(request, "passed") == (request, False)


@pytest.mark.parametrize("choice", FORCED)
def test_a_call_that_must_be_made_is_asked_for_as_json_that_no_text_stops(choice: Any) -> None:
    asked, is_calls = chosen(request_of(tool_choice=choice, stop="x", response_format={"type": "text"}), "shaped")

    assert is_calls
    assert asked.response_format is not None
    shapes = asked.response_format["json_schema"]["schema"]["anyOf"]
    names = [shape["properties"]["name"]["const"] for shape in shapes]
    assert names == (["weather"] if choice == WEATHER else ["clock", "weather"])
    assert (asked.tool_choice, asked.stop, len(asked.tools or ())) == ("none", None, 2)


@pytest.mark.parametrize("choice", FORCED)
def test_a_model_that_knows_no_tools_cannot_be_made_to_call_one(choice: Any) -> None:
    with pytest.raises(Unsupported) as refusal:
        chosen(request_of(tool_choice=choice), "unknown")

    assert refusal.value.param == "tool_choice"


@pytest.mark.parametrize("choice", [None, "auto", "none", *FORCED])
def test_an_engine_here_that_forces_calls_itself_is_asked_as_the_request_says(choice: Any) -> None:
    request = request_of(tool_choice=choice)

    assert chosen(request, "forced") == (request, False)


LARGE: dict[str, Any] = {"enum": [f"value {place}" for place in range(10_000)]}
COUNTED = {"type": "object", "properties": {"a": {"type": "array", "minItems": 10**9}}}
LOCAL: list[ToolManner] = ["forced", "shaped", "unknown"]


def tools_of(schema: Any) -> list[dict[str, Any]]:
    return [*TOOLS, {"type": "function", "function": {"name": "big", "parameters": schema}}]


@pytest.mark.parametrize("manner", LOCAL)
@pytest.mark.parametrize("schema", [LARGE, COUNTED])
def test_an_answer_of_a_shape_that_is_too_much_is_refused_here_and_not_elsewhere(
    manner: ToolManner, schema: dict[str, Any]
) -> None:
    asked = request_of(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    as_object = request_of(response_format={"type": "json_object", "schema": schema})
    small = request_of(response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object"}}})

    for request, param in ((asked, "response_format.json_schema.schema"), (as_object, "response_format.schema")):
        with pytest.raises(Unsupported) as refusal:
            chosen(request, manner)
        assert (refusal.value.status, refusal.value.param) == (400, param)
        assert chosen(request, "passed") == (request, False)
    assert chosen(small, manner)[0].response_format == small.response_format


@pytest.mark.parametrize("schema", [LARGE, COUNTED])
@pytest.mark.parametrize(
    ("manner", "choice"), [("shaped", "auto"), ("shaped", "required"), ("shaped", None), ("forced", "required")]
)
def test_a_tool_of_which_no_grammar_could_be_written_in_time_is_refused(
    manner: ToolManner, choice: str | None, schema: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported) as refusal:
        chosen(request_of(tools=tools_of(schema), tool_choice=choice), manner)

    assert refusal.value.param == "tools.2.function.parameters"


@pytest.mark.parametrize(
    ("manner", "choice"),
    [("forced", "auto"), ("forced", WEATHER), ("shaped", "none"), ("shaped", WEATHER), ("unknown", "auto"),
     ("passed", "required")],
)  # fmt: skip
def test_a_tool_of_which_no_grammar_is_written_may_be_of_any_size(manner: ToolManner, choice: Any) -> None:
    request = request_of(tools=tools_of(LARGE), tool_choice=choice)

    assert chosen(request, manner)[0].messages == request.messages


def test_the_tools_of_a_request_share_the_bounds() -> None:
    some = {"type": "object", "properties": {"a": {"enum": [f"value {place}" for place in range(400)]}}}
    tools = [{"type": "function", "function": {"name": f"t{place}", "parameters": some}} for place in range(3)]

    assert chosen(request_of(tools=tools[:2]), "shaped")[1] is False
    with pytest.raises(Unsupported, match="more than 1000 values") as refusal:
        chosen(request_of(tools=tools), "shaped")
    assert refusal.value.param == "tools.2.function.parameters"


@pytest.mark.parametrize("manner", LOCAL)
@pytest.mark.parametrize("choice", [{"type": "function", "function": {"name": "rain"}}, {"type": "made_up"}])
def test_a_choice_that_cannot_be_made_is_refused(manner: ToolManner, choice: Any) -> None:
    with pytest.raises(InvalidMessage) as refusal:
        chosen(request_of(tool_choice=choice), manner)

    assert refusal.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("manner", "choice", "tools"),
    [("shaped", "auto", 2), ("shaped", None, 2), ("shaped", "none", 0), ("unknown", "auto", 0), ("unknown", "none", 0)],
)
def test_a_model_is_told_of_the_tools_that_it_may_call(manner: ToolManner, choice: str | None, tools: int) -> None:
    asked, is_calls = chosen(request_of(tool_choice=choice), manner)

    assert not is_calls
    assert len(asked.tools or ()) == tools


@pytest.mark.parametrize("choice", ["auto", "required", "none"])
def test_without_tools_a_choice_means_nothing(choice: str) -> None:
    asked, is_calls = chosen(request_of(tools=None, tool_choice=choice), "unknown")

    assert not is_calls
    assert asked.messages == request_of().messages


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("", "{}"),
        (" \n", "{}"),
        ('{"a": "Ro', '"{\\"a\\": \\"Ro"'),
        ("[NaN]", '"[NaN]"'),
        ("[" * 20_000, json.dumps("[" * 20_000)),
    ],
)
def test_arguments_of_earlier_calls_are_told_as_json(arguments: str, told: str) -> None:
    call = {"id": "c", "function": {"name": "clock", "arguments": arguments}}
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]

    asked, _ = chosen(request_of(messages=messages), "shaped")

    assert [[one.function.arguments for one in message.tool_calls or ()] for message in asked.messages] == [
        [],
        [told],
        [],
    ]


async def test_what_is_written_as_json_is_told_as_a_call_while_it_comes() -> None:
    texts = ['{ "name": "wea', 'ther", "arguments": {"ci', 'ty": "Rome"} ', "}"]
    script = Asked(says(*map(delta, texts), FINISH, "[DONE]"))
    async with talking_to(engine_of("shaped", script)) as client:
        events = loaded(await streamed(client, tools=TOOLS, tool_choice=WEATHER))

    pieces = [piece for event in events for piece in event["choices"][0]["delta"].get("tool_calls", ())]
    assert [piece["function"] for piece in pieces] == [
        {"name": "weather", "arguments": '{"ci'},
        {"arguments": 'ty":"Rome"}'},
    ]
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert script.body["tools"] == TOOLS
    assert script.body["response_format"]["type"] == "json_schema"


async def test_what_is_no_call_where_one_must_be_is_a_failure_and_no_text() -> None:
    async with talking_to(engine_of("shaped", says(delta("Gladly!"), FINISH, "[DONE]"))) as client:
        body = {"messages": HELLO, "tools": TOOLS, "tool_choice": "required"}
        response = await client.post("/v1/chat/completions", json=body)

    assert (response.status_code, response.json()["error"]["code"]) == (502, "engine_failed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_comes_before_the_engine_is_asked(stream: bool) -> None:
    script = Asked(says(delta("hi"), FINISH))
    async with talking_to(engine_of("unknown", script)) as client:
        body = {"messages": HELLO, "tools": TOOLS, "tool_choice": "required", "stream": stream}
        response = await client.post("/v1/chat/completions", json=body)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "unsupported")
    assert script.body == {}


async def test_another_server_makes_the_call_that_the_model_here_cannot() -> None:
    elsewhere = Asked(says(delta("called"), FINISH, "[DONE]"))
    server = FakeEngine(elsewhere)
    async with server.running():
        target = await server.target(0)
        assert target is not None
        settings = LlmSettings(engine="fake", upstreams=f"able={target.address}", fallback="able")
        async with talking_to(engine_of("unknown", says()), settings) as client:
            events = await streamed(client, tools=TOOLS, tool_choice="required")

    assert text_of(events) == "called"
    assert (elsewhere.body["tools"], elsewhere.body["tool_choice"]) == (TOOLS, "required")


@pytest.mark.parametrize(
    ("template", "is_known"),
    [
        ("{% for tool in tools %}{{ tool }}{% endfor %}", True),
        ("{{ messages }}{% if builtin_tools %}{{ message.tool_calls }}{% endif %}", False),
        ("{# no tools\n here #}{{ messages }}", False),
    ],
)
def test_a_template_knows_tools_when_it_speaks_of_them(tmp_path: Path, template: str, is_known: bool) -> None:
    path = tmp_path / "x.jinja"
    path.write_text(template, encoding="utf-8")

    assert knows_tools(LlmSettings(chat_template_path=path)) is is_known


def test_the_child_is_told_of_the_template_alone_when_one_is_set() -> None:
    told = model_options(LlmSettings(chat_template_path=TOOL_TEMPLATE, gpu_memory_share=0.5))

    assert told[told.index("--chat-template") + 1] == str(TOOL_TEMPLATE)
    assert model_options(LlmSettings(gpu_memory_share=0.5)) == told[: told.index("--chat-template")]

"""Tool calls that must be made, asked for as JSON of a shape and read back from it."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import Failed, Failure, Finished, FinishReason, ToolCallDelta
from llm_service.core.shaped_calls import ShapedCalls, call_schema
from llm_service.core.tool_calls import ToolCall, ToolCalls

pytestmark = pytest.mark.core

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NEVER: dict[str, Any] = {"anyOf": [], "$defs": {}}


def read(*texts: str) -> tuple[list[ToolCall], ShapedCalls]:
    call, calls = ShapedCalls(), ToolCalls()
    for text in texts:
        for piece in call.read(text):
            calls.add(piece)
    return list(calls.whole()), call


def test_pieces_are_told_as_they_come_and_the_last_bracket_is_not_of_the_arguments() -> None:
    call = ShapedCalls()

    assert call.read('```json\n{ "na') == []
    assert call.read('me" :\n "add", "arguments" : { "a"') == [ToolCallDelta(0, None, "add", '{"a"')]
    assert call.read("  ") == []
    assert call.read(' : " } \\" " }') == [ToolCallDelta(0, arguments=':" } \\" "}')]
    assert call.read("}\n``` and }{more}") == []
    assert call.ended("stop") == Finished("tool_calls")


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=3), st.sampled_from([None, 1]), st.booleans(), st.data())
def test_cutting_a_call_anywhere_changes_nothing_and_its_arguments_are_what_was_written(
    name: str, arguments: dict[str, Any], indent: int | None, is_ascii: bool, data: st.DataObject
) -> None:
    text = json.dumps({"name": name, "arguments": arguments}, indent=indent, ensure_ascii=is_ascii)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))

    calls, call = read(*(text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])))

    assert [(one.name, json.loads(one.arguments)) for one in calls] == [(name, arguments)]
    assert calls == read(text)[0]
    assert call.ended("length") == Finished("tool_calls")


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("", []),
        ('{"name": "ad', []),
        ('{"name": "add", "arguments": {"a": 1', [ToolCall("", "add", '{"a":1')]),
        ('{"name": "add", "arguments": {"a": 1}', [ToolCall("", "add", '{"a":1}')]),
    ],
)
def test_a_call_that_was_cut_is_told_as_far_as_it_goes(text: str, calls: list[ToolCall]) -> None:
    told, call = read(text)

    assert told == calls
    assert call.ended("length") == Finished("length")
    assert call.ended("stop") == Failed(Failure.GARBLED)


@given(st.text(alphabet='{}[]"\\:, \nname,arguments1'), st.sampled_from(["stop", "length", "content_filter"]))
def test_whatever_is_written_is_read_without_an_error(text: str, reason: FinishReason) -> None:
    told, call = read('{"name":', text)

    assert all(isinstance(one, ToolCall) for one in told)
    assert isinstance(call.ended(reason), Finished | Failed)


@pytest.mark.parametrize(
    "text", ["Gladly!", '{"arguments": {}, "name": "add"}', '["add"]', '{"name": "\\x", "arguments": {}}']
)
def test_what_is_no_call_is_none(text: str) -> None:
    told, call = read(text)

    assert told == []
    assert call.ended("stop") == Failed(Failure.GARBLED)


def test_the_shape_is_one_call_of_any_of_the_functions() -> None:
    city = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}}

    schema = call_schema([("weather", city), ("clock", None)])

    assert schema["$defs"] == {"0": city, "1": {"type": "object", "properties": {}}}
    assert [shape["properties"] for shape in schema["anyOf"]] == [
        {"name": {"const": "weather"}, "arguments": {"$ref": "#/$defs/0"}},
        {"name": {"const": "clock"}, "arguments": {"$ref": "#/$defs/1"}},
    ]
    assert {(*shape["required"], shape["additionalProperties"]) for shape in schema["anyOf"]} == {
        ("name", "arguments", False)
    }
    assert call_schema([]) == NEVER


@given(st.lists(st.tuples(st.text(), st.dictionaries(st.text(), JSON, max_size=2)), min_size=1, max_size=4), st.data())
def test_several_calls_are_told_apart(wanted: list[tuple[str, dict[str, Any]]], data: st.DataObject) -> None:
    text = json.dumps([{"name": name, "arguments": arguments} for name, arguments in wanted])
    cut = data.draw(st.integers(0, len(text)))

    calls, call = read(text[:cut], text[cut:])

    assert [(one.name, json.loads(one.arguments)) for one in calls] == wanted
    assert call.ended("stop") == Finished("tool_calls")


def test_a_second_call_that_was_cut_is_told_as_far_as_it_goes() -> None:
    told, call = read('[{"name": "a", "arguments": {}}, {"name": "b", "arguments": {"c"')

    assert told == [ToolCall("", "a", "{}"), ToolCall("", "b", '{"c"')]
    assert call.ended("length") == Finished("length")


def test_the_shape_of_several_is_a_list_of_at_least_one() -> None:
    one, several = call_schema([("clock", None)]), call_schema([("clock", None)], is_several=True)

    assert several["items"] == {"anyOf": one["anyOf"]}
    assert several["$defs"] == one["$defs"]
    assert (several["type"], several["minItems"]) == ("array", 1)


def test_a_name_without_an_end_is_none_however_it_is_cut() -> None:
    """Looking for its end over and over would take the longer, the longer it is."""
    text = '{"name":"' + "x" * 5000 + '","arguments":{}}'

    for length in (1, 7, len(text)):
        calls = ShapedCalls()
        found = [piece for start in range(0, len(text), length) for piece in calls.read(text[start : start + length])]
        assert found == []
        assert calls.ended("stop") == Failed(Failure.GARBLED)


def test_anchors_of_two_schemas_are_not_taken_for_each_other() -> None:
    """A grammar is written of pointers alone."""
    asked: list[tuple[str, Any]] = [
        (name, {"properties": {"a": {"$ref": "#x"}}, "$defs": {name: {"$anchor": "x", "enum": [{"$ref": "#x"}]}}})
        for name in ("first", "second")
    ]

    parameters = call_schema(asked)["$defs"]

    assert [parameters[place]["properties"]["a"]["$ref"] for place in ("0", "1")] == [
        "#/$defs/0/$defs/first",
        "#/$defs/1/$defs/second",
    ]
    assert parameters["0"]["$defs"]["first"] == {"enum": [{"$ref": "#x"}]}


def test_references_of_a_schema_to_itself_still_hold_and_it_is_left_as_it_was() -> None:
    node = {"properties": {"next": {"$ref": "#"}, "$ref": {"type": "string"}, "far": {"$ref": "https://a/b"}}}
    tree: Mapping[str, Any] = {"$defs": {"n": node}, "properties": {"all": {"items": [{"$ref": "#/$defs/n"}]}}}
    before = json.dumps(tree)

    moved = call_schema([("clock", None), ("grow", tree)])["$defs"]["1"]

    assert moved["properties"]["all"]["items"] == [{"$ref": "#/$defs/1/$defs/n"}]
    assert moved["$defs"]["n"]["properties"] == node["properties"] | {"next": {"$ref": "#/$defs/1"}}
    assert json.dumps(tree) == before

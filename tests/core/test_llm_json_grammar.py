"""JSON that a schema describes, as a grammar: what it allows is written here and held against the schema."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.json_grammar import JsonGrammar
from tests.support.gbnf import Grammar

pytestmark = pytest.mark.core

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "object": (dict,), "array": (list,), "null": (type(None),),
}  # fmt: skip


def keeps(value: Any, schema: Any, whole: Any = None) -> bool:
    """Whether a value keeps to a schema, as far as the schemas of these tests go."""
    whole = schema if whole is None else whole
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        target = whole
        for part in schema["$ref"].split("/")[1:]:
            target = target[int(part) if isinstance(target, list) else part.replace("~1", "/").replace("%20", " ")]
        if not keeps(value, target, whole):
            return False
    return all(one(value, schema, whole) for one in (keeps_kind, keeps_parts, keeps_object, keeps_array, keeps_bounds))


def keeps_kind(value: Any, schema: Any, whole: Any) -> bool:
    types = schema.get("type", list(KINDS))
    types = types if isinstance(types, list) else [types]
    kinds = tuple(kind for name in types for kind in KINDS[name])
    is_of = isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)
    return is_of and value in schema.get("enum", [value]) and value == schema.get("const", value)


def keeps_parts(value: Any, schema: Any, whole: Any) -> bool:
    some = [schema[name] for name in ("anyOf", "oneOf") if name in schema]
    found = all(any(keeps(value, part, whole) for part in parts) for parts in some)
    return found and all(keeps(value, part, whole) for part in schema.get("allOf", []))


def keeps_object(value: Any, schema: Any, whole: Any) -> bool:
    if not isinstance(value, dict):
        return True
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    return set(schema.get("required", [])) <= value.keys() and all(
        keeps(inner, properties.get(name, more), whole) for name, inner in value.items()
    )


def keeps_array(value: Any, schema: Any, whole: Any) -> bool:
    if not isinstance(value, list):
        return True
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    items = [*first, *([rest] * len(value))][: len(value)]
    return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 99) and all(
        keeps(item, one, whole) for item, one in zip(value, items, strict=True)
    )


def keeps_bounds(value: Any, schema: Any, whole: Any) -> bool:
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 9999))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    is_above = "exclusiveMinimum" not in schema or schema["exclusiveMinimum"] < value
    is_below = "exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"]
    return bool(is_above and is_below and schema.get("minimum", value) <= value <= schema.get("maximum", value))


def written(schema: Any, data: st.DataObject, also: Any = True) -> Any:
    """What a text that the grammar allows says."""
    grammar = JsonGrammar()
    rule = grammar.rule_of(schema, also)
    assert rule is not None
    assert not grammar.loose
    text = Grammar(grammar.text()).write(rule, lambda count: data.draw(st.integers(0, count - 1)), depth=5)
    assert "\n" not in text
    text.encode()
    return json.loads(text)


names = st.sampled_from(["a", 'b"', "c d", "天"])
counts = st.integers(0, 3)
leaves = st.one_of(
    st.sampled_from([True, {}, {"type": "boolean"}, {"type": "null"}, {"type": "object"}, {"type": "array"}]),
    st.sampled_from([{"type": "string"}, {"type": "number"}, {"type": "integer"}, {"description": "any"}]),
    st.lists(st.sampled_from(["x", 'y"\\\n', "天", 1, None, 2.5]), min_size=1).map(lambda values: {"enum": values}),
    st.sampled_from(["x", 7, None, {"a": [1]}]).map(lambda value: {"const": value}),
    st.tuples(counts, counts).map(lambda two: {"type": "string", "minLength": min(two), "maxLength": max(two)}),
    st.tuples(st.sampled_from(["integer", "number"]), st.integers(-50, 50), st.integers(0, 300)).map(
        lambda three: {"type": three[0], "minimum": three[1], "maximum": three[1] + three[2]}
    ),
    st.sampled_from([{"type": ["string", "null"], "maxLength": 2}, {"type": ["integer", "string"], "minimum": 3}]),
    st.sampled_from([{"type": "integer", "exclusiveMinimum": 0}, {"minimum": 0.5, "exclusiveMaximum": 2.5}]),
    st.sampled_from([{"minLength": 1}, {"maxItems": 2}, {"required": ["z"]}, {"type": ["string"], "enum": ["a", 1]}]),
)


def bigger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = st.builds(
        lambda properties, required: {"type": "object", "properties": properties, "required": required},
        st.dictionaries(names, inner, max_size=3),
        st.lists(names, max_size=2, unique=True),
    )
    arrays = st.builds(
        lambda items, two: {"type": "array", "items": items, "minItems": min(two), "maxItems": max(two)},
        inner,
        st.tuples(counts, counts),
    )
    maps = inner.map(lambda values: {"type": "object", "additionalProperties": values})
    tuples = st.lists(inner, min_size=1, max_size=3).map(lambda items: {"type": "array", "prefixItems": items})
    either = st.lists(inner, min_size=1, max_size=3)
    return objects | arrays | maps | tuples | either.map(lambda parts: {"anyOf": parts, "title": "either"})


@given(st.recursive(leaves, bigger, max_leaves=6), st.data())
def test_what_is_allowed_is_json_and_keeps_to_the_schema(schema: Any, data: st.DataObject) -> None:
    value = written(schema, data)

    assert keeps(value, schema), value


TREE = {
    "type": "object",
    "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}, "leaf": {"$ref": "#/$defs/a~1b%20c"}},
    "required": ["leaf"],
    "$defs": {"a/b c": {"type": "integer", "minimum": 1, "maximum": 3}},
}
SPECIAL: list[Any] = [
    TREE,
    {"$ref": "#/$defs/t", "title": "a tree", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}},
    {"maxItems": 1},
    {"exclusiveMaximum": 3},
    {"type": "boolean", "enum": [True, 1]},
    {"$ref": "#/$defs/text", "maxLength": 2, "$defs": {"text": {"type": "string", "minLength": 1}}},
    {"properties": {"a": {"$ref": "#/oneOf/1"}}, "required": ["a"], "oneOf": [{"type": "object"}, {"type": "object"}]},
    {"type": "object", "additionalProperties": False},
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"a": False, "b": {"type": "null"}}},
    {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
    {"type": "array", "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    {"anyOf": [False, {"type": "object", "properties": {"a": True}}], "required": ["a"]},
    {"type": "string", "anyOf": [{"type": "null"}, {"minLength": 2}]},
    {"allOf": [{"type": ["number", "null"]}, {"type": "integer"}, True, {"minimum": 5}]},
    {"allOf": [
        {"properties": {"a": {"minimum": 1}, "b": {"type": "null"}}, "required": ["a"]},
        {"properties": {"a": {"type": "integer"}}, "required": ["b"], "title": "x"},
    ]},
    {"type": ["array", "nonsense"]},
]  # fmt: skip


@pytest.mark.parametrize("schema", SPECIAL, ids=range(len(SPECIAL)))
@given(st.data())
def test_schemas_that_refer_join_and_forbid_are_kept_to(schema: Any, data: st.DataObject) -> None:
    known = {**schema, "type": "array"} if schema.get("type") == ["array", "nonsense"] else schema
    value = written(schema, data)

    assert keeps(value, known), value


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("date", r"\d{4}-\d\d-\d\d"),
        ("time", r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
        ("date-time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
        ("uuid", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("email", r"(?s).*"),
    ],
)
@given(st.data())
def test_dates_times_and_uuids_have_their_form(form: str, pattern: str, data: st.DataObject) -> None:
    assert re.fullmatch(pattern, written({"type": "string", "format": form}, data))


@given(st.sampled_from([{}, True, TREE, {"type": ["object", "null"]}, {"$ref": "#/x", "x": {}}]), st.data())
def test_another_schema_may_be_kept_to_as_well(schema: Any, data: st.DataObject) -> None:
    value = written(schema, data, also={"type": "object"})

    assert isinstance(value, dict)
    assert keeps(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        7,
        False,
        {"type": "nonsense"},
        {"enum": []},
        {"type": "string", "enum": [1]},
        {"type": "boolean", "enum": [0]},
        {"const": float("nan")},
        {"const": "\ud800"},
        {"$ref": "https://example.org/x"},
        {"$ref": "#anchor"},
        {"$ref": 7},
        {"$ref": "#/$defs/none"},
        {"$ref": "#/a/9", "a": [1]},
        {"$ref": "#"},
        {"$ref": "#", "minLength": 1},
        {"properties": 7},
        {"properties": {"a": 7}, "required": ["a"]},
        {"required": "a"},
        {"minItems": 3, "maxItems": 2},
        {"anyOf": [False, {"type": "nonsense"}]},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"minimum": 1}, {"minimum": 2}]},
        {"allOf": [7]},
    ],
)
def test_of_what_cannot_be_kept_to_there_is_no_rule(schema: Any) -> None:
    assert JsonGrammar().rule_of(schema) is None


BIG = {"enum": [f"{place}{'x' * 50}" for place in range(100)]}
COUNTED = {"type": "array", "items": {"type": "string", "maxLength": 1000}, "maxItems": 1000}


@pytest.mark.parametrize("part", [BIG, COUNTED, {"type": "string", "pattern": "^(ab){200}$"}])
def test_what_would_be_written_again_and_again_is_no_longer_than_a_grammar_may_be(part: Any) -> None:
    """Each place asks for something more of the same part, so that it cannot share its rule."""

    def rule(count: int) -> str | None:
        properties = {f"p{place}": {"$ref": "#/$defs/part", "default": place, "not": {}} for place in range(count)}
        return JsonGrammar().rule_of({"properties": properties, "$defs": {"part": part}})

    assert rule(10)
    assert rule(900) is None


def test_the_bounds_are_those_of_all_schemas_together() -> None:
    grammar = JsonGrammar()

    rules = [grammar.rule_of(COUNTED) for _ in range(60)]

    assert [bool(rule) for rule in rules] == [True] * 50 + [False] * 10


@given(st.data())
def test_a_pattern_is_kept_to(data: st.DataObject) -> None:
    schema = {"properties": {"code": {"type": "string", "pattern": "^[a-z]{2}-\\d+$"}}, "required": ["code"]}

    assert re.search("^[a-z]{2}-[0-9]+$", written(schema, data)["code"])


@given(st.data())
def test_an_anchor_is_referred_to(data: st.DataObject) -> None:
    schema = {"items": {"$ref": "#here"}, "minItems": 1, "$defs": {"a": {"$anchor": "here", "const": 5}}}

    assert set(written(schema, data)) == {5}


def test_a_schema_that_is_too_deep_is_none() -> None:
    schema: Any = {"type": "null"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}

    assert JsonGrammar().rule_of(schema) is None


def test_parts_that_would_be_joined_without_end_are_none() -> None:
    """Each asks twice for the next one: all of them would be more than any memory holds."""
    parts = {
        str(place): {"anyOf": [{"$ref": f"#/$defs/{place + 1}", "required": [name]} for name in ("a", "b")]}
        for place in range(40)
    }

    assert JsonGrammar().rule_of({"$ref": "#/$defs/0", "$defs": {**parts, "40": {"type": "object"}}}) is None


@pytest.mark.parametrize(
    ("schema", "loose"),
    [
        ({"type": "string", "pattern": "a+"}, set()),
        ({"type": "string", "pattern": "^(?=a)"}, {"pattern"}),
        ({"type": "string", "pattern": "a+", "maxLength": 3}, {"pattern"}),
        ({"pattern": "a+", "format": "date"}, {"pattern"}),
        ({"pattern": "a+", "enum": ["b"]}, {"pattern"}),
        ({"type": "integer", "pattern": "a+"}, set()),
        ({"type": "array", "minItems": 5000.0}, {"minItems"}),
        ({"type": "string", "minLength": 2.5}, set()),
        ({"properties": {"a": {"not": {}}}, "minProperties": 1}, {"not", "minProperties"}),
        ({"type": "integer", "minimum": 5, "maximum": 4}, {"minimum", "maximum"}),
        ({"type": "array", "minItems": 5000}, {"minItems"}),
        ({"type": "integer", "minimum": True, "maximum": float("inf")}, set()),
        ({"type": "string", "maxLength": 10**9, "minLength": -1}, set()),
    ],
)
def test_what_is_not_kept_to_is_named(schema: Any, loose: set[str]) -> None:
    grammar = JsonGrammar()

    assert grammar.rule_of(schema)
    assert grammar.loose == loose


@given(st.data())
def test_several_schemas_share_one_grammar_and_nothing_of_each_other(data: st.DataObject) -> None:
    """The same reference means in each document what it means there."""
    grammar = JsonGrammar()
    rules = [grammar.rule_of({"$ref": "#/x", "x": {"const": value}}) for value in (1, 2)]
    found = Grammar(grammar.text())

    assert [found.write(str(rule), lambda count: data.draw(st.integers(0, count - 1))) for rule in rules] == ["1", "2"]

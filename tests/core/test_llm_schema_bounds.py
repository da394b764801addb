"""What of a schema is more than a grammar may cost, and that everyday schemas are not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.schema_bounds import DEEPEST, MOST_OPTIONAL, MOST_WAYS, Bounds

pytestmark = pytest.mark.core

EVERYDAY: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A route" * 1000,
    "description": "x" * 200_000,
    "type": "object",
    "properties": {
        "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}, "minItems": 1, "maxItems": 50},
        "mode": {"enum": ["walk", "ride", "fly", None]},
        "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "note": {"type": ["string", "null"], "maxLength": 10**9},
        "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
        "word": {"type": "string", "pattern": r"^(?=.*\d)(?=.*[a-z]).{8,}$"},
        "enum": {"type": "integer"},
        "flag": True,
    },
    "required": ["stops"],
    "$defs": {
        "stop": {"allOf": [{"$ref": "#/$defs/place"}, {"properties": {"after": {"$ref": "#/$defs/stop"}}}, True]},
        "place": {"type": "object", "properties": {"x": {"type": "number"}}, "default": {"enum": ["x"] * 9999}},
    },
}


def properties(count: int, value: object = True) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{place}": value for place in range(count)}}


def values(count: int) -> dict[str, Any]:
    return {"enum": [f"value {place}" for place in range(count)]}


def nested(depth: int) -> Any:
    schema: Any = {"type": "boolean"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def chained(links: int, width: int, name: str = "anyOf") -> dict[str, Any]:
    """Few letters that mean many ways: each link is any of so many times the next one."""
    parts = {str(place): {name: [{"$ref": f"#/$defs/{place + 1}"}] * width} for place in range(links)}
    return {"$ref": "#/$defs/0", "$defs": {**parts, str(links): {"type": "boolean"}}}


def joined(count: int, width: int) -> dict[str, Any]:
    parts = {f"p{place}": {"allOf": [{"$ref": "#/$defs/big"}]} for place in range(count)}
    return {"properties": parts, "$defs": {"big": {**properties(width)}}}


def test_everyday_schemas_are_within_the_bounds() -> None:
    assert Bounds().fault(EVERYDAY) is None


ABOVE: list[tuple[Any, Any, str]] = [
    (values(500), values(501), f"more than {MOST_WAYS} alternatives at one place"),
    (values(500), values(100_000), "more than 1000 values"),
    (
        {"properties": {"a": values(500), "b": values(500)}},
        {"properties": {"a": values(500), "b": values(499), "c": values(2)}},
        "more than 1000 values",
    ),
    (properties(200), properties(201), f"more than {MOST_OPTIONAL} properties of one object that may be left out"),
    ({**properties(900), "required": [f"p{place}" for place in range(800)]}, properties(5000), "more than 1000 prop"),
    ({}, {"required": [str(place) for place in range(1001)]}, "more than 1000 properties"),
    ({"oneOf": [properties(1)] * 500}, {"oneOf": [properties(1)] * 5000}, "more than 500 alternatives at one place"),
    ({"type": ["string", "null"]}, {"type": ["string"] * 501}, "more than 500 alternatives at one place"),
    (chained(2, 20), chained(8, 10), "more than 500 alternatives at one place"),
    (chained(2, 20), {"items": chained(8, 10)["$defs"], **chained(8, 10)}, "more than 500 alternatives at one place"),
    (chained(20, 1), chained(70, 1), "more than 64 references and alternatives within each other"),
    (nested(DEEPEST), nested(DEEPEST + 1), "more than 64 parts within each other"),
    ({"const": "x" * 99_000}, {"const": "x" * 100_001}, "more than 100000 letters"),
    ({}, {"const": {"x" * 100_001: 1}}, "more than 100000 letters"),
    ({"const": [0] * 9000}, {"const": [0] * 10_001}, "more than 10000 parts"),
    ({"const": [[0] * 4000] * 2}, {"const": [[0] * 4000] * 3}, "more than 10000 parts"),
    ({"minItems": 1000}, {"minItems": 1001}, "minItems above 1000"),
    ({"minLength": 1000.0}, {"minLength": 1e9}, "minLength above 1000"),
    ({"maxItems": 10**9}, {"minItems": 10**9}, "minItems above 1000"),
    ({"minItems": -5, "maxItems": "many"}, {"minItems": float("inf")}, "minItems above 1000"),
    (
        properties(20, {"maxLength": 5000}),
        properties(21, {"maxLength": 5000}),
        "more than 20000 counted repetitions",
    ),
    (
        properties(41, {"pattern": "^([a-z]{1,22}){1,22}$"}),
        properties(42, {"pattern": "^([a-z]{1,22}){1,22}$"}),
        "more than 20000 counted repetitions",
    ),
    ({"pattern": "^(?!x)a+$"}, {"pattern": "^((a|b)?(c|d)?){1,40}e$"}, "a pattern that repeats what no grammar can"),
    ({"pattern": 7}, {"pattern": "^(([a-z]{1,100}){1,100}){1,100}$"}, "a pattern that repeats what no grammar can"),
    (joined(4, 199), joined(5, 199), "more than 1000 properties"),
]  # fmt: skip


@pytest.mark.parametrize(("within", "above", "fault"), ABOVE, ids=[str(place) for place in range(len(ABOVE))])
def test_what_is_above_a_bound_is_told(within: Any, above: Any, fault: str) -> None:
    assert Bounds().fault(within) is None
    assert str(Bounds().fault(above)).startswith(fault)


def test_schemas_share_the_bounds() -> None:
    bounds = Bounds()

    assert [bounds.fault(values(400)) for _ in range(3)] == [None, None, "more than 1000 values"]


@pytest.mark.parametrize(
    "schema",
    [
        True, None, 7, "text", [], {"$ref": "#"}, {"$ref": 7}, {"$ref": "https://example.org/x"},
        {"allOf": [{"$ref": "#/no"}]},
        {"anyOf": [{"$ref": "#"}] * 9}, {"anyOf": 7, "enum": "x", "required": [[]], "properties": [1], "type": {}},
        {"properties": {"a": {"$ref": "#/properties/a"}}}, {"minItems": float("nan"), "maxItems": float("nan")},
    ],
)  # fmt: skip
def test_what_is_small_is_within_the_bounds_whatever_it_means(schema: Any) -> None:
    assert Bounds().fault(schema) is None


words = st.sampled_from(
    ["anyOf", "allOf", "enum", "$ref", "properties", "items", "required", "pattern", "minItems", "a"]
)
things = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.sampled_from(["#", "#/a", "#/anyOf/0", "#x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
)


@given(things)
def test_whatever_comes_is_looked_at_without_an_error_and_left_as_it_was(schema: Any) -> None:
    before = json.dumps(schema)

    assert Bounds().fault(schema) is None or isinstance(schema, list | dict)
    assert json.dumps(schema) == before

"""What references within a schema mean, and that they mean it still when the schema was put into another."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.schema_refs import Document, moved, schemas

pytestmark = pytest.mark.core

SCHEMA: dict[str, Any] = {
    "properties": {"$anchor": {"const": 1}, "enum": {"$anchor": "of a name"}, "list": {"prefixItems": [{"const": 2}]}},
    "$defs": {"a/b~c d%": {"$anchor": "odd", "const": 3}, "plain": {"$anchor": "plain", "enum": [{"$anchor": "no"}]}},
    "required": ["list"],
}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("#", SCHEMA),
        ("#/properties/list/prefixItems/0", {"const": 2}),
        ("#/$defs/a~1b~0c%20d%25", SCHEMA["$defs"]["a/b~c d%"]),
        ("#odd", SCHEMA["$defs"]["a/b~c d%"]),
        ("#plain", SCHEMA["$defs"]["plain"]),
        ("#of a name", {"$anchor": "of a name"}),
    ],
)
def test_a_reference_means_a_part_of_its_document(reference: str, expected: object) -> None:
    assert Document(SCHEMA).at(reference) == expected


@pytest.mark.parametrize(
    "reference",
    ["", "https://example.org/x", "other#plain", 7, None, "#none", "#no", "#/none", "#/required/1", "#/required/x",
     "#/$defs/plain/$anchor/x"],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_told(reference: object) -> None:
    with pytest.raises(LookupError):
        Document(SCHEMA).at(reference)


def test_values_and_names_are_no_schemas() -> None:
    found = [pointer for pointer, _ in schemas(SCHEMA)]

    assert sorted(found) == [
        "#", "#/$defs/a~1b~0c d%25", "#/$defs/plain", "#/properties/$anchor", "#/properties/enum", "#/properties/list",
        "#/properties/list/prefixItems/0",
    ]  # fmt: skip


names = st.sampled_from(["a", "b/c", "d~e", "f%20", "$ref", "enum", "properties"])
leaves = st.fixed_dictionaries({"const": st.integers(0, 9)})
bodies = st.dictionaries(names, leaves, min_size=1, max_size=4)


@given(bodies, st.data())
def test_a_schema_that_was_moved_means_what_it_meant(parts: dict[str, Any], data: st.DataObject) -> None:
    anchored = {name: {**part, "$anchor": f"n{place}"} for place, (name, part) in enumerate(parts.items())}
    targets = {f"#n{place}": part["const"] for place, part in enumerate(parts.values())}
    reference = data.draw(st.sampled_from(sorted(targets)))
    schema = {"properties": {"$ref": {"$ref": reference}}, "$defs": anchored}
    before = json.dumps(schema)

    whole = {
        "$defs": {"0": moved(schema, "#/$defs/0"), "1": moved({"$defs": {"x": {"const": -1, "$anchor": "n0"}}}, "")}
    }

    found = Document(whole).at(whole["$defs"]["0"]["properties"]["$ref"]["$ref"])
    assert found == {"const": targets[reference]}
    assert json.dumps(schema) == before


def test_what_looks_like_a_reference_in_a_value_and_what_leads_elsewhere_is_left_alone() -> None:
    schema = {
        "enum": [{"$ref": "#/x"}],
        "properties": {"a": {"$ref": "https://example.org/x"}, "b": {"$ref": "#none"}, "c": {"$ref": "#"}},
        "items": {"$ref": 7},
    }

    found = moved(schema, "#/$defs/0")

    assert (found["enum"], found["items"]) == (schema["enum"], schema["items"])
    assert [one["$ref"] for one in found["properties"].values()] == [
        "https://example.org/x", "#/$defs/0none", "#/$defs/0",
    ]  # fmt: skip

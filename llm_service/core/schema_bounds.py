"""Decide whether JSON schemas are small enough to become a grammar here, without holding up who else is answered.

llama.cpp writes a grammar and follows it between the steps of all replies. What costs it much is counted: parts,
letters, values, properties, the ways in which one place can go on, and what is repeated a counted number of times. The
bounds are measured: on one core a grammar within them costs a step less than a fifth of a second.

Never raises for what a peer sent, and looks at no more than the bounds allow. A schema of which no grammar can be made
may be within them: that is found out elsewhere.
Law: more of the same is never within the bounds where less is not.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_service.core.json_grammar import MOST_REPEATED
from llm_service.core.pattern_grammar import text_like
from llm_service.core.schema_refs import Document

_MOST = {  # of all schemas of a request
    "parts": 10_000,
    "letters": 100_000,  # of names and values; what only describes is not counted
    "values": 1000,
    "properties": 1000,
    "counted repetitions": 20_000,
}
MOST_OPTIONAL = 200  # properties of one object that may be left out: any of them may follow any before it
MOST_WAYS = 500  # to go on at one place: alternatives and values, references followed
DEEPEST = 64
_ASIDE = {"title", "description", "$comment", "default", "examples", "$schema", "$id"}
_BY_NAME = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}  # their keys are names
_VALUES = {"enum", "const", "required", "type"}  # what is in them is no schema
_COUNTS = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minProperties", "maxProperties"))
_REPEATED_GROUP = re.compile(r"\)[*+{]")


class _Above(Exception):
    """A bound is passed; says which."""


class Bounds:
    """The schemas of one request, which share the bounds."""

    def __init__(self) -> None:
        self._left = dict(_MOST)

    def fault(self, schema: object) -> str | None:
        """What of one more schema is above the bounds, as the end of a sentence; None: nothing."""
        document = Document(schema)
        ways = _Ways(document)
        left: list[tuple[object, int, str]] = [(schema, 0, "schema")]  # each part, how deep, and what it is
        try:
            self._take("parts", 1)
            while left:
                node, depth, kind = left.pop()
                left += self._inner(node, depth, kind)
                if kind == "schema" and isinstance(node, dict):
                    self._look(node, document)
                    ways.at(node)
        except _Above as fault:
            return str(fault)
        return None

    def _take(self, what: str, count: int) -> None:
        self._left[what] -= count
        if self._left[what] < 0:
            raise _Above(f"more than {_MOST[what]} {what}")

    def _inner(self, node: object, depth: int, kind: str) -> list[tuple[object, int, str]]:
        """The parts of a part."""
        if isinstance(node, str):
            self._take("letters", len(node))
        if not isinstance(node, dict | list):
            return []
        self._take("parts", len(node))
        if depth > DEEPEST:
            raise _Above(f"more than {DEEPEST} parts within each other")
        if isinstance(node, list):
            return [(one, depth + 1, kind) for one in node]
        self._take("letters", sum(map(len, node)))
        kept = [(name, one) for name, one in node.items() if kind != "schema" or name not in _ASIDE]
        return [(one, depth + 1, _kind(name, kind)) for name, one in kept]

    def _look(self, schema: Mapping[str, Any], document: Document) -> None:
        """What one object, list or text of a schema costs."""
        self._take("values", len(_list(schema.get("enum"))))
        required = {name for name in _list(schema.get("required")) if isinstance(name, str)}
        names = _names(schema)
        self._take("properties", len(required | names))
        if len(names - required) > MOST_OPTIONAL:
            raise _Above(f"more than {MOST_OPTIONAL} properties of one object that may be left out")
        for part in _list(schema.get("allOf")):
            if isinstance(part, dict) and "$ref" in part:
                self._take("properties", len(_names(_target(document, part["$ref"]))))  # they are written once more
        for least, most in _COUNTS:
            self._take("counted repetitions", _counted(schema, least, most))
        self._take("counted repetitions", _repeated(schema.get("pattern")))


class _Ways:
    """In how many ways a place can go on."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[str, int] = {}  # by reference; none at all of one that comes back to itself

    def at(self, schema: object, depth: int = 0) -> int:
        """Of what this schema describes; raises _Above."""
        if not isinstance(schema, dict):
            return 1
        if depth > DEEPEST:
            raise _Above(f"more than {DEEPEST} references and alternatives within each other")
        parts = [part for name in ("anyOf", "oneOf", "allOf") for part in _list(schema.get(name))]
        found = sum(len(_list(schema.get(name))) for name in ("enum", "type"))
        found += sum(self.at(part, depth + 1) for part in parts[: MOST_WAYS + 1])
        if isinstance(reference := schema.get("$ref"), str):
            found += self._referred(reference, depth)
        if found > MOST_WAYS:
            raise _Above(f"more than {MOST_WAYS} alternatives at one place")
        return max(1, found)

    def _referred(self, reference: str, depth: int) -> int:
        if reference not in self._known:
            self._known[reference] = 0
            self._known[reference] = self.at(_target(self._document, reference), depth + 1)
        return self._known[reference]


def _kind(name: str, kind: str) -> str:
    """What a part of this name is, in a part of this kind: schema, names (schemas by name) or values."""
    if kind != "schema":
        return "schema" if kind == "names" else kind
    return "names" if name in _BY_NAME else "values" if name in _VALUES else "schema"


def _target(document: Document, reference: object) -> object:
    try:
        return document.at(reference)
    except LookupError:
        return None


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _names(schema: object) -> set[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return set(properties) if isinstance(properties, dict) else set()


def _counted(schema: Mapping[str, Any], least: str, most: str) -> int:
    """How often a grammar repeats what is counted so; no grammar counts further than to MOST_REPEATED."""
    low, high = (value if isinstance(value, int | float) else 0 for value in (schema.get(least), schema.get(most)))
    if low > MOST_REPEATED:
        raise _Above(f"{least} above {MOST_REPEATED}")
    return int(max(0, low, min(high, MOST_REPEATED)))


def _repeated(pattern: object) -> int:
    """What a pattern repeats; one that is not known may only hold what costs nothing."""
    if not isinstance(pattern, str):
        return 0
    if like := text_like(pattern):
        return like.positions
    if _REPEATED_GROUP.search(pattern):
        raise _Above("a pattern that repeats what no grammar can")
    return len(pattern)

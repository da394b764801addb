"""Write the grammar (GBNF) of the JSON that a JSON schema describes, so that a model can be kept to it.

What is written is on one line, with a space at most after `:` and `,`. Properties come in the order of the schema, all
that must be there and any of the others; none that it does not name, unless it names none. A reference is followed
within its own document. What a grammar cannot keep to (see `_LOOSE`, and patterns that are not known) is named in
`loose` and not kept to; format is so for all but dates, times and UUIDs, without being named, as it only tells what is
meant. No grammar is larger than `_LONGEST`, nor counts further than `_MOST_COUNTED`, whatever refers to what.

Never raises for what a peer sent: of a schema that cannot be kept to at all there is no rule.
Laws: what the grammar allows is JSON, and keeps to the schema unless something is loose; of `oneOf` any one is allowed,
whether another one holds too or not.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_service.core.literal_grammar import literal, one_of
from llm_service.core.number_grammar import HIGHEST, integer_between, number_between
from llm_service.core.pattern_grammar import text_like
from llm_service.core.schema_refs import Document

_LOOSE = (
    "multipleOf", "uniqueItems", "not", "if", "then", "else", "dependentRequired", "dependentSchemas",
    "dependencies", "patternProperties", "propertyNames", "contains", "unevaluatedProperties", "unevaluatedItems",
    "minProperties", "maxProperties",
)  # fmt: skip
_ASIDE = {
    "$ref", "title", "description", "default", "examples", "$defs", "definitions", "$schema", "$id", "$comment",
    "$anchor",
}  # fmt: skip
MOST_REPEATED = 1000  # characters or items that are counted; llama.cpp refuses to count much further
_DEEPEST = 64
_MOST_STEPS = 5000  # of one schema; parts that refer to one another could be joined without end
_LONGEST = 400_000  # characters of all rules
_MOST_COUNTED = 100_000  # characters and items that are counted, in all rules: each is one of llama.cpp's own
_COMMA = '"," " "?'
_DATE = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
_TIME = (
    '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})? '
    '("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
)
_BASE = {
    "json-value": "json-object | json-array | json-text | json-number | json-boolean | json-null",
    "json-object": f'"{{" (json-pair ({_COMMA} json-pair)*)? "}}"',
    "json-pair": 'json-text ":" " "? json-value',
    "json-array": f'"[" (json-value ({_COMMA} json-value)*)? "]"',
    "json-text": r'"\"" json-character* "\""',
    "json-character": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" json-hex)',
    "json-hex": "[0-9a-cefA-CEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}",  # no half of a pair
    "json-number": 'json-integer ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    "json-integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "json-boolean": '"true" | "false"',
    "json-null": '"null"',
}
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "uuid": '[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}',
}
_PLAIN = {name: f"json-{name}" for name in ("object", "array", "number", "integer", "boolean", "null")}
_PLAIN["string"] = "json-text"


class _Impossible(Exception):
    """Nothing keeps to the schema, or it is none."""


class _Endless(Exception):
    """It is too deep, or too much."""


class JsonGrammar:
    """Schemas in, rules out. Several schemas may share one grammar; each is a document of its own."""

    def __init__(self) -> None:
        self.loose: set[str] = set()
        self._rules: dict[str, str] = {}
        self._document = Document({})
        self._steps = self._length = self._counted = 0
        self._places: dict[str, str] = {}  # of this document: by reference, the rule
        self._types: dict[str, Callable[[Mapping[str, Any], int], str]] = {
            "object": self._object,
            "array": self._array,
            "string": self._text,
            "number": self._number,
            "integer": self._integer,
        }

    def rule_of(self, schema: object, also: object = True) -> str | None:
        """The name of the rule of all that keeps to the schema, and to another one; None: it cannot be kept to."""
        self._document, self._places, self._steps = Document(schema), {}, 0
        try:
            return self._rule(self._any_of(schema if also is True else self._joined([schema, also]), 0))
        except (_Impossible, _Endless, RecursionError):
            return None

    def text(self) -> str:
        """All rules, one a line."""
        return "\n".join(f"{name} ::= {rule}" for name, rule in {**self._rules, **_BASE}.items())

    def _rule(self, expression: str) -> str:
        name = f"rule-{len(self._rules)}"
        self._write(name, expression)
        return name

    def _write(self, name: str, expression: str) -> None:
        self._length += len(expression)
        if self._length > _LONGEST:
            raise _Endless
        self._rules[name] = expression

    def _any_of(self, schema: object, depth: int) -> str:
        """An expression, alternatives and all."""
        self._steps += 1
        if schema is True or schema == {}:
            return "json-value"
        if depth > _DEEPEST or self._steps > _MOST_STEPS:
            raise _Endless
        if not isinstance(schema, dict):
            raise _Impossible
        self.loose |= {name for name in _LOOSE if name in schema}
        if "pattern" in schema and not schema.keys().isdisjoint(("const", "enum")):
            self.loose.add("pattern")
        if "$ref" in schema:
            is_alone = schema.keys() <= _ASIDE
            return (
                self._referred(schema["$ref"], depth) if is_alone else self._any_of(self._joined([schema]), depth + 1)
            )
        if "const" in schema:
            return literal(_written(schema["const"]))
        if isinstance(schema.get("enum"), list):
            return self._enum(schema)
        for name in ("anyOf", "oneOf", "allOf"):
            if isinstance(parts := schema.get(name), list) and parts:
                rest = {key: value for key, value in schema.items() if key != name}
                return self._combined(rest, parts, name == "allOf", depth)
        return self._typed(schema, depth)

    def _one(self, schema: object, depth: int) -> str:
        """An expression that may stand among others."""
        found = self._any_of(schema, depth + 1)
        return found if found in self._rules or found in _BASE else self._rule(found)

    def _referred(self, reference: object, depth: int) -> str:
        if not isinstance(reference, str):
            raise _Impossible
        if reference not in self._places:
            name = self._places[reference] = self._rule("json-value")  # named before it is written: it may hold itself
            self._write(name, self._any_of(self._at(reference), depth + 1))
            if self._rules[name] == name:
                raise _Impossible
        return self._places[reference]

    def _at(self, reference: object) -> object:
        try:
            return self._document.at(reference)
        except LookupError:
            raise _Impossible from None

    def _enum(self, schema: Mapping[str, Any]) -> str:
        types = _types(schema)
        found = [value for value in schema["enum"] if not types or any(_is_of(value, name) for name in types)]
        if not found:
            raise _Impossible
        return one_of([_written(value) for value in found])

    def _combined(self, rest: Mapping[str, Any], parts: Sequence[object], is_all: bool, depth: int) -> str:
        if not is_all:
            return " | ".join(self._possible([[rest, part] for part in parts], depth))
        return self._any_of(self._joined([rest, *parts]), depth + 1)

    def _possible(self, ways: Sequence[Sequence[object]], depth: int) -> list[str]:
        """Rules of those that can be kept to, one at least; each asks for all of its schemas."""
        found = []
        for schemas in ways:
            try:
                found.append(self._one(self._joined(schemas), depth))
            except _Impossible:
                continue
        if not found:
            raise _Impossible
        return found

    def _joined(self, schemas: Sequence[object]) -> dict[str, Any]:
        """One schema that asks for what all of them ask."""
        joined: dict[str, Any] = {}
        for schema in schemas:
            if schema is True:
                continue
            if not isinstance(schema, dict):
                raise _Impossible
            if "$ref" in schema:
                rest = {name: value for name, value in schema.items() if name != "$ref"}
                schema = self._joined([self._at(schema["$ref"]), rest])
            for name, value in schema.items():
                joined[name] = _both(name, joined[name], value) if name in joined else value
        return joined

    def _typed(self, schema: Mapping[str, Any], depth: int) -> str:
        types = _types(schema) or _meant(schema)
        if not types:
            return "json-value"
        if len(types) > 1:
            return " | ".join(self._possible([[{**schema, "type": name}] for name in types], depth))
        (name,) = types
        if name not in _PLAIN:
            raise _Impossible
        return self._types[name](schema, depth) if name in self._types else _PLAIN[name]

    def _object(self, schema: Mapping[str, Any], depth: int) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise _Impossible
        more = schema.get("additionalProperties", True)
        if not properties and not required:
            return self._map(more, depth, is_told="properties" in schema and "additionalProperties" not in schema)
        wanted = {**properties, **{str(name): more for name in required if name not in properties}}
        pairs: list[tuple[str, bool]] = []
        for name, value in wanted.items():
            try:
                pair = f'{literal(_written(name))} ":" " "? {self._one(value, depth)}'
            except _Impossible:
                if name in required:
                    raise
                continue
            pairs.append((self._rule(pair), name in required))
        return self._braced(pairs)

    def _braced(self, pairs: Sequence[tuple[str, bool]]) -> str:
        """An object of these, in order; each may be left out unless it must be there."""
        rest, ways = "", ['""']
        for pair, is_required in reversed(pairs):
            way = f"{pair} {rest}".rstrip()
            ways = [way] if is_required else [way, *ways]
            after = f"{_COMMA} {pair}" if is_required else f"({_COMMA} {pair})?"
            rest = self._rule(f"{after} {rest}".rstrip())
        return f'"{{" ({" | ".join(ways)}) "}}"'

    def _map(self, values: object, depth: int, is_told: bool) -> str:
        """An object of whatever names; `is_told`: the schema says that it has none."""
        if values is False or is_told:
            return '"{}"'
        if values is True or values == {}:
            return "json-object"
        pair = self._rule(f'json-text ":" " "? {self._one(values, depth)}')
        return f'"{{" ({pair} ({_COMMA} {pair})*)? "}}"'

    def _array(self, schema: Mapping[str, Any], depth: int) -> str:
        least, most = self._counts(schema, "minItems", "maxItems")
        first = schema.get("prefixItems", schema.get("items"))
        if isinstance(first, list):
            items = [self._one(item, depth) for item in first[:most]]
            return f'"[" {f" {_COMMA} ".join(items)} "]"'
        if most == 0 or schema.get("items") is False:
            return '"[]"'
        item = self._one(schema.get("items", True), depth)
        more = f"({_COMMA} {item}){self._times(max(0, least - 1), None if most is None else most - 1)}"
        return f'"[" {item} {more} "]"' if least else f'"[" ({item} {more})? "]"'

    def _text(self, schema: Mapping[str, Any], _: int) -> str:
        form = _FORMATS.get(str(schema.get("format")))
        least, most = self._counts(schema, "minLength", "maxLength")
        is_counted = bool(least) or most is not None
        if form is None and "pattern" in schema and not is_counted and (like := text_like(schema["pattern"])):
            self._count(like.positions)
            return rf'"\"" {like.text} "\""'
        if "pattern" in schema:
            self.loose.add("pattern")
        if form:
            return rf'"\"" {form} "\""'
        return rf'"\"" json-character{self._times(least, most)} "\""' if is_counted else "json-text"

    def _number(self, schema: Mapping[str, Any], _: int) -> str:
        return self._within(schema, number_between, "json-number")

    def _integer(self, schema: Mapping[str, Any], _: int) -> str:
        return self._within(schema, integer_between, "json-integer")

    def _within(self, schema: Mapping[str, Any], between: Callable[[int, int], str | None], free: str) -> str:
        """Numbers within their bounds, which are counted in whole numbers; all of them where there are none."""
        low, high = _bound(schema, "minimum", math.ceil, 1), _bound(schema, "maximum", math.floor, -1)
        if low is None and high is None:
            return free
        found = between(-HIGHEST if low is None else low, HIGHEST if high is None else high)
        if found is None:
            self.loose |= {"minimum", "maximum"}
        return found or free

    def _counts(self, schema: Mapping[str, Any], least: str, most: str) -> tuple[int, int | None]:
        low, high = _count(schema.get(least)) or 0, _count(schema.get(most))
        if high is not None and high < low:
            raise _Impossible
        if low > MOST_REPEATED:
            self.loose.add(least)
        return min(low, MOST_REPEATED), None if high is None else min(high, MOST_REPEATED)

    def _times(self, least: int, most: int | None) -> str:
        self._count(least if most is None else most)
        return f"{{{least},{'' if most is None else most}}}"

    def _count(self, more: int) -> None:
        self._counted += more
        if self._counted > _MOST_COUNTED:
            raise _Endless


def _written(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise _Impossible from None
    return text


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type")
    return [str(name) for name in given] if isinstance(given, list) else [str(given)] if given is not None else []


def _meant(schema: Mapping[str, Any]) -> list[str]:
    """The type of a schema that tells none, by what it asks for."""
    if any(name in schema for name in ("properties", "required", "additionalProperties")):
        return ["object"]
    if any(name in schema for name in ("items", "prefixItems", "minItems", "maxItems")):
        return ["array"]
    if any(name in schema for name in ("minLength", "maxLength", "pattern", "format")):
        return ["string"]
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    return ["number"] if any(name in schema for name in bounds) else []


def _is_of(value: object, name: str) -> bool:
    """Whether a value of JSON is of this type."""
    if isinstance(value, bool):
        return name == "boolean"
    kinds: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float),
                                          "object": (dict,), "array": (list,), "null": (type(None),)}  # fmt: skip
    return isinstance(value, kinds.get(name, ()))


def _both(name: str, one: Any, other: Any) -> Any:
    """What is asked for when both are."""
    if one == other or name in ("title", "description", "default", "examples"):
        return one
    if name == "type":
        return _shared_types(_types({name: one}), _types({name: other}))
    if name in ("properties", "$defs", "definitions") and isinstance(one, dict) and isinstance(other, dict):
        shared = {key: {"allOf": [one[key], other[key]]} for key in one.keys() & other.keys()}
        return {**one, **other, **shared}
    if name == "required" and isinstance(one, list) and isinstance(other, list):
        return [*one, *other]
    raise _Impossible


def _shared_types(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """What is of both; a whole number is a number."""
    wider = [[*names, "integer"] if "number" in names else [*names] for names in (one, other)]
    shared = [name for name in dict.fromkeys([*one, *other]) if name in wider[0] and name in wider[1]]
    if not shared:
        raise _Impossible
    return shared


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _bound(schema: Mapping[str, Any], name: str, whole: Callable[[float], int], step: int) -> int | None:
    """The outermost whole number that a bound allows; its exclusive form is one further in."""
    found = []
    for key, is_exclusive in ((name, False), (f"exclusive{name.capitalize()}", True)):
        value = schema.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            inner = whole(value)
            found.append(inner + step if is_exclusive and inner == value else inner)
    if not found:
        return None
    return max(found) if step > 0 else min(found)

"""Find what references within a JSON schema mean: `#`, a pointer (`#/$defs/a`), or the name of an anchor (`#a`).

Never follows a reference out of its document, and never raises for what a peer sent but LookupError for a reference
that leads nowhere.
Laws: what is moved means what it meant; texts that only look like references, as values of `enum`, are left alone.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

_BY_NAME = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}  # their keys are names
_VALUES = {"enum", "const", "default", "examples", "required"}  # what is in them is no schema


def schemas(document: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a document that may be a schema, the outermost first, and the pointer to it."""
    left: list[tuple[str, object, bool]] = [("#", document, False)]
    while left:
        pointer, node, has_names = left.pop()
        if isinstance(node, list):
            left += [(f"{pointer}/{place}", one, False) for place, one in enumerate(node)]
        if not isinstance(node, dict):
            continue
        if not has_names:
            yield pointer, node
        left += [
            (f"{pointer}/{_quoted(name)}", one, not has_names and name in _BY_NAME)
            for name, one in node.items()
            if has_names or name not in _VALUES
        ]


class Document:
    """A schema that refers to parts of itself."""

    def __init__(self, schema: object) -> None:
        self._schema = schema

    def at(self, reference: object) -> object:
        """What a reference means; raises LookupError."""
        pointer = self.pointer(reference)
        found = self._schema
        for part in pointer.split("/")[1:]:
            key = _unquoted(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise LookupError(pointer)
        return found

    def pointer(self, reference: object) -> str:
        """A reference without names of anchors; raises LookupError."""
        if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
            return reference
        if isinstance(reference, str) and reference.startswith("#") and reference[1:] in self._anchors:
            return self._anchors[reference[1:]]
        raise LookupError(reference)

    @cached_property
    def _anchors(self) -> Mapping[str, str]:
        return {
            name: pointer for pointer, schema in schemas(self._schema) if isinstance(name := schema.get("$anchor"), str)
        }


def moved(schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A copy of a schema whose references to itself still hold where it is put: at this pointer, as `#/$defs/a`."""
    copied: dict[str, Any] = json.loads(json.dumps(schema))
    document = Document(schema)
    for _, one in schemas(copied):
        reference = one.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            one["$ref"] = place + _pointer(document, reference)[1:]
    for _, one in schemas(copied):
        one.pop("$anchor", None)  # two documents in one may have the same names
    return copied


def _pointer(document: Document, reference: str) -> str:
    try:
        return document.pointer(reference)
    except LookupError:
        return reference  # it leads nowhere there either


def _quoted(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def _unquoted(text: str) -> str:
    """A part of an address with its `%20` and the like as what they stand for."""
    found = re.sub(rb"%([0-9a-fA-F]{2})", lambda code: bytes([int(code[1], 16)]), text.encode("utf-8", "replace"))
    return found.decode("utf-8", "replace")

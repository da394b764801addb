"""Tool calls that must be made, asked for as JSON of a shape and read back from it.

A server that can be held to a JSON schema makes such calls whatever form its model gives to calls of its own free will.
The shape is one object, `{"name": …, "arguments": …}`, for any of the functions that may be called, or a list of them.
Laws: cutting the text anywhere changes nothing; the arguments of a whole call are the JSON that was written, without
the white space between its signs; what stands around the objects is no part of them; whatever is written, a list comes
back.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_service.core.answer import Failed, Failure, Finished, FinishReason, ToolCallDelta
from llm_service.core.schema_refs import moved

_NAME = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,512}"'
_LONGEST_HEAD = 6 * 512 + 100  # the name of a function has half as many signs at most, each of 6 letters at most
_HEAD = re.compile(rf'\{{"name":({_NAME}),"arguments":')
_CALLS_LIMIT = 16  # a model that is held to a list may find no end of it
_NO_PARAMETERS: Mapping[str, Any] = {"properties": {}}


def call_schema(functions: Sequence[tuple[str, Mapping[str, Any] | None]], is_several: bool = False) -> dict[str, Any]:
    """The JSON schema of a call of any of these functions, each its name and its parameters' schema; or of several."""
    parameters = {
        str(place): moved({"type": "object", **(given or _NO_PARAMETERS)}, f"#/$defs/{place}")
        for place, (_, given) in enumerate(functions)
    }
    shapes = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for place, (name, _) in enumerate(functions)
    ]
    if is_several:
        items = {"type": "array", "items": {"anyOf": shapes}, "minItems": 1, "maxItems": _CALLS_LIMIT}
        return {**items, "$defs": parameters}
    return {"anyOf": shapes, "$defs": parameters}


class ShapedCalls:
    """Text of that shape in, pieces of the calls out."""

    def __init__(self) -> None:
        self._whole_count = 0
        self._head = ""
        self._is_begun = False  # the name of this call was told
        self._depth = 0
        self._is_in_text = False
        self._is_escaped = False

    def read(self, text: str) -> list[ToolCallDelta]:
        """What more of the text says."""
        pieces: list[ToolCallDelta] = []
        kept: list[str] = []
        for sign in text:
            was_open = self._depth > 0
            if self._keeps(sign):
                kept.append(sign)
            elif was_open and self._depth == 0:
                pieces += self._told("".join(kept))
                kept = []
                self._close()
        return pieces + self._told("".join(kept))

    def ended(self, reason: FinishReason) -> Finished | Failed:
        """What it means that the text ended: calls, a call that was cut, or none at all."""
        if self._whole_count and self._depth == 0:
            return Finished("tool_calls")
        return Failed(Failure.GARBLED) if reason in ("stop", "tool_calls") else Finished(reason)

    def _told(self, kept: str) -> list[ToolCallDelta]:
        """More of this call."""
        if self._is_begun:
            return [ToolCallDelta(self._whole_count, arguments=kept)] if kept else []
        self._head += kept
        found = _HEAD.match(self._head) if len(self._head) - len(kept) <= _LONGEST_HEAD else None
        if not found:
            return []
        self._is_begun = True
        return [ToolCallDelta(self._whole_count, None, json.loads(found[1]), self._head[found.end() :])]

    def _close(self) -> None:
        self._whole_count += self._is_begun
        self._head, self._is_begun = "", False

    def _keeps(self, sign: str) -> bool:
        """Whether a sign is part of an object, its last bracket and the space between signs left out."""
        if self._is_in_text:
            self._is_in_text = self._is_escaped or sign != '"'
            self._is_escaped = sign == "\\" and not self._is_escaped
            return True
        if self._depth == 0 and sign != "{":
            return False
        self._depth += (sign in "{[") - (sign in "}]")
        self._is_in_text = sign == '"'
        return self._depth > 0 and not sign.isspace()

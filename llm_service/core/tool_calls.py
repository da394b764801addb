"""Put the pieces of an answer's tool calls together.

Laws: a call is found by its index; the first id and name that are told hold; arguments are told in order, and cutting
them anywhere changes nothing; calls are listed by their index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_service.core.answer import ToolCallDelta


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a function, whole; its arguments are JSON as the model wrote it, which may be wrong."""

    id: str
    name: str
    arguments: str


class ToolCalls:
    """Pieces in, calls out."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}

    def add(self, piece: ToolCallDelta) -> None:
        """More of a call."""
        call = self._calls.get(piece.index, ToolCall("", "", ""))
        self._calls[piece.index] = replace(
            call,
            id=call.id or piece.id or "",
            name=call.name or piece.name or "",
            arguments=call.arguments + piece.arguments,
        )

    def whole(self) -> Sequence[ToolCall]:
        """The calls so far; an id that was never told is empty."""
        return [self._calls[index] for index in sorted(self._calls)]

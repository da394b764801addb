"""Decide which tools an answer may call, and whether it must, from what a request says.

Knows `none`, `auto`, `required` and the name of one function; unless told it is `auto`. Never raises for a request that
says something else: it has no choice.
Laws: only tools of the request are ever chosen; without tools nothing can be wrong, and nothing is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """The functions that may be called; whether one must be; and whether one answer may hold several calls."""

    names: tuple[str, ...] = ()
    is_forced: bool = False
    is_several: bool = False


def choice_of(names: Sequence[str], wanted: object, parallel: bool | None) -> ToolChoice | None:
    """The choice among the tools of these names; None when `wanted` is none that can be made.

    A call that is forced is one alone unless several are asked for: a small model would find no end.
    """
    if not names:
        return ToolChoice()
    match wanted:
        case "none":
            return ToolChoice()
        case None | "auto":
            return ToolChoice(tuple(names), is_several=parallel is not False)
        case "required":
            return ToolChoice(tuple(names), is_forced=True, is_several=parallel is True)
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            return ToolChoice((name,), is_forced=True)
    return None

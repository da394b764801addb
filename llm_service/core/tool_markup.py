"""Find the tool calls in what a model writes, however its text is cut into pieces.

A call is written as `<tool_call>{"name": …, "arguments": {…}}</tool_call>`; arguments may be called parameters. An
answer that is nothing but such an object is a call too. `CallFinder` reads a model that may call: what may be the
beginning of a marker is held back, and a call until it is complete, for only then is it known to be one. `ForcedCalls`
reads a model that a grammar keeps to `head` and `TAIL`: nothing else can come, so the arguments are told as they are
written. Never makes ids, never checks arguments against a schema. Other forms (`[TOOL_CALLS]`, several objects without
markers, calls in Python) are text.

Laws: where the pieces are cut never changes the text, nor the calls; every call has the name of a tool that was
offered, and complete arguments are a JSON object; what is no sound call is told as text, and nothing of it is lost but
white space beside a call; a call that the limit of tokens cut is told as far as it came.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Protocol

from llm_service.core.answer import Delta, ToolCallDelta

OPEN, CLOSE = "<tool_call>", "</tool_call>"
TAIL = f"}}\n{CLOSE}"  # after the arguments of a forced call
_CALLS_LIMIT = 128  # of one answer; no client of ours takes more
_HEAD = re.compile(re.escape(OPEN) + r'\n\{"name": ("(?:[^"\\]|\\.)*"), "arguments": ')
_BARE = '{"name":"'  # how an answer begins that is a call without markers, white space left out
_BEGUN = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(.*)', re.DOTALL)

Piece = Delta | ToolCallDelta


class Reading(Protocol):
    """One answer, text in and parts out."""

    @property
    def has_called(self) -> bool:
        """Whether a call was told."""
        ...

    def feed(self, text: str) -> list[Piece]:
        """More of it: what can be told now."""
        ...

    def finish(self, is_cut: bool) -> list[Piece]:
        """It is complete, or cut by a limit: what is left to tell."""
        ...


class PlainText:
    """An answer that calls nothing."""

    has_called = False

    def feed(self, text: str) -> list[Piece]:
        return _said(text)

    def finish(self, is_cut: bool) -> list[Piece]:
        return []


class CallFinder:
    """An answer that may call tools of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._held = ""
        self._gap = ""  # white space before a marker
        self._is_inside = False
        self._searched = 0  # so much of a call holds no end
        self._calls = 0
        self._may_be_bare = True
        self._is_after_call = False  # with white space between at most

    @property
    def has_called(self) -> bool:
        return self._calls > 0

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        if self._may_be_bare and _begins(self._held, _BARE):
            return []
        self._may_be_bare = False
        pieces: list[Piece] = []
        while (found := self._inside() if self._is_inside else self._outside()) is not None:
            pieces += found
        return _joined(pieces)

    def finish(self, is_cut: bool) -> list[Piece]:
        if self._may_be_bare:
            self._may_be_bare = False
            bare = self._whole(self._held) or (self._begun() if is_cut else None)
            return self._told(bare) if bare else [*self.feed(""), *self.finish(is_cut)]
        if not self._is_inside:
            return [] if self._is_after_call and not self._held.strip() else _said(self._held)
        inner = self._held[: len(self._held) - _overlap(self._held, CLOSE)]
        call = self._whole(inner) or (self._begun() if is_cut else None)
        return self._told(call) if call else _said(self._gap + OPEN + self._held)

    def _outside(self) -> list[Piece] | None:
        """Text up to a marker; None: no marker is complete."""
        before, marker, rest = self._held.partition(OPEN)
        if not marker:
            before = before[: len(before) - _overlap(before, OPEN)]
        text = before.rstrip()
        self._is_after_call &= not text
        if marker:
            self._gap, self._held, self._is_inside, self._searched = before[len(text) :], rest, True, 0
            return _said(text)
        self._held = self._held[len(text) :]
        return _said(text) or None

    def _inside(self) -> list[Piece] | None:
        """The call, or its marker as text; None: it is not known yet."""
        begin = self._held.lstrip()
        if begin and not begin.startswith("{"):
            return self._undone()
        at = self._held.find(CLOSE, self._searched)
        if at < 0:
            self._searched = max(0, len(self._held) - len(CLOSE) + 1)
            return None
        call = self._whole(self._held[:at])
        if call is None:
            return self._undone()
        self._held, self._is_inside = self._held[at + len(CLOSE) :], False
        return self._told(call)

    def _undone(self) -> list[Piece]:
        """It was no call: what follows the marker is read as text."""
        self._is_inside = self._is_after_call = False
        return _said(self._gap + OPEN)

    def _whole(self, text: str) -> tuple[str, str] | None:
        name, arguments = _call_in(text)
        return (name, arguments) if name in self._names and self._calls < _CALLS_LIMIT else None

    def _begun(self) -> tuple[str, str] | None:
        found = _BEGUN.match(self._held)
        return (found[1], found[2]) if found and found[1] in self._names and self._calls < _CALLS_LIMIT else None

    def _told(self, call: tuple[str, str]) -> list[Piece]:
        self._calls += 1
        self._is_after_call = True
        return [ToolCallDelta(self._calls - 1, None, *call)]


class ForcedCalls:
    """An answer that a grammar forces to be calls of tools of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._held = ""  # not the arguments, they are told at once
        self._index = -1
        self._scan: _Nesting | None = None  # of the arguments that are being written

    @property
    def has_called(self) -> bool:
        return self._index >= 0

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        pieces: list[Piece] = []
        while (found := self._arguments() if self._scan else self._head()) is not None:
            pieces += found
        return pieces

    def finish(self, is_cut: bool) -> list[Piece]:
        """Of a call that was cut before its name, the name is told where only one can be meant."""
        if self.has_called or len(self._names) > 1:
            return []
        self._index = 0
        return [ToolCallDelta(0, None, self._names[0])]

    def _head(self) -> list[Piece] | None:
        found = _HEAD.search(self._held)
        if found is None:
            return None
        self._held, self._scan = self._held[found.end() :], _Nesting()
        self._index += 1
        return [ToolCallDelta(self._index, None, json.loads(found[1]))]

    def _arguments(self) -> list[Piece] | None:
        assert self._scan is not None
        end = self._scan.end_in(self._held)
        text, self._held = self._held[:end], "" if end is None else self._held[end:]
        if end is not None:
            self._scan = None
        return [ToolCallDelta(self._index, arguments=text)] if text else None if self._scan else []


class _Nesting:
    """Reads JSON inside an object, to the bracket that closes this object."""

    def __init__(self) -> None:
        self._depth = 1
        self._is_text = False
        self._is_escaped = False

    def end_in(self, text: str) -> int | None:
        """The place of that bracket; None: it is not there yet."""
        return next((place for place, character in enumerate(text) if self._closes(character)), None)

    def _closes(self, character: str) -> bool:
        if self._is_text:
            self._is_text = self._is_escaped or character != '"'
            self._is_escaped = not self._is_escaped and character == "\\"
        elif character == '"':
            self._is_text = True
        else:
            self._depth += (character in "{[") - (character in "}]")
        return self._depth == 0


def head(name: str) -> str:
    """What stands before the arguments of a forced call."""
    return f'{OPEN}\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def _call_in(text: str) -> tuple[str | None, str]:
    """The name and the arguments of a call; no name when it is none."""
    try:
        found = _loaded(text)
        if not isinstance(found, dict) or not isinstance(name := found.get("name"), str):
            return None, ""
        given = found.get("arguments", found.get("parameters"))
        arguments = _loaded(given) if isinstance(given, str) else {} if given is None else given  # some write it twice
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        written.encode()
    except (ValueError, RecursionError):  # no JSON, numbers that are none, half characters
        return None, ""
    return (name, written) if isinstance(arguments, dict) else (None, "")


def _loaded(text: str) -> Any:
    return json.loads(text, strict=False)  # models write line ends into texts as they are


def _said(text: str) -> list[Piece]:
    return [Delta(text)] if text else []


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Texts that follow one another as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Delta) and joined and isinstance(joined[-1], Delta):
            joined[-1] = Delta(joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined


def _begins(text: str, begin: str) -> bool:
    """Whether a text begins so, or may when more of it has come; white space does not count."""
    found = "".join(text.lstrip()[: 8 * len(begin)].split())[: len(begin)]
    return begin.startswith(found)


def _overlap(text: str, marker: str) -> int:
    """How many characters at the end of the text begin the marker."""
    return next((count for count in range(len(marker) - 1, 0, -1) if text.endswith(marker[:count])), 0)

"""Read a grammar (GBNF) as llama.cpp does, as far as ours go, and write texts that it allows."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_SIGN = re.compile(r'\s*(?:("(?:\\.|[^"\\])*")|(\[(?:\\.|[^\]\\])*\])|([a-z][a-z0-9-]*)|(\{\d+,?\d*\}|[?*+])|([()|]))')
_ESCAPE = re.compile(r"\\(?:x([0-9A-F]{2})|U([0-9A-F]{8})|(.))")
_FREE = 'aZ0 /é天\U0001f600"\\\n\x00\x7f'  # of which a set that excludes some has the rest
_FEW = 3  # times more than the least that something is repeated
Choose = Callable[[int], int]  # of so many


@dataclass
class Node:
    """A piece of a rule; its kind is one of text, set, rule, row, ways, times."""

    kind: str
    text: str = ""
    parts: tuple["Node", ...] = ()
    least: int = 1
    most: int | None = 1


class Grammar:
    """Rules in, texts out."""

    def __init__(self, text: str) -> None:
        lines = [line.split(" ::= ", 1) for line in text.splitlines()]
        assert len({name for name, _ in lines}) == len(lines)
        self.rules = {name: _Reader(rule).whole() for name, rule in lines}
        self._depths: dict[str, int] = {}  # of the flattest text of each rule
        while len(found := {name: depth for name in self.rules if (depth := self._depth(self.rules[name])) >= 0}) > len(
            self._depths
        ):
            self._depths = found

    def write(self, rule: str, choose: Choose, depth: int = 8) -> str:
        """A text of this rule; from the depth on the flattest."""
        return self._write(self.rules[rule], choose, depth)

    def _write(self, node: Node, choose: Choose, depth: int) -> str:
        match node.kind:
            case "text":
                return node.text
            case "set":
                return node.text[choose(len(node.text))]
            case "rule":
                return self._write(self.rules[node.text], choose, depth - 1)
            case "row":
                return "".join(self._write(part, choose, depth) for part in node.parts)
            case "ways":
                ways = [way for way in node.parts if self._depth(way) >= 0]
                flat = min(ways, key=self._depth)
                return self._write(ways[choose(len(ways))] if depth > 0 else flat, choose, depth)
        most = node.least + _FEW if node.most is None else min(node.most, node.least + _FEW)
        times = node.least + (choose(most - node.least + 1) if depth > 0 else 0)
        return "".join(self._write(node.parts[0], choose, depth) for _ in range(times))

    def _depth(self, node: Node) -> int:
        """How deep the flattest text of it is; -1: none is known yet."""
        match node.kind:
            case "text" | "set":
                return 0
            case "rule":
                inner = self._depths.get(node.text, -1)
                return inner + 1 if inner >= 0 else -1
            case "ways":
                return min((depth for part in node.parts if (depth := self._depth(part)) >= 0), default=-1)
            case "times" if node.least == 0:
                return 0
        depths = [self._depth(part) for part in node.parts]
        return -1 if -1 in depths else max(depths, default=0)


class _Reader:
    def __init__(self, text: str) -> None:
        self._signs = [found for found in _SIGN.finditer(text) if found[0].strip()]
        assert "".join(found[0] for found in self._signs).strip() == text.strip()
        self._place = 0

    def whole(self) -> Node:
        node = self._ways()
        assert self._place == len(self._signs)
        return node

    def _next(self) -> str:
        return self._signs[self._place][0].strip() if self._place < len(self._signs) else ""

    def _ways(self) -> Node:
        rows = [self._row()]
        while self._next() == "|":
            self._place += 1
            rows.append(self._row())
        return rows[0] if len(rows) == 1 else Node("ways", parts=tuple(rows))

    def _row(self) -> Node:
        parts: list[Node] = []
        while self._next() not in ("", "|", ")"):
            found = self._signs[self._place]
            self._place += 1
            parts = [*parts[:-1], _times(parts[-1], found[4])] if found[4] else [*parts, self._one(found)]
        return Node("row", parts=tuple(parts))

    def _one(self, found: re.Match[str]) -> Node:
        if found[1]:
            return Node("text", _plain(found[1][1:-1]))
        if found[2]:
            return Node("set", _set(found[2][1:-1]))
        if found[3]:
            return Node("rule", found[3])
        node = self._ways()
        assert self._next() == ")"
        self._place += 1
        return node


def _times(node: Node, sign: str) -> Node:
    bounds: dict[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
    if sign not in bounds:
        least, comma, most = sign[1:-1].partition(",")
        bounds[sign] = (int(least), int(most) if most else None if comma else int(least))
    return Node("times", "", (node,), *bounds[sign])


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: found[3] or chr(int(found[1] or found[2], 16)), text)


def _set(text: str) -> str:
    is_not, text = text.startswith("^"), _plain(text.removeprefix("^"))
    ranges = re.sub(
        "(.)-(.)", lambda found: "".join(map(chr, range(ord(found[1]), ord(found[2]) + 1))), text, flags=re.S
    )
    return "".join(letter for letter in _FREE if letter not in ranges) if is_not else ranges

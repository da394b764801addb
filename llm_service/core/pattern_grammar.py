"""Write the grammar (GBNF) of the JSON texts that a pattern describes, a regular expression as JSON Schema has it.

Known are characters, `.`, sets, `\\d` `\\w` `\\s`, groups, alternatives, repetitions, and `^` and `$` around it all. Of
a pattern that has anything else, or is more than a grammar may cost, there is none: whoever follows a grammar goes
through each way in which nothing is written, so a part may have one such way at most, and is not repeated then.
Never raises for what a peer sent.
Laws: every text that the grammar allows is JSON and matches the pattern; some that match may not be allowed, as those
with control characters.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_POSITIONS = 500  # characters, each as often as it may be repeated
_LONGEST = 1000
_DEEPEST = 20
_UNSAID = r'"\\\x00-\x1F\x7F'  # what a text of JSON does not hold as it is
_ANY = f"[^{_UNSAID}]"
Ranges = list[tuple[int, int]]
_LETTERS: dict[str, Ranges] = {"d": [(48, 57)], "w": [(48, 57), (65, 90), (95, 95), (97, 122)], "s": [(32, 32)]}
_SPACES = [(ord(sign), ord(sign)) for sign in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"]
_NOT: dict[str, Ranges] = {**_LETTERS, "s": [*_SPACES, (0x2000, 0x200A)]}  # all of it, where it is what may not be
_SIGNS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_DASH = ord("-")
_APART = [(0, 31), (34, 34), (92, 92), (127, 127), (0xD800, 0xDFFF)]
_REPEATED = re.compile(r"([*+?]|\{(\d{1,6})(?:(,)(\d{0,6}))?\})\??")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")


class _Unknown(Exception):
    """The pattern has something that no grammar is written for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An expression that may be repeated; how many characters it counts, and whether it may write none."""

    text: str
    positions: int
    is_empty: bool = False


def text_like(pattern: object) -> Piece | None:
    """What is between the quotes of a text that matches; None: the pattern is not known, or too much."""
    if not isinstance(pattern, str) or len(pattern) > _LONGEST:
        return None
    reader = _Reader(pattern)
    try:
        return reader.whole()
    except _Unknown:
        return None


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0
        self._depth = 0
        self._has_ways = False  # the group that was read last

    def whole(self) -> Piece:
        begins = self._takes("^")
        found = self._ways()
        ends = self._takes("$")
        if self._next() or ((begins or ends) and self._has_ways):  # `^a|b$` are two, each with one end of its own
            raise _Unknown
        if found.is_empty and not (begins and ends):
            return Piece(f"{_ANY}*", 1, True)
        before, after = ("" if is_bound else f"{_ANY}* " for is_bound in (begins, ends))
        return Piece(f"{before}{found.text} {after}".strip(), found.positions + 2, found.is_empty)

    def _next(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _takes(self, sign: str) -> bool:
        is_there = self._pattern.startswith(sign, self._place)
        self._place += len(sign) * is_there
        return is_there

    def _ways(self) -> Piece:
        rows = [self._row()]
        while self._takes("|"):
            rows.append(self._row())
        self._has_ways = len(rows) > 1
        if sum(row.is_empty for row in rows) > 1:
            raise _Unknown
        text = " | ".join(row.text for row in rows)
        return _checked(Piece(f"({text})", sum(row.positions for row in rows), any(row.is_empty for row in rows)))

    def _row(self) -> Piece:
        pieces = [Piece('""', 0, True)]
        while self._next() not in ("", "|", ")", "$"):
            pieces.append(self._times(self._one()))
        text = " ".join(piece.text for piece in pieces[1:]) or '""'
        return Piece(text, sum(piece.positions for piece in pieces), all(piece.is_empty for piece in pieces))

    def _one(self) -> Piece:
        sign = self._next()
        self._place += 1
        match sign:
            case "(":
                return self._group()
            case "[":
                return self._set()
            case ".":
                return Piece(f"[^{_UNSAID}{_sign(0x2028)}{_sign(0x2029)}]", 1)
            case "\\":
                return self._escaped()
            case "^" | "*" | "+" | "?" | "{":
                raise _Unknown
        return Piece(_said(sign), 1)

    def _group(self) -> Piece:
        self._depth += 1
        if self._depth > _DEEPEST or (self._takes("?") and not self._takes(":")):
            raise _Unknown
        found = self._ways()
        if not self._takes(")"):
            raise _Unknown
        self._depth -= 1
        return found

    def _times(self, piece: Piece) -> Piece:
        found = _REPEATED.match(self._pattern, self._place)
        if not found:
            return piece
        self._place = found.end()
        sign, least = found[1], int(found[2] or 0)
        most = int(found[4]) if found[4] else least + bool(found[3])
        if piece.is_empty:
            raise _Unknown
        if found[2] is None:
            return Piece(piece.text + sign, piece.positions, sign != "+")
        if most < max(1, least):
            raise _Unknown
        return _checked(Piece(piece.text + sign, piece.positions * most, least == 0))

    def _escaped(self) -> Piece:
        sign = self._next()
        self._place += 1
        if sign.lower() in _LETTERS:
            return _of(_LETTERS[sign]) if sign in _LETTERS else _not_of(_NOT[sign.lower()])
        return Piece(_said(self._meant(sign)), 1)

    def _meant(self, sign: str) -> str:
        """The one character that is escaped so."""
        if sign in _SIGNS:
            return _SIGNS[sign]
        if code := _CODE.match(self._pattern, self._place - 1):
            self._place = code.end()
            return chr(int(code[1] or code[2], 16))
        if not sign or sign.isalnum():
            raise _Unknown
        return sign

    def _set(self) -> Piece:
        is_not, ranges = self._takes("^"), Ranges()
        while not self._takes("]"):
            first = self._member(_NOT if is_not else _LETTERS)
            if isinstance(first, str) and self._pattern[self._place + 1 : self._place + 2] != "]" and self._takes("-"):
                last = self._member({})
                ranges.append(_range(first, str(last)))
            else:
                ranges += [(ord(first), ord(first))] if isinstance(first, str) else first
        if not ranges:
            raise _Unknown
        return _not_of(ranges) if is_not else _of(ranges)

    def _member(self, names: Mapping[str, Ranges]) -> str | Ranges:
        """A character of a set, or several by one of these names."""
        sign = self._next()
        self._place += 1
        if sign != "\\":
            if not sign:
                raise _Unknown
            return sign
        sign = self._next()
        self._place += 1
        return names[sign] if sign in names else self._meant(sign)


def _checked(piece: Piece) -> Piece:
    if piece.positions > MOST_POSITIONS:
        raise _Unknown
    return piece


def _of(ranges: Ranges) -> Piece:
    """A character of these; those that JSON writes in another way are alternatives."""
    said = [_said(sign) for sign in '"\\\n\r\t' if any(low <= ord(sign) <= high for low, high in ranges)]
    plain = ranges
    for cut in _APART:
        plain = [part for one in plain for part in _without(one, cut)]
    ways = [f"[{_members(plain)}]"] * bool(plain) + said
    if not ways:
        raise _Unknown
    return Piece(ways[0] if len(ways) == 1 else f"({' | '.join(ways)})", 1)


def _not_of(ranges: Ranges) -> Piece:
    if any(low <= 0xDFFF and high >= 0xD800 for low, high in ranges):
        raise _Unknown
    return Piece(f"[^{_UNSAID}{_members(ranges)}]", 1)


def _without(one: tuple[int, int], cut: tuple[int, int]) -> Sequence[tuple[int, int]]:
    """What of a range is left when another is cut out of it."""
    low, high = one
    sides = ((low, min(high, cut[0] - 1)), (max(low, cut[1] + 1), high))
    return [(first, last) for first, last in sides if first <= last]


def _members(ranges: Ranges) -> str:
    """Ranges as a set of a grammar has them; a dash comes last, where it means nothing else."""
    plain = [part for one in ranges for part in _without(one, (_DASH, _DASH))]
    dash = "-" if any(low <= _DASH <= high for low, high in ranges) else ""
    return "".join(_sign(low) if low == high else f"{_sign(low)}-{_sign(high)}" for low, high in plain) + dash


def _range(first: str, last: str) -> tuple[int, int]:
    if last < first:
        raise _Unknown
    return ord(first), ord(last)


def _sign(code: int) -> str:
    """A character as a set of a grammar has it."""
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\U{code:08X}"


def _said(sign: str) -> str:
    """A character as JSON writes it, as a text of a grammar."""
    if 0xD800 <= ord(sign) <= 0xDFFF:
        raise _Unknown
    written = json.dumps(sign, ensure_ascii=False)[1:-1].replace("\\", "\\\\").replace('"', '\\"')
    return '"\\x7F"' if sign == "\x7f" else f'"{written}"'

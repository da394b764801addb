"""The marks that cut a text, and what belongs to a sentence behind its last mark.

It reads; whether the sentence ends there is for `boundaries` to say. A text here begins where its segment begins. Laws:
any text is accepted; nothing is read beyond the limit but what begins before it.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

from tts_service.core.clusters import parts_cluster

WIDE_MARKS = "。！？｡︒﹒﹗﹖"
LOUD_MARKS = "!?‼⁇⁈⁉"
DOTS = ".．"  # the fullwidth stop is a decimal point as often as a full stop, like the ASCII one
ELLIPSES = "…‥⋯"
MARKS = WIDE_MARKS + LOUD_MARKS + DOTS + ELLIPSES
SOFT_MARKS = ";:，,、､；：—"
NEWLINES = "\n\r\v\f\x85\u2028\u2029"
SPACE = rf"[^\S{NEWLINES}]"  # within a line
LONGEST_GAP = 64  # spaces; an emoji or a word beyond so many belongs to something else

_PAIRS = "「」『』（）《》〈〉【】［］｛｝“”()｢｣﹁﹂﹃﹄〔〕〖〗"
OPENERS = _PAIRS[::2] + "„"
# The openers that a closer closes. German closes „ with the sign that English opens with.
CLOSED_BY: dict[str, str] = dict(zip(_PAIRS[1::2], _PAIRS[::2], strict=True)) | {"”": "“„", "“": "„"}
WIDE_BRACKETS = frozenset(_PAIRS) - frozenset("“”()")

_EMOJI = (
    "\u231a\u231b\u23e9-\u23fa\u2600-\u26ff\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733"
    "\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2b1b\u2b1c\u2b50"
    "\u2b55\U0001f000-\U0001faff"
)
CONTENT = re.compile(rf"[^\W_]|[{_EMOJI}]")  # what makes a text more than punctuation

_WIDE = frozenset(WIDE_MARKS)
_LOUD = frozenset(LOUD_MARKS)
_ALONE = "'’»›\\]}"  # closers whose openers are not followed
_MARK_RUN = re.compile(f"[{MARKS}]+")
_UNSEEN = "\u200b\u200e\u200f\u2060\ufeff"
# Tildes close a strikethrough, and draw out the last syllable in Korean and Japanese.
_BELONGING = re.compile(rf"[{MARKS}{_ALONE}{_UNSEEN}~～〜]|{SPACE}{{0,{LONGEST_GAP}}}[{_EMOJI}]")
_ANY_EMOJI = re.compile(f"[{_EMOJI}]")
_QUOTED = re.compile(rf"[\"{_ALONE}{''.join(CLOSED_BY)}][*_~]*\Z")

# Straight double quotes and markdown emphasis open and close with the same sign. The first pattern reads a run of them,
# the second finds those that do open or close: not the star of a list or of a product, not the underscore in a name.
_ALIKE_RUN = re.compile(r'"|\*+|_+')
_ALIKE = re.compile(r'"|(?<=\S)\*+|\*+(?=\S)|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)')


class Mark(Enum):
    """The kind of a run of marks; of several kinds in one run the first of these counts."""

    WIDE = "wide"
    LOUD = "loud"
    ELLIPSIS = "ellipsis"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands: what is to be known of the text before it."""

    language: str  # the reply's tag
    is_line_start: bool = True
    left_open: frozenset[str] = frozenset()  # signs that open and close alike and were left open


@dataclass(frozen=True, slots=True)
class Ending:
    """A run of sentence marks with what belongs to the sentence behind it: text[at:stop]."""

    at: int
    stop: int
    mark: Mark
    is_quoted: bool  # a quote or bracket closes right behind the last mark
    has_emoji: bool
    brackets: tuple[str, ...]  # openers that are still open behind it


def close(brackets: tuple[str, ...], closer: str) -> tuple[str, ...]:
    """The openers still open behind `closer`; what was opened inside its pair is closed with it."""
    for depth in range(len(brackets) - 1, -1, -1):
        if brackets[depth] in CLOSED_BY[closer]:
            return brackets[:depth]
    return brackets


def closes(brackets: tuple[str, ...], char: str) -> bool:
    """Whether `char` is a paired closer here; “ is one only behind „."""
    return char in CLOSED_BY and (char != "“" or "„" in brackets)


def left_open(text: str, stop: int, before: Set[str]) -> frozenset[str]:
    """The signs that open and close alike and are open at `stop`, when those in `before` were open at 0."""
    signs = set(before)
    for found in _ALIKE.finditer(text, 0, stop):
        signs ^= {found[0]}
    return frozenset(signs)


def read_ending(text: str, at: int, place: Place, brackets: tuple[str, ...], limit: int) -> Ending:
    """Read the run of marks at `at` and what belongs to it, as far as `limit`; at the end of the text more may come."""
    run = _MARK_RUN.match(text, at)
    assert run, "there is no mark"
    stop = run.end()
    while stop < len(text) and stop <= limit:
        if closes(brackets, text[stop]):
            brackets = close(brackets, text[stop])
            stop += 1
        elif belonging := _BELONGING.match(text, stop):
            stop = belonging.end()
        elif parts_cluster(text, stop):
            stop += 1
        elif sign := _ALIKE_RUN.match(text, stop):
            after = text[sign.end() : sign.end() + 1] if sign.end() <= limit else ""
            if after.isalnum() and not _is_open(sign[0], text, at, place):
                break
            stop = sign.end()
        else:
            break
    if stop == run.end():
        return Ending(at, stop, _mark(run[0], run[0]), False, False, brackets)
    tail = text[at:stop]
    return Ending(at, stop, _mark(run[0], tail), bool(_QUOTED.search(tail)), bool(_ANY_EMOJI.search(tail)), brackets)


def _is_open(sign: str, text: str, at: int, place: Place) -> bool:
    return any(sign[0] == opened[0] for opened in left_open(text, at, place.left_open))


def _mark(run: str, tail: str) -> Mark:
    if not _WIDE.isdisjoint(tail):
        return Mark.WIDE
    if not _LOUD.isdisjoint(tail):
        return Mark.LOUD
    is_ellipsis = len(run) > 1 or run in ELLIPSES
    return Mark.ELLIPSIS if is_ellipsis else Mark.DOT

"""Decide whether a run of sentence marks ends the sentence: yes, no, or not before more of the text has come.

Nothing is remembered between two questions; a text here begins where its segment begins. Laws: any text is accepted; an
answer other than WAIT stays the same whatever follows; a question reads a bounded distance behind the run.
"""

import re
from enum import Enum

from tts_service.core.abbreviations import LONGEST_STARTER, STARTERS, WordKind, kind_before
from tts_service.core.marks import LONGEST_GAP, NEWLINES, OPENERS, SOFT_MARKS, SPACE, WIDE_BRACKETS, Ending, Mark, Place
from tts_service.core.script_runs import is_cjk

_GAP = re.compile(rf"{SPACE}{{0,{LONGEST_GAP + 1}}}")
_QUOTES_AND_BRACKETS = frozenset(OPENERS + "‘«‹[{\"'")
_EMPHASIS = frozenset("*_")
_BEFORE_WORD = re.compile(r"[\"'“„‘«‹(\[{（［「『《〈【*_]{0,8}")
_DASH = re.compile(rf"[—–]{SPACE}?")
_LETTERS = re.compile(rf"[A-Za-z]{{0,{LONGEST_STARTER + 1}}}")

_LIST_MARKER = re.compile(
    r"[\s#>*+_(-]*(?:\d{1,3}(?:[.．]\d{1,3})*|[A-Za-z]|[ivxIVX]{2,4}|[一二三四五六七八九十]{1,3})"
)
_LONGEST_MARKER_CHARS = 32
_NUMBER = re.compile(r"(?<![\d.．])\d{1,4}\Z")
# At least two parts of a date: 2026. 11 · 2026.11.20 · 11. 20 · 20. 11. 2026
_DATE = re.compile(
    r"(?<![\d.])(?:\d{4}\.\s*\d{1,2}\.\s*\d{1,2}|\d{4}\.\s+\d{1,2}|\d{1,2}\.\s+\d{1,2}(?:\.\s+\d{2,4})?)\Z"
)
_LONGEST_DATE_CHARS = 24
_AFTER_DATE = "(（~～〜-–"  # the weekday, or a range
_WIDE_DIGITS = frozenset("０１２３４５６７８９")
_ADDRESS = re.compile(r"(?:://|www\.|@)[!-~]*\Z")
_LONGEST_ADDRESS_CHARS = 256


class Verdict(Enum):
    """What a run of marks means for the sentence before it."""

    ENDS = "ends"
    GOES_ON = "goes on"
    WAIT = "wait"


def judge(text: str, ending: Ending, place: Place, is_complete: bool) -> Verdict:
    """Whether the sentence ends at `ending.stop`; at the end of a complete text it goes on to that end."""
    gap = _GAP.match(text, ending.stop)
    assert gap, "the pattern matches nothing too"
    if gap.end() == len(text) and len(gap[0]) <= LONGEST_GAP:
        return Verdict.GOES_ON if is_complete else Verdict.WAIT
    if ending.brackets:
        return Verdict.GOES_ON
    if len(gap[0]) > LONGEST_GAP:
        return Verdict.ENDS
    if text[gap.end()] in NEWLINES:  # the newline itself ends it
        return Verdict.GOES_ON
    if gap[0]:
        return _behind_space(text, ending, gap.end(), place, is_complete)
    return _directly(text, ending, place, is_complete)


def is_soft_end(text: str, at: int) -> bool:
    """Whether a sentence that is too long may be cut behind the soft mark at `at`, which must have a successor."""
    char, after = text[at], text[at + 1]
    if char not in SOFT_MARKS or after in SOFT_MARKS:
        return False
    if char in ",:":
        return not after.isdecimal() and not (char == ":" and after == "/")  # 1,000 · 5:30 · https://
    return not is_in_wide_number(text, at)


def is_in_wide_number(text: str, at: int) -> bool:
    """Whether the mark at `at` stands between fullwidth digits, as in １，０００."""
    return _before(text, at) in _WIDE_DIGITS and text[at + 1 : at + 2] in _WIDE_DIGITS


def may_rest(text: str, ending: Ending, place: Place) -> bool:
    """Whether a sentence may be spoken as it stands when nothing has followed this run for a while.

    Careful where the next token could still belong to a number, an abbreviation, an address or an emoji sequence.
    """
    if ending.brackets or ending.has_emoji or ending.mark is Mark.ELLIPSIS:
        return False
    if ending.mark is Mark.WIDE:
        return True
    if _ADDRESS.search(text, max(0, ending.at - _LONGEST_ADDRESS_CHARS), ending.at):
        return False
    if ending.mark is Mark.LOUD:
        return True
    is_number = _before(text, ending.at).isdecimal()
    kind = kind_before(text, ending.at, place.language)
    return not is_number and kind is WordKind.PLAIN and not _is_list_marker(text, ending, place)


def _directly(text: str, ending: Ending, place: Place, is_complete: bool) -> Verdict:
    """No space follows."""
    char = text[ending.stop]
    if ending.mark is Mark.ELLIPSIS:
        return Verdict.GOES_ON
    if ending.is_quoted:  # "… ." he said: text or a comma goes on, another opener begins anew, but not a link's address
        return _ends(char in _QUOTES_AND_BRACKETS and text[ending.stop - 1 : ending.stop + 1] != "](")
    if ending.mark is Mark.WIDE:
        return Verdict.ENDS
    if ending.has_emoji:
        return _ends(True) if ending.mark is Mark.LOUD else _behind_dot(text, ending, ending.stop, place, is_complete)
    before = _before(text, ending.at)
    cjk_before = bool(before) and (is_cjk(before) or before in WIDE_BRACKETS)
    opens_after_cjk = cjk_before and (char in _QUOTES_AND_BRACKETS or char in _EMPHASIS)
    if ending.mark is Mark.LOUD:
        return _ends(is_cjk(char) or char in WIDE_BRACKETS or opens_after_cjk)
    return _ends((opens_after_cjk or (cjk_before and is_cjk(char))) and not _is_list_marker(text, ending, place))


def _behind_space(text: str, ending: Ending, next_at: int, place: Place, is_complete: bool) -> Verdict:
    if ending.mark is Mark.WIDE or (ending.mark is Mark.LOUD and ending.has_emoji):
        return Verdict.ENDS
    if ending.mark is Mark.DOT:
        return _behind_dot(text, ending, next_at, place, is_complete)
    head, is_lower = _next_word(text, next_at)
    if head == len(text) and not is_complete:
        return Verdict.WAIT
    return _ends(not is_lower if ending.mark is Mark.LOUD else text[head : head + 1].isupper())


def _behind_dot(text: str, ending: Ending, next_at: int, place: Place, is_complete: bool) -> Verdict:
    kind = kind_before(text, ending.at, place.language)
    if kind is WordKind.NEVER_FINAL or _is_list_marker(text, ending, place):
        return Verdict.GOES_ON
    if kind is WordKind.PLAIN and (in_date := _in_date(text, ending, next_at, is_complete)):
        return in_date
    head, is_lower = _next_word(text, next_at)
    if head == len(text) and not is_complete:
        return Verdict.WAIT
    if is_lower and not ending.has_emoji:
        return Verdict.GOES_ON
    first = text[head : head + 1]
    if kind is WordKind.PLAIN:
        return Verdict.ENDS
    if kind is WordKind.BEFORE_NUMBER:
        return _ends(not first.isdecimal())
    if kind is WordKind.MAYBE_FINAL:
        return _ends(first.isupper() or (first != "" and is_cjk(first)))
    return _before_starter(text, head, kind, is_complete)


def _before_starter(text: str, head: int, kind: WordKind, is_complete: bool) -> Verdict:
    """Behind an acronym or an initial: what does the next word say?"""
    found = _LETTERS.match(text, head)
    assert found, "the pattern matches nothing too"
    word = found[0]
    is_cut_off = found.end() == len(text) and len(word) <= LONGEST_STARTER and not is_complete
    if is_cut_off and (kind is WordKind.ACRONYM or len(word) == 1):
        return Verdict.WAIT
    is_initial = len(word) == 1 and text[found.end() : found.end() + 1] == "."
    return _ends(not is_initial and (kind is WordKind.PRONOUN_I or word in STARTERS))


def _in_date(text: str, ending: Ending, next_at: int, is_complete: bool) -> Verdict | None:
    """GOES_ON within a dotted date such as "2026. 11. 20.", WAIT while it could be one, None when it is none.

    The last dot of a date is part of it where more of the sentence follows in the way dates are written: a CJK
    character, a time, a weekday in brackets, a range.
    """
    char, before = text[next_at], text[max(0, ending.at - _LONGEST_DATE_CHARS) : ending.at]
    if _DATE.search(before):
        return Verdict.GOES_ON if char.isdecimal() or is_cjk(char) or char in _AFTER_DATE else None
    if not char.isdecimal() or not _NUMBER.search(before):
        return None
    stop = next_at + 1
    stop += text[stop : stop + 1].isdecimal()
    follows = text[stop : stop + 2]  # a dot that is no decimal point makes the second part of a date
    if len(follows) < 2 and ".".startswith(follows) and not is_complete:
        return Verdict.WAIT
    return Verdict.GOES_ON if follows[:1] == "." and not follows[1:].isdecimal() else None


def _is_list_marker(text: str, ending: Ending, place: Place) -> bool:
    is_short = ending.at <= _LONGEST_MARKER_CHARS
    return place.is_line_start and is_short and _LIST_MARKER.fullmatch(text, 0, ending.at) is not None


def _before(text: str, at: int) -> str:
    """The character before `at`; "" at the segment's begin."""
    return text[at - 1 : at] if at else ""


def _next_word(text: str, at: int) -> tuple[int, bool]:
    """Where the next word begins, behind what may open it, and whether it is lowercase; the text's end if unknown.

    A dash stands there as itself, but the word behind it tells whether the sentence goes on ("Wait! — he said").
    """
    head = _behind_openers(text, at)
    if (dash := _DASH.match(text, head)) is None:
        return head, text[head : head + 1].islower()
    behind = _behind_openers(text, dash.end())
    return (head if behind < len(text) else behind), text[behind : behind + 1].islower()


def _behind_openers(text: str, at: int) -> int:
    found = _BEFORE_WORD.match(text, at)
    assert found, "the pattern matches nothing too"
    return found.end()


def _ends(is_end: bool) -> Verdict:
    return Verdict.ENDS if is_end else Verdict.GOES_ON

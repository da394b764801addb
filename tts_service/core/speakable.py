"""What an engine is to read of a segment: its words, without markdown, emoji and characters that cannot be said.

It never changes a word, and never sees more than one segment; how numbers and addresses are said is for `spoken`. Laws:
total for any text; the result is empty or holds a letter or a digit; it is never longer than the text; text of words
and plain punctuation stays as it is.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

_FENCED = re.compile(  # code is shown, not said
    r"^[ \t]*(?:`{3,}[^`\n]*|~{3,}[\w#+. -]*)(?:\n.*?(?:^[ \t]*(?:`{3,}|~{3,})[ \t]*$|\Z)|\Z)",
    re.DOTALL | re.MULTILINE,
)
_MODEL_TOKEN = re.compile(r"<\|[^|<>]{1,40}\|>")  # <|im_end|>

# A dollar opens mathematics before a letter, a closing one stands behind text and before no digit: not $5 and $6.
_DOLLARS = re.compile(r"\$\$([^$]{1,400})\$\$|(?<![\w$])\$(?=[^\s$])([^$\n]{1,200})(?<!\s)\$(?![\w$])")
_BACKSLASHES = re.compile(r"\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL)
_FORMULA_STEPS: Final = (
    (re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),
    (re.compile(r"\\leq?(?![A-Za-z])"), "≤"),
    (re.compile(r"\\geq?(?![A-Za-z])"), "≥"),
    (re.compile(r"\\neq?(?![A-Za-z])"), "≠"),
    (re.compile(r"\\(?:left|right|quad|,|;|!|\\)"), " "),
    (re.compile(r"\^\{([^{}]*)\}"), r"^\1"),
    (re.compile(r"\\([A-Za-z]+)"), r" \1"),  # \alpha is said by its name
    (re.compile(r"[{}\\&_]"), " "),
)

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|\\$", re.MULTILINE)
_NOTE_MARK = re.compile(r"^[ \t]*\[\^[^\[\]\s]{1,40}\]:|\[\^[^\[\]\s]{1,40}\]", re.MULTILINE)
_LINK_TARGET = re.compile(r"^[ \t]{0,3}\[[^\[\]]{1,80}\]:[ \t]+\S+[^\n]*$", re.MULTILINE)  # [1]: https://example.org
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\((?:[^()\s]|\([^()\s]*\))*(?:\s+\"[^\"]*\")?\)|\[[^\[\]]{0,80}\])")
_LINK_END = re.compile(r"\]\((?:[a-z]+:|www\.|[./#])[^()\s]*(?:\)|\Z)")  # of one that was cut
_CALL_OUT = re.compile(r"\[!(\w+)\]")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]+|[^<>\s@]{1,64}@[^<>\s@]{1,200})>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?(?:-->|\Z)", re.DOTALL)
_ENTITY = re.compile(r"&(?:#([0-9]{1,7})|#[Xx]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,30}));")
_NAMED: Final = {  # those that replies hold; others stay as they are
    "amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " ", "ensp": " ", "emsp": " ", "thinsp": " ",
    "copy": "©", "reg": "®", "trade": "™", "mdash": "—", "ndash": "–", "hellip": "…", "lsquo": "‘", "rsquo": "’",
    "ldquo": "“", "rdquo": "”", "laquo": "«", "raquo": "»", "times": "×", "divide": "÷", "deg": "°", "plusmn": "±",
    "ne": "≠", "le": "≤", "ge": "≥", "asymp": "≈", "euro": "€", "pound": "£", "yen": "¥", "sect": "§", "sup2": "²",
    "sup3": "³", "frac12": "½", "frac14": "¼", "frac34": "¾", "bull": " ", "middot": "·", "rarr": " ", "larr": " ",
}  # fmt: skip
_LAST_CODE_POINT: Final = 0x10FFFF

_RULE = re.compile(r"^[ \t]*(?:[-*_=:][ \t]*){3,}$", re.MULTILINE)
_HEADING_END = re.compile(r"^([ \t]*#{1,6}[ \t][^\n]*\S)[ \t]{1,8}#{1,6}[ \t]{0,8}$", re.MULTILINE)
_LINE_START = re.compile(
    r"^[ \t]*(?:(?:>[ \t]?)+|#{1,6}(?=\s|$)|[-*+•‣◦▪](?=\s|$)(?:[ \t]\[[ xX]\](?=\s|$))?|:{3,}|:(?=[ \t]))[ \t]*",
    re.MULTILINE,
)
_MARKED = re.compile(r"(?<![\w=])==(?=[^\s=])([^=\n]{1,400})(?<!\s)==(?![\w=])")
_LOWERED = re.compile(r"(?<=\w)~([0-9]{1,8})~")
# A star between words and spaces, or between digits, is arithmetic.
_EMPHASIS = re.compile(r"(?<!\w )(?<![0-9])\*+|(?<!\w )\*+(?![0-9])|(?<=\w )\*+(?! \w)|`+|~{2,}|~(?!\d)")
_EDGE_UNDERSCORES = re.compile(r"(?<!\w)_+|_+(?!\w)")
_ADDRESS_OR_UNDERSCORES = re.compile(r"((?:https?://|www\.)[!-~]+|[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9.-]+)|_+")
_LETTER_STYLE = re.compile("[\U0001d400-\U0001d7ff]")  # letters of mathematics that pass for bold or italic type
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u25a0-\u27bf\u2b00-\u2bff\u23e9-\u23fa\u231a\u231b\u20e3\ufe0e\ufe0f\u200d•‣◦※"
    "\U000e0020-\U000e007f]+"
)
_UNSAYABLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd\ud800-\udfff]"
)


def speakable(text: str) -> str:
    """The words of `text` on one line, or "" when nothing of it can be said."""
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if any(character.isalnum() for character in text) else ""


def _formula(found: re.Match[str]) -> str:
    """The letters and signs of a formula, without its typesetting."""
    text = found[1] or found[2]
    for pattern, replacement in _FORMULA_STEPS:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _entity(found: re.Match[str]) -> str:
    if name := found[3]:
        return _NAMED.get(name, found[0])
    point = int(found[1]) if found[1] else int(found[2], 16)
    return chr(point) if point <= _LAST_CODE_POINT else " "


def _link_text(found: re.Match[str]) -> str:
    is_followed = found.string.startswith(("[", "!["), found.end())
    return f"{found[1]} " if is_followed else found[1]


_STEPS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_FENCED, " "),
    (_MODEL_TOKEN, " "),
    (_DOLLARS, _formula),
    (_BACKSLASHES, _formula),
    (_ESCAPED, lambda found: found[1] or ""),
    (_NOTE_MARK, ""),
    (_LINK_TARGET, ""),
    (_LINK, _link_text),
    (_LINK, _link_text),  # an image in a link
    (_LINK_END, ""),
    (_CALL_OUT, r"\1"),
    (_AUTOLINK, r"\1"),
    (_TAG, " "),
    (_ENTITY, _entity),
    (re.compile(r"\|"), " "),  # between the cells of a table
    (_RULE, " "),
    (_HEADING_END, r"\1"),
    (_LINE_START, ""),
    (_MARKED, r"\1"),
    (_LOWERED, r"\1"),
    (_EMPHASIS, ""),
    (_EDGE_UNDERSCORES, ""),
    (_ADDRESS_OR_UNDERSCORES, lambda found: found[1] or " "),  # snake_case is words
    (_LETTER_STYLE, lambda found: unicodedata.normalize("NFKC", found[0])),
    (_EMOJI, " "),
    (_UNSAYABLE, ""),
)

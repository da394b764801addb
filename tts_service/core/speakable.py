"""What an engine is to read of a segment: its words, without markdown, emoji and characters that cannot be said.

It never changes a word, and never sees more than one segment. Laws: total for any text; the result is empty or holds a
letter or a digit; it is never longer than the text; text of words and plain punctuation stays as it is.
"""

import re

_FENCED = re.compile(  # code is shown, not said
    r"^[ \t]*(?:`{3,}[^`\n]*|~{3,}[\w#+. -]*)(?:\n.*?(?:^[ \t]*(?:`{3,}|~{3,})[ \t]*$|\Z)|\Z)",
    re.DOTALL | re.MULTILINE,
)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?(?:-->|\Z)", re.DOTALL)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]+)>")
_LINE_START = re.compile(r"^[ \t]*(?:(?:>[ \t]?)+|#{1,6}(?=\s|$)|[-*+](?=\s|$))[ \t]*", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_=:][ \t]*){3,}$", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\w )\*+|\*+(?! \w)|`+|~{2,}|~(?!\d)")  # a star between words and spaces is arithmetic
_EDGE_UNDERSCORES = re.compile(r"(?<!\w)_+|_+(?!\w)")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u23e9-\u23fa\u231a\u231b\u20e3\ufe0e\ufe0f\u200d"
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


_STEPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_FENCED, " "),
    (_LINK, r"\1"),
    (_AUTOLINK, r"\1"),
    (_TAG, " "),
    (re.compile(r"\|"), " "),  # between the cells of a table
    (_RULE, " "),
    (_LINE_START, ""),
    (_EMPHASIS, ""),
    (_EDGE_UNDERSCORES, ""),
    (re.compile("_+"), " "),  # snake_case is words
    (_EMOJI, " "),
    (_UNSAYABLE, ""),
)

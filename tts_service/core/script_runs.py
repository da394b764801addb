"""Decide which language reads each stretch of a mixed text, by its script.

Never looks at words or meaning, and never changes the text. Laws: the runs joined are the text; neighbours differ in
language; any text is accepted.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

# First code point, last code point, script, after the Unicode code charts. Letters only: marks, digits and punctuation
# belong to no script here and stay with their neighbours.
_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x0041, 0x005A, "Latin"),
    (0x0061, 0x007A, "Latin"),
    (0x00C0, 0x00D6, "Latin"),
    (0x00D8, 0x00F6, "Latin"),
    (0x00F8, 0x024F, "Latin"),
    (0x0370, 0x03FF, "Greek"),
    (0x0400, 0x052F, "Cyrillic"),
    (0x05D0, 0x05F4, "Hebrew"),
    (0x0620, 0x064A, "Arabic"),
    (0x066E, 0x06D3, "Arabic"),
    (0x0900, 0x097F, "Devanagari"),
    (0x0E00, 0x0E7F, "Thai"),
    (0x1100, 0x11FF, "Hangul"),
    (0x1E00, 0x1EFF, "Latin"),
    (0x3005, 0x3007, "Han"),
    (0x3041, 0x30FA, "Kana"),
    (0x30FC, 0x30FF, "Kana"),
    (0x3105, 0x312F, "Han"),
    (0x3131, 0x318E, "Hangul"),
    (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"),
    (0xA960, 0xA97C, "Hangul"),
    (0xAC00, 0xD7FB, "Hangul"),
    (0xF900, 0xFAD9, "Han"),
    (0xFF21, 0xFF3A, "Latin"),
    (0xFF41, 0xFF5A, "Latin"),
    (0xFF66, 0xFF9D, "Kana"),
    (0xFFA0, 0xFFDC, "Hangul"),
    (0x20000, 0x3FFFD, "Han"),
)
_FIRSTS = tuple(first for first, _, _ in _BLOCKS)
_CJK_SCRIPTS = frozenset({"Han", "Kana", "Hangul"})

# The language that reads a script; behind it the others written in it, which keep it when the reply is in one of them.
# Latin is everybody's second script: English reads it unless the reply's own language is written in it too.
_READERS: dict[str, tuple[str, str]] = {
    "Latin": ("en", "af ca cs cy da de es et fi fr ga hr hu id is it lt lv ms nl no pl pt ro sk sl sv sw tr vi"),
    "Cyrillic": ("ru", "be bg kk ky mk mn sr tg uk"),
    "Arabic": ("ar", "fa ps ur"),
    "Devanagari": ("hi", "mr ne sa"),
    "Han": ("zh", "ja"),
    "Kana": ("ja", ""),
    "Hangul": ("ko", ""),
    "Greek": ("el", ""),
    "Hebrew": ("he", "yi"),
    "Thai": ("th", ""),
}
_OTHERS = {script: frozenset(others.split()) for script, (_, others) in _READERS.items()}

# Kana speak for the Han characters of their own phrase, not for those beyond a quote or a full stop: Chinese that
# quotes a Japanese word stays Chinese.
_PHRASE = re.compile(r"[^。！？!?\n「」『』（）()《》“”\"]+|[。！？!?\n「」『』（）()《》“”\"]+")


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of text for one voice; `language` is a bare code such as "zh"."""

    language: str
    text: str


def script_of(char: str) -> str | None:
    """The script of one letter; None for what belongs to none: digits, marks, punctuation, and rare scripts."""
    point = ord(char)
    row = bisect_right(_FIRSTS, point) - 1
    return _BLOCKS[row][2] if row >= 0 and point <= _BLOCKS[row][1] else None


def is_cjk(char: str) -> bool:
    """Whether one character is Chinese, Japanese or Korean text: a Han character, kana or Hangul."""
    return script_of(char) in _CJK_SCRIPTS


def split_runs(text: str, language: str) -> list[Run]:
    """Cut `text` into runs of one language each; `language` is the reply's own (a tag such as "zh-Hant").

    What belongs to no script stays with the run before it, at the start with the run after it.
    """
    own = language.replace("_", "-").partition("-")[0].lower()
    pieces: list[tuple[str, list[str]]] = []
    lead: list[str] = []
    for char, reader in _readers(text, own):
        if reader is None:
            (pieces[-1][1] if pieces else lead).append(char)
        elif pieces and pieces[-1][0] == reader:
            pieces[-1][1].append(char)
        else:
            pieces.append((reader, [*lead, char]))
            lead = []
    if lead:
        pieces.append((own, lead))
    return [Run(reader, "".join(chars)) for reader, chars in pieces]


def _readers(text: str, own: str) -> list[tuple[str, str | None]]:
    read: list[tuple[str, str | None]] = []
    for phrase in _PHRASE.findall(text):
        scripts = [script_of(char) for char in phrase]
        near = "ja" if "Kana" in scripts else own
        for char, script in zip(phrase, scripts, strict=True):
            read.append((char, None if script is None else _reader(script, near if script == "Han" else own)))
    return read


def _reader(script: str, language: str) -> str:
    return language if language in _OTHERS[script] else _READERS[script][0]

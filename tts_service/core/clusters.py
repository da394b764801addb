"""Where a text must not be parted: inside an emoji sequence, a character with its combining marks, a number, a word.

Clusters are the part of Unicode annex 29 that speech needs, from the tables of the standard library. Laws: any text is
accepted; the answer about a place depends on the characters next to it, for flags on all flag letters before it.
"""

import unicodedata

from tts_service.core.script_runs import is_cjk

_JOINERS = "\u200c\u200d"
_ZERO_WIDTH_JOINER = "\u200d"
_VIRAMA = 9  # canonical combining class: ties two Indic consonants together
_BREAKS = "\n\r\v\f\x85\u2028\u2029"
_WITHIN_WORD = ".,:．，："


def _joins(char: str) -> bool:
    """Combining marks, variation selectors, skin tones, tags and jamo belong to the character before them."""
    return (
        unicodedata.category(char)[0] == "M"
        or char in _JOINERS
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
        or "\u1160" <= char <= "\u11ff"
        or "\ud7b0" <= char <= "\ud7fb"
    )


def parts_cluster(text: str, at: int) -> bool:
    """Whether a cut between text[at - 1] and text[at] would part a cluster; 0 < at < len(text)."""
    before, char = text[at - 1], text[at]
    if before in _BREAKS:
        return False
    if _joins(char) or (before == _ZERO_WIDTH_JOINER and not char.isspace()):
        return True
    if unicodedata.combining(before) == _VIRAMA:
        return char.isalpha()
    if "\u1100" <= before <= "\u115f":  # a leading Hangul jamo waits for its vowel
        return is_cjk(char)
    return _is_flag_letter(char) and _flag_letters_before(text, at) % 2 == 1


def parts_word(text: str, at: int) -> bool:
    """Whether a cut between text[at - 1] and text[at] would part a number, an abbreviation or an ASCII word.

    A mark behind a digit or letter counts as its own: perhaps the decimals follow.
    """
    before, char = text[at - 1], text[at]
    if before in _WITHIN_WORD:
        return _is_word_char(char) and at > 1 and _is_word_char(text[at - 2])
    return _is_word_char(before) and (_is_word_char(char) or char in _WITHIN_WORD)


def _flag_letters_before(text: str, at: int) -> int:
    count = 0
    while count < at and _is_flag_letter(text[at - 1 - count]):
        count += 1
    return count


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_word_char(char: str) -> bool:
    return char.isdecimal() or (char.isascii() and char.isalpha())

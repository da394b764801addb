"""What an engine is to read that does not read numbers: amounts, dates, times, signs and addresses as words.

Each form is said in the language of the script around it, of the reply when it stands alone. A reply in another
language than English, Chinese, Korean and Japanese stays as it is, and so do roman numerals. Laws: total for any text;
in a reply in one of the four no digit is left; what has been said stays as it is; text of words and plain punctuation
is unchanged; the result has at most `LONGEST_WORDS_CHARS` for each character; the work for a character is bounded.
"""

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import Final

from tts_service.core.script_runs import is_cjk, split_runs
from tts_service.core.spoken_chinese import Chinese, Traditional
from tts_service.core.spoken_english import English
from tts_service.core.spoken_forms import FRACTIONS, Form, Found, find_forms
from tts_service.core.spoken_japanese import Japanese
from tts_service.core.spoken_korean import Korean
from tts_service.core.spoken_tongue import Tongue

LONGEST_WORDS_CHARS: Final = 32  # for one character, such as ℉, with the spaces around it
_BLOCK_CHARS: Final = 2_000  # are read together; a reply's segment is far shorter

_READINGS: Final = 3  # words may leave an address or a face behind them: example.com1
_LOOK_CHARS: Final = 24  # around a form: what it counts, what says that it is a year

_TONGUES: Final[dict[str, Tongue]] = {"en": English(), "zh": Chinese(), "ko": Korean(), "ja": Japanese()}
_TRADITIONAL: Final = Traditional()
_TRADITIONAL_TAG = re.compile(r"zh[-_](?:hant|tw|hk|mo)\b", re.IGNORECASE)
_SAID_FOR_ALL: Final = frozenset({Form.ADDRESS, Form.EMAIL, Form.FACE})  # no engine says these well

_WIDE = str.maketrans({chr(ord(sign) + 0xFEE0): sign for sign in "#$%&+-0123456789=@"})
_WIDE_MARKS: Final = {"．": ".", "，": ",", "：": ":"}
# A fullwidth comma between ASCII digits parts two numbers: 100，105.
_WIDE_MARK = re.compile("(?<=[0-9０-９])[．：](?=[0-9０-９])|(?<=[０-９])，(?=[０-９]{3})")
_ODD_NUMBER = re.compile(rf"[^\x00-\xb1\u3005-\ua4cf\uac00-\ud7ff{''.join(FRACTIONS)}²³]")
_BEFORE_MARK = re.compile(" (?=[,.!?;:，。！？、)）」』”])")
_SENTENCE = re.compile("[A-Za-z] [a-z]{2}")  # no name is written so
_SPACES = re.compile(" {2,}")


def spoken(text: str, language: str, reads_numbers: bool = False) -> str:
    """The words of `text`, one line as `speakable` gives it; `language` is the reply's tag, such as "zh-Hant".

    For an engine that reads numbers only what no engine reads well is said: addresses, and faces are dropped.
    """
    own = language.replace("_", "-").partition("-")[0].lower()
    if own not in _TONGUES:
        return text
    for _ in range(_READINGS):
        blocks = (text[at : at + _BLOCK_CHARS] for at in range(0, len(text), _BLOCK_CHARS))
        said = "".join(_block(block, language, own, reads_numbers) for block in blocks)
        text = text if said == text else _BEFORE_MARK.sub("", _SPACES.sub(" ", said)).strip()
    return text


def _block(text: str, language: str, own: str, reads_numbers: bool) -> str:
    if not reads_numbers:
        text = _with_ascii_digits(text, own)
    forms = [found for found in find_forms(text) if not reads_numbers or found.form in _SAID_FOR_ALL]
    if not forms:
        return text
    place = _Place(text, forms, language, own)
    said, at = "", 0
    for found in forms:
        tongue = place.tongue(found)
        around = text[max(0, found.start - _LOOK_CHARS) : found.start], text[found.stop : found.stop + _LOOK_CHARS]
        words = tongue.say(found, *around)
        said += text[at : found.start]
        at = found.stop + words.taken
        said += _fitted(words.words, said[-1:], text[at : at + 1], tongue, found)
    return said + text[at:]


class _Place:
    """Which tongue says a form of a text."""

    def __init__(self, text: str, forms: list[Found], language: str, own: str) -> None:
        self._text, self._own = text, own
        letters = list(text)
        for found in forms:  # the letters of a unit say nothing about the language
            letters[found.start : found.stop] = "0" * (found.stop - found.start)
        between = "".join(letters)
        self._first_letter = next((at for at, char in enumerate(between) if char.isalpha()), len(text))
        self._is_traditional = _TRADITIONAL_TAG.match(language) is not None
        self._runs = split_runs(between, language)
        self._is_sentence = [_SENTENCE.search(run.text) is not None for run in self._runs]
        self._starts = [0, *accumulate(len(run.text) for run in self._runs)]

    def tongue(self, found: Found) -> Tongue:
        near = self._language(found)
        language = near if near in _TONGUES else self._own
        return _TRADITIONAL if language == "zh" and self._is_traditional else _TONGUES[language]

    def _language(self, found: Found) -> str:
        if found.form in _SAID_FOR_ALL:
            return self._own
        before = self._text[found.start - 1 : found.start]
        after = self._text[found.stop : found.stop + 1]
        is_name = found.form is Form.QUANTITY and before.isascii() and before.isalpha()  # GPT-4, MP3
        next_at = found.stop + (after == " ")
        if is_cjk(self._text[next_at : next_at + 1] or " "):  # what it counts, or a particle
            counting = self._runs[self._row(next_at)].language
            return "en" if is_name and counting == "ko" else counting
        row = self._row(found.start)
        if self._runs[row].language != "en":
            return self._runs[row].language
        is_first = found.start < self._first_letter
        if is_first and after.isascii() and after.isalpha():  # 5G
            return self._own
        if is_name and self._own == "ko":
            return "en"
        return "en" if self._is_sentence[row] else self._own  # one word alone is a name: iPhone 15

    def _row(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1


def _with_ascii_digits(text: str, own: str) -> str:
    """Fullwidth, circled, raised and other digits as ASCII ones."""
    text = _WIDE_MARK.sub(lambda found: _WIDE_MARKS[found[0]], text)
    text = _ODD_NUMBER.sub(lambda found: _ascii_number(found[0]), text.translate(_WIDE))
    return text.replace("〇", "零") if own == "zh" else text


def _ascii_number(char: str) -> str:
    value, category = unicodedata.numeric(char, -1), unicodedata.category(char)
    if category == "Nd" or (category == "No" and unicodedata.decomposition(char).startswith(("<super>", "<sub>"))):
        return str(int(value))
    is_whole = category == "No" and value == int(value) and value >= 0
    return f" {int(value)} " if is_whole else char  # ① is a number of its own


def _fitted(words: str, before: str, after: str, tongue: Tongue, found: Found) -> str:
    """The words with the spaces that part them from their neighbours."""
    if not words:
        return " " if found.form is Form.FACE else ""
    if words[-1] == "." == after:  # "p.m." at the end of a sentence
        words = words[:-1]
    is_till = "till" in found.parts or "hour_till" in found.parts
    is_glued = tongue.code == "ko" and (before == "제" or is_till)  # 제3
    is_apart = before.isalnum() and (before.isascii() or tongue.space) and not is_glued
    lead = " " if is_apart or (is_till and before == ".") else ""
    goes_on = after.isalnum() and tongue.space and not ("가" <= after <= "힣")  # a particle belongs to its number
    return f"{lead}{words}{' ' if goes_on else ''}"

"""What of a text is found: its words, spelled so that every full-text index reads them alike, and what is asked for.

A script that puts spaces between words is found by words, or by how they begin. Chinese, Japanese, Korean and others
are found by any stretch of characters: each character becomes one index word together with the one that follows it, so
that one character is the beginning of an index word, two are one, and more are several in a row.

Index words are lower-case ASCII letters and digits, three to `LONGEST_WORD` of them, never a common English word: short
or common ones are dropped by some databases, and other letters are understood by each in its own way.

Laws: every word of a text finds it, and every stretch of characters of such a script that one run of them holds, and
every beginning of three letters or more; letter case, width and accents of Latin letters make no difference; the same
text always becomes the same index words; both texts and queries are bounded.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby, islice
from typing import Final

MOST_WORDS: Final = 8_192  # of one text; what follows is not found
MOST_WANTED: Final = 32  # of one query; what follows is not looked for
LETTERS_COMPARED: Final = 16  # of a word; two that differ only later are one
LONGEST_WORD: Final = 84  # MariaDB drops longer ones
SHORTEST_BEGINNING: Final = 3  # letters; shorter words are whole words
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_BREAK, _WORD, _GLYPH = range(3)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Index words that must stand in a row; of the last one it is enough that a word begins so, if `is_beginning`."""

    words: tuple[str, ...]
    is_beginning: bool


def index_words(text: str) -> list[str]:
    """The index words of a text, in their order."""
    return list(islice((word for kind, run in _runs(text) for word in _spelled(kind, run)), MOST_WORDS))


def wanted(query: str) -> list[Wanted]:
    """What a text must hold, all of it, to be found; nothing when the query has no word."""
    return [_asked(kind, run) for kind, run in islice(_runs(query), MOST_WANTED)]


def owner_word(user_id: str) -> str:
    """The index word of all that belongs to one person; that two persons share one is possible, and unlikely."""
    return f"us{blake2b(user_id.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def _runs(text: str) -> list[tuple[int, str]]:
    folded = "".join(map(_plain, unicodedata.normalize("NFKC", text).casefold()))
    return [(kind, "".join(run)) for kind, run in groupby(folded, _kind) if kind != _BREAK]


@lru_cache(maxsize=16_384)
def _plain(character: str) -> str:
    """A Latin letter without its accents, which may also stand after it."""
    if "\u0300" <= character <= "\u036f":
        return ""
    first = unicodedata.normalize("NFD", character)[0]
    return first if first.isascii() else character


@lru_cache(maxsize=16_384)
def _kind(character: str) -> int:
    if unicodedata.category(character)[0] not in "LNM":
        return _BREAK
    return _GLYPH if _WITHOUT_SPACES.match(character) else _WORD


def _spelled(kind: int, run: str) -> list[str]:
    if kind == _WORD:
        return [_word(run)]
    units = [_hex(character) for character in run]
    return [f"cj{one}{following}" for one, following in zip(units, [*units[1:], ""], strict=True)]


def _asked(kind: int, run: str) -> Wanted:
    if kind == _WORD:
        return Wanted((_word(run),), len(run) >= SHORTEST_BEGINNING)
    words = _spelled(kind, run[: MOST_WANTED + 1])
    return Wanted((words[0],), True) if len(words) == 1 else Wanted(tuple(words[:-1]), False)


def _word(run: str) -> str:
    """`tk` and its letters: ASCII as itself, `z` doubled, any other as `z` and its number, which holds no z."""
    return ("tk" + "".join(map(_letter, run[:LETTERS_COMPARED])))[:LONGEST_WORD]


@lru_cache(maxsize=16_384)
def _letter(character: str) -> str:
    if character == "z":
        return "zz"
    return character if character.isascii() else f"z{_hex(character)}"


@lru_cache(maxsize=16_384)
def _hex(character: str) -> str:
    """Four digits for each unit of UTF-16: no character's are the beginning of another's."""
    return character.encode("utf-16-be", "surrogatepass").hex()

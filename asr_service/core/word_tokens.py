"""Words of a text that a model wrote in tokens: which tokens each of them took.

A word is what stands between spaces; where a script has none, a character, or as many as share a token. Punctuation
belongs to the word that it touches. Tokens are counted in bytes of UTF-8, and one may end within a character.

Laws: words follow one another and have no token in common; without their spaces they make up the text without its
spaces, and no word has a space at its ends.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from asr_service.core.stabiliser import UNSPACED_BLOCKS

UNSPACED_PUNCTUATION = ((0x3000, 0x303F), (0xFF00, 0xFF65))
OPENING = ("Ps", "Pi")


@dataclass(frozen=True, slots=True)
class TokenWord:
    """A word without space around it, and its tokens: from `first` up to `end`, which is not its own."""

    text: str
    first: int
    end: int


def token_words(text: str, token_bytes: Sequence[int]) -> list[TokenWord]:
    """The words of `text`, whose tokens are so many bytes long; ValueError if they do not add up to it."""
    edges = [0, *accumulate(token_bytes)]
    if edges[-1] != len(text.encode()):
        raise ValueError(f"tokens of {edges[-1]} bytes do not write a text of {len(text.encode())}")
    words: list[TokenWord] = []
    start = 0
    for written in written_words(text):
        end = start + len(written.encode())
        word = TokenWord(written, bisect_right(edges, start) - 1, bisect_right(edges, end - 1))
        start = end
        if words and word.first < words[-1].end:
            word = TokenWord(words[-1].text + written, words.pop().first, word.end)
        words.append(word)
    return [replace(word, text=word.text.strip()) for word in words if word.text.strip()]


def written_words(text: str) -> list[str]:
    """The words of a text, each with the space before it; joined, they are the text."""
    starts = [place for place in range(len(text)) if not place or _begins(text[place - 1], text[place])]
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def _begins(previous: str, character: str) -> bool:
    """Whether a word begins between the two."""
    if previous.isspace() or character.isspace():
        return not previous.isspace()
    category = unicodedata.category(character)
    if unicodedata.category(previous) in OPENING or category[0] == "M" or category == "Cf":
        return False
    if category[0] in "PS" and category not in OPENING:
        return False
    return _is_in(UNSPACED_BLOCKS, character) or _is_in((*UNSPACED_BLOCKS, *UNSPACED_PUNCTUATION), previous)


def _is_in(blocks: Sequence[tuple[int, int]], character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in blocks)

"""Stabiliser: decides how much of a recogniser's changing readings is fixed.

The method is LocalAgreement-2 (Liu, Spanakis and Niehues, 2020, "Low-latency sequence-to-sequence speech recognition
and translation by partial hypothesis selection"; known from ufal's whisper_streaming): what two readings in a row
have in common from their start is committed, the rest is tentative.

A reading is compared in units: words where a script has spaces between them, single characters (with the marks
combined onto them) where it has none. Punctuation is a unit of its own, so that "hello." and "hello, how" agree on
the word. Each unit carries the space before it; the units joined are the text again, to the last code point.

It never looks at audio or time, never corrects a text, and does not know when an utterance ends: `finish` and `reset`
say so.

Laws: the committed text only grows until `finish` or `reset`; a partial's text is committed + tentative, and is the
reading's text whenever the reading begins with the committed units; a partial is emitted only when it differs from
the last one; a repeated reading commits itself and changes no text; a final begins with the committed text or is
flagged `revised`.
"""

import unicodedata
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

# Scripts written without spaces between words, as first and last code point of their blocks.
UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),  # 々 〆 〇
    (0x3040, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31BF),  # more bopomofo
    (0x31F0, 0x31FF),  # more kana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # kana of half width
    (0x20000, 0x3FFFF),  # Han, later planes
)
FIRST_UNSPACED = UNSPACED_BLOCKS[0][0]

# Punctuation that belongs to a word when the word goes on behind it: don't, 3.5, 1,000, e-mail, 10:30.
JOINERS = frozenset("'’-.,:_@/&")


class _Kind(Enum):
    SPACE = auto()
    WORD = auto()
    SINGLE = auto()  # a unit of its own: a character of a script without spaces, punctuation, a symbol
    MARK = auto()  # belongs to the character before it


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A reading of the utterance so far: its whole text, and its language (BCP 47) where it is known."""

    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """What is shown while somebody speaks: `committed` never changes again, `tentative` may."""

    committed: str
    tentative: str
    language: str | None = None

    @property
    def text(self) -> str:
        """The whole reading."""
        return self.committed + self.tentative


@dataclass(frozen=True, slots=True)
class Final:
    """The fixed reading of an utterance; `revised` says that it does not begin with what was committed."""

    text: str
    revised: bool


class Stabiliser:
    """Stabilises the readings of one stream, one utterance after the other."""

    __slots__ = ("_committed", "_partial", "_reading")

    def __init__(self) -> None:
        self._committed: list[str] = []
        self._reading: list[str] = []
        self._partial = Partial("", "")

    @property
    def committed(self) -> str:
        """The text of this utterance that is fixed."""
        return "".join(self._committed)

    def add(self, hypothesis: Hypothesis) -> Partial | None:
        """Take the next reading; return what is to be shown now, or None if nothing has changed.

        A reading that contradicts what is committed cannot take it back: it gives its units from the same number on.
        A reading shorter than what is committed gives nothing.
        """
        reading = split_units(hypothesis.text)
        agreed = _common(self._reading, reading)
        self._committed += reading[len(self._committed) : agreed]
        self._reading = reading
        tentative = "".join(reading[len(self._committed) :])
        partial = Partial(self.committed, tentative, hypothesis.language)
        if partial == self._partial or not (partial.text or self._partial.text):
            return None
        self._partial = partial
        return partial

    def finish(self, text: str) -> Final:
        """End the utterance with its fixed text; the next reading belongs to the next utterance."""
        final = Final(text, revised=not text.startswith(self.committed))
        self.reset()
        return final

    def reset(self) -> None:
        """Forget the utterance."""
        self._committed = []
        self._reading = []
        self._partial = Partial("", "")


def split_units(text: str) -> list[str]:
    """The units of `text`, each with the space before it; joined, they are `text`. Time grows with its length."""
    starts: list[int] = []
    previous = _Kind.SPACE
    for index, character in enumerate(text):
        kind = _kind(character)
        if character in JOINERS and previous is _Kind.WORD and _kind(text[index + 1 : index + 2]) is _Kind.WORD:
            kind = _Kind.WORD
        if not starts or not _belongs(kind, previous):
            starts.append(index)
        if kind is not _Kind.MARK:
            previous = kind
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def _belongs(kind: _Kind, previous: _Kind) -> bool:
    """Whether a character goes on with the unit before it: marks always, a word's letters, all after mere space."""
    return kind is _Kind.MARK or previous is _Kind.SPACE or (kind is _Kind.WORD and previous is _Kind.WORD)


def _kind(character: str) -> _Kind:
    """What a character is to the splitting; the end of the text counts as space."""
    if not character or character.isspace():
        return _Kind.SPACE
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf":  # Cf: joiners and direction marks, which have no width
        return _Kind.MARK
    if category[0] in "PS" or _is_unspaced(ord(character)):
        return _Kind.SINGLE
    return _Kind.WORD


def _is_unspaced(code_point: int) -> bool:
    return code_point >= FIRST_UNSPACED and any(first <= code_point <= last for first, last in UNSPACED_BLOCKS)


def _common(one: list[str], other: list[str]) -> int:
    """How many units the two have in common from their start."""
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))

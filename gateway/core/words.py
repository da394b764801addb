"""What a word is, in scripts with spaces and without. Knows scripts, never languages.

Laws (tests/core/test_gateway_words.py): the pieces of a text, put together, are the text; joining two texts puts at
most one space between them and loses nothing but outer blanks; case and punctuation make no other question.
"""

import unicodedata

_UNSPACED = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Burmese
    ("\u1780", "\u17ff"),  # Khmer
    ("\u2e80", "\u312f"),  # CJK radicals and punctuation, kana, bopomofo
    ("\u31a0", "\u9fff"),  # more of them, and the ideographs
    ("\uf900", "\ufaff"),  # compatibility ideographs
    ("\uff00", "\uff9f"),  # full-width punctuation and letters, half-width kana
    ("\U00020000", "\U0003ffff"),  # rarer ideographs
)
_QUOTES = "“”‘’\"'…—"  # used by every script, so they do not tell which one a text is in


def is_unspaced(character: str) -> bool:
    """Whether this character belongs to a script that puts no spaces between words (Korean does, so it does not)."""
    return any(first <= character <= last for first, last in _UNSPACED)


def joined(before: str, after: str) -> str:
    """Two texts in a row: a space between, unless one is blank or neither of the touching characters wants one."""
    before, after = before.strip(), after.strip()
    touching = before.rstrip(_QUOTES)[-1:], after.lstrip(_QUOTES)[:1]
    is_close = not before or not after or all(c and is_unspaced(c) for c in touching)
    return f"{before}{after}" if is_close else f"{before} {after}"


def normalised(text: str) -> str:
    """What of a text decides whether two are the same question: letters, marks, digits and symbols, without case.

    NFKC and case folding (Unicode Standard, annex 15 and section 3.13), so that punctuation which a recogniser adds
    between a candidate and its final costs no answer. What stands between two digits stays: 1.5 is not 15.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(
        character
        for i, character in enumerate(folded)
        if unicodedata.category(character)[0] in "LMNS"
        or (folded[i - 1 : i].isdigit() and folded[i + 1 : i + 2].isdigit())
    )


def count_words(text: str) -> int:
    """Words as a person counts them: runs of letters and digits, and each character of a script without spaces."""
    return sum(any(map(str.isalnum, piece)) for piece in pieces(text))


def pieces(text: str) -> list[str]:
    """A text cut before each word, or before each character of a script without spaces.

    Blanks go with the word that they precede, punctuation and combining marks with what they follow.
    """
    found: list[str] = []
    for character in text:
        if not found or _begins(character, found[-1]):
            found.append("")
        found[-1] += character
    return found


def _begins(character: str, piece: str) -> bool:
    """Whether this character begins a piece of its own after `piece`."""
    if character.isspace():
        return not piece[-1].isspace()
    if not character.isalnum() or not any(map(str.isalnum, piece)):
        return False
    return is_unspaced(character) or is_unspaced(piece[-1])

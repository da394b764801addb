"""How long speech may be at most, so that somebody else's server that finds no end is left."""

from typing import Final

SPARE_S: Final = 15.0  # sound that any text may have,
LONGEST_CHAR_S: Final = 2.0  # and what each of its characters may add: a figure is a word, a sign may be several


def longest_s(text: str, speed: float) -> float:
    """Seconds that nobody needs for a text."""
    return SPARE_S + LONGEST_CHAR_S * len(text) / min(1.0, speed)

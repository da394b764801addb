"""Where the pieces of a text begin in another rendering of it, which was cut into other pieces.

Both are read from the beginning on, by letters without blanks: a piece that begins with one of the rendering's begins
at its sample, and one inside of another begins as far behind its start as its letters stand in it. What the rendering
does not speak any more begins at its end.

Laws (tests/core/test_gateway_aligned_offsets.py): there are as many offsets as pieces; they never go back and stay
within the rendering; pieces that are cut as the rendering is begin where its own begin.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


def aligned_offsets(pieces: Sequence[str], rendered: Sequence[tuple[str, int]], total: int) -> list[int]:
    """The sample at which each piece begins; `rendered` has its own texts with theirs, and ends at sample `total`."""
    ends = list(accumulate((_letters(text) for text, _ in rendered), initial=0))
    starts = [min(start, total) for start in accumulate([*(start for _, start in rendered), total], max)]
    befores = accumulate((_letters(piece) for piece in pieces[:-1]), initial=0)
    return [_sample_of(before, ends, starts) for before, _ in zip(befores, pieces, strict=False)]


def _sample_of(letters: int, ends: list[int], starts: list[int]) -> int:
    """Where the sound is when so many letters have been spoken."""
    at = bisect_right(ends, letters) - 1
    if at == len(ends) - 1:
        return starts[at]
    share = (letters - ends[at]) / (ends[at + 1] - ends[at])
    return starts[at] + int(share * (starts[at + 1] - starts[at]))


def _letters(text: str) -> int:
    return sum(not character.isspace() for character in text)

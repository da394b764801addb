"""Write the grammar (GBNF) of texts that are to be written as they are: of one, or of any of many.

What many begin alike is written once. Who follows the grammar looks at each way to go on for each token that there is:
of a thousand texts there would be a thousand ways at their beginning.
Law: any of the texts is allowed, and nothing else.
"""

from collections.abc import Iterable
from itertools import groupby

_DEEPEST = 40  # beginnings within beginnings; from there on each text is written by itself
_ESCAPED = {"\\": "\\\\", '"': '\\"', **{chr(code): f"\\x{code:02X}" for code in (*range(32), 127)}}


def literal(text: str) -> str:
    """A text that is to be written as it is."""
    return '"' + "".join(_ESCAPED.get(character) or character for character in text) + '"'


def one_of(texts: Iterable[str], depth: int = 0) -> str:
    """Any of these texts, one at least."""
    sorted_texts = sorted(set(texts))
    shared = _shared(sorted_texts[0], sorted_texts[-1])
    if len(sorted_texts) == 1 or depth > _DEEPEST:
        return " | ".join(map(literal, sorted_texts))
    rests = [text[len(shared) :] for text in sorted_texts]
    ways = " | ".join(one_of(alike, depth + 1) for _, alike in groupby(rests, lambda rest: rest[:1]))
    return f"{literal(shared)} ({ways})" if shared else ways


def _shared(first: str, last: str) -> str:
    """What both begin with, and so does all that is sorted between them."""
    count = next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return first[:count]

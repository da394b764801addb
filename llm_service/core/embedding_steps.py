"""Decide which texts of a request an embedding model reads in one step.

Texts of like length go together, as each is padded to the longest of its step. A step is small, so that a short request
waits for one step of a long one and not for all of it.
Laws: every text is in one step; a step of more than one text keeps both limits; a text above the limit is a step alone.
"""

from collections.abc import Sequence


def steps(lengths: Sequence[int], texts_limit: int, tokens_limit: int) -> list[list[int]]:
    """The indexes of the texts of each step. `lengths` in tokens; `tokens_limit` counts padding."""
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        step = found[-1] if found else []
        if step and len(step) < texts_limit and (len(step) + 1) * lengths[index] <= tokens_limit:
            step.append(index)
        else:
            found.append([index])
    return found

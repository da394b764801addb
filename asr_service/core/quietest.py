"""Where a stretch of sound may be cut: where it is quietest. Pure arithmetic; it never looks at the sound itself."""

from collections.abc import Sequence


def quietest(levels: Sequence[float], first: int, width: int) -> int:
    """The middle of the quietest `width` levels in a row from index `first` on, the latest of equals.

    ValueError when there are not so many.
    """
    starts = range(first, len(levels) - width + 1)
    if not starts:
        raise ValueError(f"{len(levels)} levels hold no {width} in a row from {first} on")
    return min(starts, key=lambda start: (sum(levels[start : start + width]), -start)) + width // 2

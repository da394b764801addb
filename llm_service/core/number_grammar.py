"""Write the grammar (GBNF) of the numbers between two bounds, as JSON writes them.

Laws: a whole number is allowed if and only if it is within the bounds; every number that is allowed is within them.
"""

HIGHEST = 10**15 - 1  # every float up to it is exact
_DECIMALS = '("." [0-9]{1,6})?'


def integer_between(low: int, high: int) -> str | None:
    """The whole numbers from `low` to `high`; None when there are none, or they are too large."""
    low, high = max(low, -HIGHEST), min(high, HIGHEST)
    if low > high:
        return None
    ways = [_digits(max(low, 0), high)] if high >= 0 else []
    if low < 0:
        ways.append(f'"-" ({_digits(max(1, -high), -low)})')
    return " | ".join(ways)


def number_between(low: int, high: int) -> str | None:
    """The same, and numbers between them with decimals; below zero whole ones alone."""
    whole = integer_between(low, high)
    broken = _digits(max(low, 0), min(high, HIGHEST) - 1) if max(low, 0) < min(high, HIGHEST) else ""
    return f"({broken}) {_DECIMALS} | {whole}" if whole and broken else whole


def _digits(low: int, high: int) -> str:
    """Numbers that are not below zero, by their length."""
    ways = []
    for length in range(len(str(low)), len(str(high)) + 1):
        least = 10 ** (length - 1) if length > 1 else 0
        ways.append(_alike(str(max(low, least)), str(min(high, 10**length - 1))))
    return " | ".join(ways)


def _alike(low: str, high: str) -> str:
    """Numbers of as many digits as both have."""
    if low == high:
        return f'"{low}"'
    if len(low) == 1:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return f'"{low[0]}" ({_alike(low[1:], high[1:])})'
    zeros, nines = "0" * len(low[1:]), "9" * len(low[1:])
    first, last = int(low[0]), int(high[0])
    begins = [f'"{first}" ({_alike(low[1:], nines)})'] if low[1:] != zeros else []
    ends = [f'"{last}" ({_alike(zeros, high[1:])})'] if high[1:] != nines else []
    first, last = first + len(begins), last - len(ends)
    middle = [f"[{first}-{last}] [0-9]{{{len(zeros)}}}"] if first <= last else []
    return " | ".join(begins + middle + ends)

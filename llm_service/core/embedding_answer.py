"""Read the vectors out of an upstream's answer to a request for embeddings.

Never raises for what an upstream sent. Laws: as many vectors as texts were sent, in their order, whatever the order in
the answer; all of one length, which is not 0; every number is finite.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from llm_service.core.answer import is_count


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector of 32-bit floats for each text, and the tokens of all texts together."""

    vectors: tuple["array[float]", ...]
    tokens: int


def read_embedded(answer: object, count: int) -> Embedded | None:
    """The vectors of `count` texts; None when the answer holds anything else."""
    if not isinstance(answer, Mapping) or not isinstance(data := answer.get("data"), list):
        return None
    placed = {index: vector for place, one in enumerate(data) for index, vector in [_read(one, place)]}
    vectors = [placed.get(index) for index in range(count)]
    sound = tuple(vector for vector in vectors if vector)
    if len(data) != count or len(sound) != count or len({len(vector) for vector in sound}) > 1:
        return None
    return Embedded(sound, _tokens(answer.get("usage")))


def _read(one: object, place: int) -> tuple[int, "array[float] | None"]:
    """Which text it belongs to, and its vector if it is one."""
    if not isinstance(one, Mapping):
        return place, None
    index, numbers = one.get("index", place), one.get("embedding")
    return index if is_count(index) else -1, _vector(numbers)


def _vector(numbers: object) -> "array[float] | None":
    if not isinstance(numbers, list) or not all(isinstance(number, int | float) for number in numbers):
        return None
    try:
        vector = array("f", numbers)
    except OverflowError:
        return None
    return vector if all(map(math.isfinite, vector)) else None


def _tokens(usage: object) -> int:
    counts = usage if isinstance(usage, Mapping) else {}
    return next((n for name in ("prompt_tokens", "total_tokens") if is_count(n := counts.get(name))), 0)

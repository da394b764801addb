"""What an upstream answers to a request for embeddings, read."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.embedding_answer import read_embedded

pytestmark = pytest.mark.core

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "index", "embedding", "usage", "prompt_tokens"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def one(index: int | None, *numbers: float) -> dict[str, Any]:
    return {"embedding": list(numbers)} | ({} if index is None else {"index": index})


def vectors(data: object, count: int) -> list[list[float]] | None:
    found = read_embedded({"data": data}, count)
    return None if found is None else [vector.tolist() for vector in found.vectors]


def test_vectors_come_in_the_order_of_the_texts() -> None:
    assert vectors([one(1, 3.0, 4.0), one(0, 1.0, 2.0)], 2) == [[1.0, 2.0], [3.0, 4.0]]


def test_without_an_index_the_place_counts() -> None:
    assert vectors([one(None, 1.0), one(None, 2.0)], 2) == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "total_tokens": 6}, 5),
        ({"total_tokens": 6}, 6),
        ({"prompt_tokens": None}, 0),
        (None, 0),
    ],
)
def test_the_tokens_are_counted_where_they_are_told(usage: object, tokens: int) -> None:
    found = read_embedded({"data": [one(0, 1.0)], "usage": usage}, 1)

    assert found is not None
    assert found.tokens == tokens


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [one(0, 1.0)],
        [one(0, 1.0), one(0, 2.0)],
        [one(0, 1.0), one(1, 2.0), one(2, 3.0)],
        [one(0, 1.0), one(1, 2.0), one(1, 3.0)],
        [one(0, 1.0), one(5, 2.0)],
        [one(0, 1.0), one(1, 2.0, 3.0)],
        [one(0), one(1)],
        [one(0, 1.0), {"index": 1, "embedding": "AACAPw=="}],
        [one(0, 1.0), {"index": 1, "embedding": ["x"]}],
        [one(0, 1.0), {"index": "1", "embedding": [2.0]}],
        [one(0, 1.0), 2],
        [one(0, 1.0), one(1, float("nan"))],
        [one(0, 1.0), one(1, float("inf"))],
        [one(0, 1.0), one(1, 1e300)],
        [one(0, 1.0), one(1, 10**400)],
    ],
)
def test_what_is_not_a_vector_for_each_text_is_nothing(data: object) -> None:
    assert read_embedded({"data": data}, 2) is None


@pytest.mark.parametrize("answer", [None, [], "x", {}])
def test_what_is_no_answer_is_nothing(answer: object) -> None:
    assert read_embedded(answer, 1) is None


@given(JSON, st.integers(1, 3))
def test_whatever_is_sent_is_read_without_a_fault(answer: object, count: int) -> None:
    found = read_embedded(answer, count)

    assert found is None or len(found.vectors) == count


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1)
)
def test_any_order_of_the_answer_gives_the_same_vectors(numbers: list[list[float]]) -> None:
    data = [one(index, *vector) for index, vector in enumerate(numbers)]
    random.Random(len(data)).shuffle(data)

    assert vectors(data, len(numbers)) == numbers

"""The steps in which an embedding model reads the texts of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.embedding_steps import steps

pytestmark = pytest.mark.core

LENGTHS = st.lists(st.integers(1, 60), max_size=40)


def test_texts_of_like_length_go_together() -> None:
    assert steps([9, 2, 10, 3], texts_limit=32, tokens_limit=20) == [[1, 3], [0, 2]]


def test_a_step_has_no_more_texts_than_the_limit() -> None:
    assert steps([5, 5, 5], texts_limit=2, tokens_limit=100) == [[0, 1], [2]]


def test_padding_counts() -> None:
    assert steps([1, 6], texts_limit=32, tokens_limit=11) == [[0], [1]]
    assert steps([1, 6], texts_limit=32, tokens_limit=12) == [[0, 1]]


def test_no_texts_make_no_steps() -> None:
    assert steps([], texts_limit=32, tokens_limit=100) == []


@given(LENGTHS, st.integers(1, 8), st.integers(1, 100))
def test_every_text_is_in_one_step_and_only_a_single_one_passes_the_limits(
    lengths: list[int], texts_limit: int, tokens_limit: int
) -> None:
    made = steps(lengths, texts_limit, tokens_limit)

    assert sorted(index for step in made for index in step) == list(range(len(lengths)))
    for step in made:
        assert len(step) <= texts_limit
        assert len(step) == 1 or len(step) * max(lengths[index] for index in step) <= tokens_limit

"""How many layers fit in a share of a GPU's memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.gpu_share import budget_of, layers_that_fit

pytestmark = pytest.mark.core

sizes = st.integers(0, 10**12)
counts = st.integers(1, 200)


@pytest.mark.parametrize(
    ("layers", "model_bytes", "context_bytes", "budget", "working", "expected"),
    [
        (10, 1000, 20, 1199, 0, 9),
        (10, 1000, 20, 1200, 0, 11),  # all of it, with the output
        (10, 1000, 20, 1200, 1, 9),
        (10, 1001, 0, 101, 0, 1),  # a part of a byte counts as one
        (10, 1000, 20, 119, 0, 0),
        (10, 1000, 20, 100, 500, 0),
        (0, 1000, 20, 5000, 0, 0),
        (4, 0, 0, 3, 0, 3),  # whatever weighs nothing is still counted
    ],
)
def test_layers_are_counted_with_what_they_remember(
    layers: int, model_bytes: int, context_bytes: int, budget: int, working: int, expected: int
) -> None:
    assert layers_that_fit(layers, model_bytes, context_bytes, budget, working) == expected


@given(counts, sizes.filter(bool), sizes, sizes, sizes)
def test_what_is_put_there_never_costs_more_than_the_budget(
    layers: int, model_bytes: int, context_bytes: int, budget: int, working: int
) -> None:
    fit = layers_that_fit(layers, model_bytes, context_bytes, budget, working)
    there = min(fit, layers)

    assert 0 <= fit <= layers + 1
    assert fit == 0 or there * (model_bytes / layers + context_bytes) + working <= budget


@given(counts, sizes, sizes, sizes, sizes, sizes)
def test_more_memory_never_means_fewer_layers(
    layers: int, model_bytes: int, context_bytes: int, budget: int, more: int, working: int
) -> None:
    fewer = layers_that_fit(layers, model_bytes, context_bytes, budget, working)

    assert layers_that_fit(layers, model_bytes, context_bytes, budget + more, working) >= fewer


def test_the_budget_is_the_share_or_what_others_leave_of_it() -> None:
    assert (budget_of(0.5, 1000, 900), budget_of(0.5, 1000, 300), budget_of(1, 1000, 1000)) == (500, 300, 1000)

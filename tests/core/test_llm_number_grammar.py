"""Numbers between two bounds, as a grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.number_grammar import HIGHEST, integer_between, number_between

pytestmark = pytest.mark.core

bounds = st.integers(-12_000, 12_000)


def allows(grammar: str, text: str) -> bool:
    """Of numbers a grammar is a pattern but for its quotes and spaces."""
    return (
        re.fullmatch(re.sub(r'"([^"]*)"', lambda found: re.escape(found[1]), grammar).replace(" ", ""), text)
        is not None
    )


@given(bounds, bounds, st.integers(-13_000, 13_000))
def test_a_whole_number_is_allowed_if_and_only_if_it_is_within(one: int, other: int, number: int) -> None:
    low, high = sorted((one, other))
    grammar = integer_between(low, high)

    assert grammar is not None
    for found in (number, low, high, low - 1, high + 1):
        assert allows(grammar, str(found)) == (low <= found <= high)
    assert not allows(grammar, "-0")
    assert not allows(grammar, "007")


@given(bounds, bounds, st.decimals(-13_000, 13_000, places=3))
def test_a_number_with_decimals_that_is_allowed_is_within(one: int, other: int, number: object) -> None:
    low, high = sorted((one, other))
    grammar = number_between(low, high)

    assert grammar is not None
    assert low <= float(str(number)) <= high or not allows(grammar, str(number))
    assert allows(grammar, str(low))
    assert allows(grammar, str(high))
    assert low < 0 or low == high or allows(grammar, f"{low}.5")


@pytest.mark.parametrize("between", [integer_between, number_between])
def test_there_may_be_none(between: "type[object]") -> None:
    assert between(2, 1) is None  # type: ignore[call-arg]
    assert between(HIGHEST + 1, HIGHEST + 5) is None  # type: ignore[call-arg]


def test_numbers_that_are_too_large_are_left_out() -> None:
    grammar = integer_between(-(10**30), 10**30)

    assert grammar is not None
    assert allows(grammar, str(HIGHEST))
    assert allows(grammar, str(-HIGHEST))
    assert not allows(grammar, str(HIGHEST + 1))

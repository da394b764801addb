"""Which tools an answer may call, and whether it must."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.tool_choice import ToolChoice, choice_of

pytestmark = pytest.mark.core

NAMED = {"type": "function", "function": {"name": "b"}}
WRONG: list[Any] = [
    "any",
    7,
    {"type": "function"},
    {"type": "function", "function": {"name": "c"}},
    {"type": "function", "function": {"name": None}},
    {"type": "allowed_tools", "function": {"name": "b"}},
]


@pytest.mark.parametrize(
    ("wanted", "parallel", "expected"),
    [
        (None, None, ToolChoice(("a", "b"), is_several=True)),
        ("auto", True, ToolChoice(("a", "b"), is_several=True)),
        ("auto", False, ToolChoice(("a", "b"))),
        ("none", True, ToolChoice()),
        ("required", None, ToolChoice(("a", "b"), is_forced=True)),
        ("required", False, ToolChoice(("a", "b"), is_forced=True)),
        ("required", True, ToolChoice(("a", "b"), is_forced=True, is_several=True)),
        (NAMED, True, ToolChoice(("b",), is_forced=True)),
    ],
)
def test_a_choice_is_read(wanted: object, parallel: bool | None, expected: ToolChoice) -> None:
    assert choice_of(["a", "b"], wanted, parallel) == expected


@pytest.mark.parametrize("wanted", WRONG)
def test_what_is_no_choice_is_none(wanted: object) -> None:
    assert choice_of(["a", "b"], wanted, None) is None


@pytest.mark.parametrize("wanted", [None, "required", NAMED, *WRONG])
def test_without_tools_nothing_is_called_and_nothing_is_wrong(wanted: object) -> None:
    assert choice_of([], wanted, True) == ToolChoice()


@given(
    st.lists(st.sampled_from("abc"), max_size=3),
    st.sampled_from([None, "none", "auto", "required", NAMED, *WRONG]),
    st.sampled_from([None, False, True]),
)
def test_only_tools_of_the_request_are_chosen(names: list[str], wanted: object, parallel: bool | None) -> None:
    choice = choice_of(names, wanted, parallel)

    assert choice is None or set(choice.names) <= set(names)
    assert choice is None or bool(choice.names) >= choice.is_forced

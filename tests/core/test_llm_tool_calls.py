"""Tool calls put together from their pieces."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import ToolCallDelta
from llm_service.core.tool_calls import ToolCall, ToolCalls

pytestmark = pytest.mark.core


def whole(*pieces: ToolCallDelta) -> list[ToolCall]:
    calls = ToolCalls()
    for piece in pieces:
        calls.add(piece)
    return list(calls.whole())


def test_pieces_of_two_calls_are_told_apart_by_their_index() -> None:
    assert whole(
        ToolCallDelta(1, "b", "g", ""),
        ToolCallDelta(0, "a", "f", '{"x":'),
        ToolCallDelta(1, None, None, "{}"),
        ToolCallDelta(0, None, None, "1}"),
    ) == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")]


def test_what_is_told_again_on_every_piece_is_not_put_together_twice() -> None:
    assert whole(ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, "z", "f", "}")) == [ToolCall("a", "f", "{}")]


def test_what_was_never_told_is_empty() -> None:
    assert whole(ToolCallDelta(0)) == [ToolCall("", "", "")]
    assert whole() == []


@given(st.text(max_size=20), st.lists(st.integers(0, 20), max_size=5))
def test_cutting_the_arguments_anywhere_changes_nothing(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(places)]

    assert whole(*(ToolCallDelta(3, "a", "f", piece) for piece in pieces)) == [ToolCall("a", "f", text)]

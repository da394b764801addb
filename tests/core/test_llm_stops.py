"""Where a reply stops, however its text is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.stops import StopFinder

pytestmark = pytest.mark.core

texts = st.text("abc", max_size=30)
several = st.lists(st.text("abc", min_size=1, max_size=4), max_size=3)


def said(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    finder = StopFinder(stops)
    text = "".join(finder.feed(piece) for piece in pieces)
    return text + finder.finish(), finder.has_stopped


def expected(stops: list[str], text: str) -> tuple[str, bool]:
    """Character by character: what stands before the longest stop at the first place at which one ends."""
    for end in range(1, len(text) + 1):
        if found := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - len(max(found, key=len))], True
    return text, False


def test_the_text_ends_before_the_stop() -> None:
    assert said(["\nUser:"], ["Hello", " there\nUs", "er: hi"]) == ("Hello there", True)


def test_what_only_began_like_a_stop_is_handed_on_when_it_is_known() -> None:
    finder = StopFinder(["<|end|>"])

    assert [finder.feed(piece) for piece in ("a<", "|e", "x", "<|en")] == ["a", "", "<|ex", ""]
    assert finder.finish() == "<|en"


def test_nothing_follows_a_stop() -> None:
    finder = StopFinder(["."])

    assert [finder.feed("a.b"), finder.feed("c"), finder.finish()] == ["a", "", ""]


def test_of_two_stops_that_end_together_the_longer_one_holds() -> None:
    assert said(["c", "abc"], ["xabc"]) == ("x", True)


def test_an_empty_stop_stops_nothing() -> None:
    assert said([""], ["abc"]) == ("abc", False)


@given(several, texts, st.data())
def test_where_the_pieces_are_cut_never_changes_the_text(stops: list[str], text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert said(stops, pieces) == expected(stops, text)


@given(several, texts)
def test_no_more_is_held_back_than_may_be_the_beginning_of_a_stop(stops: list[str], text: str) -> None:
    finder = StopFinder(stops)
    seen = ""
    for character in text:
        seen += character
        finder.feed(character)
        held = "" if finder.has_stopped else finder._held
        assert held == "" or any(stop.startswith(held) for stop in stops)
        assert seen.endswith(held)

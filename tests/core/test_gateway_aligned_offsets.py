"""Where the pieces of a text begin in another rendering of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.aligned_offsets import aligned_offsets

pytestmark = pytest.mark.core

WORDS = st.lists(st.text("abc é語.", min_size=1).filter(str.strip), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("pieces", "rendered", "offsets"),
    [
        (["Well,", "that is it.", "Bye."], [("Well, that is it.", 0), ("Bye.", 900)], [0, 321, 900]),
        (["Well, that is it.", "Bye."], [("Well,", 0), ("that is it.", 300), ("Bye.", 900)], [0, 900]),
        (["Heard.", "Cut short", "Unheard."], [("Heard.", 10), ("Cut", 500)], [10, 500, 1_000]),
        (["Nothing", "was made."], [], [1_000, 1_000]),
        ([], [("Something.", 0)], []),
        (["A.", "B."], [("A.", 900), ("B.", 5_000)], [900, 1_000]),
        (["A.", "B."], [("A.", 500), ("B.", 200)], [500, 500]),
        (["A.", "B."], [("", 0), ("A.", 100), ("B.", 200)], [100, 200]),
    ],
    ids=["coarser", "finer", "shorter", "none", "no pieces", "behind the end", "going back", "an empty one"],
)
def test_a_piece_begins_where_its_letters_are_spoken(
    pieces: list[str], rendered: list[tuple[str, int]], offsets: list[int]
) -> None:
    assert aligned_offsets(pieces, rendered, 1_000) == offsets


@given(WORDS, st.data())
def test_pieces_that_are_cut_as_the_rendering_is_begin_where_its_own_begin(
    pieces: list[str], data: st.DataObject
) -> None:
    places = st.lists(st.integers(0, 10_000), min_size=len(pieces), max_size=len(pieces))
    starts = sorted(data.draw(places))
    rendered = [(f"  {piece}\n", start) for piece, start in zip(pieces, starts, strict=True)]

    assert aligned_offsets(pieces, rendered, 10_000) == starts


@given(
    WORDS, st.lists(st.tuples(st.text("abc ", max_size=9), st.integers(0, 99_999)), max_size=8), st.integers(0, 99_999)
)
def test_there_are_as_many_as_pieces_and_they_never_go_back_nor_leave_the_rendering(
    pieces: list[str], rendered: list[tuple[str, int]], total: int
) -> None:
    offsets = aligned_offsets(pieces, rendered, total)

    assert len(offsets) == len(pieces)
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= total for offset in offsets)

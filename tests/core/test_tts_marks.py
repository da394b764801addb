"""What belongs to a sentence behind its last mark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.marks import MARKS, Ending, Mark, Place, close, closes, left_open, read_ending

pytestmark = pytest.mark.core

PLACE = Place("en")
LIMIT = 1000


def read(text: str, brackets: tuple[str, ...] = (), place: Place = PLACE, limit: int = LIMIT) -> Ending:
    """The ending at the first mark."""
    at = next(at for at, char in enumerate(text) if char in MARKS)
    return read_ending(text, at, place, brackets, limit)


@pytest.mark.parametrize(
    ("text", "belongs"),
    [
        ("a. B", "."),
        ("a?!. B", "?!."),
        ("a.) B", ".)"),
        ("a.\u201d B", ".\u201d"),
        ("a.’ B", ".’"),
        ("a?」』。B", "?」』。"),
        ('a.". B', '.".'),
        ("a.** B", ".**"),
        ("a.*_ B", ".*_"),
        ("a!~~ B", "!~~"),
        ("a!\u200b\u200f B", "!\u200b\u200f"),
        ("a!😀 B", "!😀"),
        ("a! 😀  🎉 B", "! 😀  🎉"),
        ("a! 👨‍👩‍👧 B", "! 👨‍👩‍👧"),
        ("a!️ B", "!️"),
        ("a!\n😀", "!"),
        ("a!" + " " * 65 + "😀", "!"),
        ("a.(B", "."),
        ("a. \u201cB", "."),
        ("a.\u201cB", "."),
        ("a。**B**", "。"),
        ("**a。**B", "。**"),
        ("*a **b。**c", "。**"),
        ('a。"B"', "。"),
        ('"a。"B', '。"'),
        ('"a。', "。"),
    ],
)
def test_marks_closers_and_emoji_belong_to_the_sentence(text: str, belongs: str) -> None:
    ending = read(text)
    assert text[ending.at : ending.stop] == belongs


def test_a_sign_left_open_before_the_segment_closes_in_it() -> None:
    ending = read('b。"c', place=Place("zh", left_open=frozenset({'"'})))
    assert ending.stop == 3


def test_a_place_is_at_the_start_of_a_line_unless_told_otherwise() -> None:
    assert Place("en") == Place("en", is_line_start=True, left_open=frozenset())


def test_german_quotes_close_with_the_sign_that_english_opens_with() -> None:
    assert read("a.“ B", brackets=("„",)).stop == 3


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("a. B", Mark.DOT),
        ("a．B", Mark.DOT),
        ("a.. B", Mark.ELLIPSIS),
        ("a… B", Mark.ELLIPSIS),
        ("a...! B", Mark.LOUD),
        ("a…。B", Mark.WIDE),
        ("a?！ B", Mark.WIDE),
        ("a.)? B", Mark.LOUD),
        ("a⁉ B", Mark.LOUD),
    ],
)
def test_the_strongest_mark_counts(text: str, mark: Mark) -> None:
    assert read(text).mark is mark


@pytest.mark.parametrize(
    ("text", "is_quoted", "has_emoji"),
    [
        ("a。b", False, False),
        ("a。”b", True, False),
        ("a。”。b", False, False),
        ("a。”** b", True, False),
        ("a。😀”b", True, True),
        ("a。”😀b", False, True),
        ("a。** b", False, False),
        ("a.' b", True, False),
    ],
)
def test_an_ending_knows_of_closing_quotes_and_emoji(text: str, is_quoted: bool, has_emoji: bool) -> None:
    ending = read(text)
    assert (ending.is_quoted, ending.has_emoji) == (is_quoted, has_emoji)


def test_closers_leave_the_outer_brackets_open() -> None:
    assert read("a。』b", brackets=("「", "『")).brackets == ("「",)
    assert read("a。』」b", brackets=("「", "『")).brackets == ()


def test_nothing_is_read_beyond_the_limit_but_what_begins_before_it() -> None:
    assert read("a.))))))", limit=3).stop == 4
    assert read("a......)", limit=3).stop == 7
    assert read("a.****b", limit=3).stop == 6
    assert read("a.*b", limit=3).stop == 2


@pytest.mark.parametrize("text", ["a.", "a.)", 'a."', "a.*", "a!😀", "a。」"])
def test_an_unfinished_text_is_read_to_its_end(text: str) -> None:
    assert read(text).stop == len(text)


@pytest.mark.parametrize(
    ("brackets", "closer", "expected"),
    [
        (("「",), "」", ()),
        (("「", "（"), "」", ()),
        (("「", "（"), "）", ("「",)),
        (("「",), ")", ("「",)),
        ((), "」", ()),
        (("„",), "“", ()),
        (("„",), "”", ()),
        (("“",), "”", ()),
    ],
)
def test_a_closer_closes_its_pair_and_what_is_inside(
    brackets: tuple[str, ...], closer: str, expected: tuple[str, ...]
) -> None:
    assert close(brackets, closer) == expected


@pytest.mark.parametrize(
    ("brackets", "char", "expected"), [((), "”", True), ((), "“", False), (("„",), "“", True), ((), "a", False)]
)
def test_an_english_opener_closes_only_german_quotes(brackets: tuple[str, ...], char: str, expected: bool) -> None:
    assert closes(brackets, char) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ('say "a', {'"'}),
        ('say "a" b', set()),
        ("**bold", {"**"}),
        ("**bold** *it", {"*"}),
        ("* item", set()),
        ("2 * 3", set()),
        ("snake_case", set()),
        ("_it", {"_"}),
    ],
)
def test_signs_that_open_and_close_alike_are_counted(text: str, expected: set[str]) -> None:
    assert left_open(text, len(text), frozenset()) == expected


def test_a_sign_open_before_closes_with_its_like() -> None:
    assert left_open('a" b', 4, {'"', "**"}) == {"**"}


@given(
    st.text(alphabet=st.sampled_from(".!?。…)」”“\"'*_~ \n😀\u200d\u0301a你")),
    st.lists(st.sampled_from("「“(„")).map(tuple),
    st.integers(0, 20),
)
def test_any_text_can_be_read_and_unfinished_reading_is_never_revised(
    tail: str, brackets: tuple[str, ...], limit: int
) -> None:
    text = "." + tail
    whole = read_ending(text, 0, PLACE, brackets, limit)
    for stop in range(1, len(text) + 1):
        part = read_ending(text[:stop], 0, PLACE, brackets, limit)
        is_open = part.stop == stop or text[part.stop : stop].isspace()
        assert is_open or part == whole or min(part.stop, whole.stop) > limit

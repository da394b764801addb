"""Stabiliser: what is committed, what stays tentative, and in which units."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.stabiliser import Final, Hypothesis, Partial, Stabiliser, split_units

pytestmark = pytest.mark.core


def shown(*texts: str) -> list[Partial | None]:
    """What a fresh stabiliser emits for each reading."""
    stabiliser = Stabiliser()
    return [stabiliser.add(Hypothesis(text)) for text in texts]


def test_a_first_reading_is_tentative() -> None:
    assert shown("what time") == [Partial("", "what time")]


def test_what_two_readings_share_is_committed() -> None:
    assert shown("what time", "what time is it")[1] == Partial("what time", " is it")


def test_a_word_that_differs_ends_what_is_shared() -> None:
    assert shown("what time is", "what lime is")[1] == Partial("what", " lime is")


def test_a_repeated_reading_commits_itself_and_is_then_silent() -> None:
    assert shown("hello", "hello", "hello") == [Partial("", "hello"), Partial("hello", ""), None]


def test_readings_that_share_nothing_change_only_the_tentative_text() -> None:
    assert shown("one", "two") == [Partial("", "one"), Partial("", "two")]


def test_punctuation_that_flickers_does_not_hold_a_word_back() -> None:
    assert shown("Hello.", "Hello, how", "Hello, how are")[1:] == [
        Partial("Hello", ", how"),
        Partial("Hello, how", " are"),
    ]


def test_a_reading_that_contradicts_the_committed_text_gives_its_later_units() -> None:
    assert shown("a b", "a b", "x y c") == [Partial("", "a b"), Partial("a b", ""), Partial("a b", " c")]


def test_two_readings_that_agree_against_the_committed_text_commit_what_lies_beyond() -> None:
    assert shown("a b", "a b", "x y c", "x y c d")[3] == Partial("a b c", " d")


def test_a_reading_shorter_than_the_committed_text_takes_nothing_back() -> None:
    assert shown("a b c", "a b c", "a") == [Partial("", "a b c"), Partial("a b c", ""), None]


def test_chinese_is_committed_by_character() -> None:
    assert shown("今天天", "今天田气")[1] == Partial("今天", "田气")


def test_korean_is_committed_by_word() -> None:
    assert shown("오늘 날씨", "오늘 날씨가 어때요")[1] == Partial("오늘", " 날씨가 어때요")


def test_an_empty_reading_before_any_text_is_not_shown() -> None:
    stabiliser = Stabiliser()

    assert stabiliser.add(Hypothesis("")) is None
    assert stabiliser.add(Hypothesis("", "ko")) is None


def test_an_empty_reading_takes_the_tentative_text_back() -> None:
    assert shown("uh", "") == [Partial("", "uh"), Partial("", "")]


def test_the_language_is_passed_on_and_its_change_is_shown() -> None:
    stabiliser = Stabiliser()

    assert stabiliser.add(Hypothesis("a", "en")) == Partial("", "a", "en")
    assert stabiliser.add(Hypothesis("a", "en")) == Partial("a", "", "en")
    assert stabiliser.add(Hypothesis("a", "zh")) == Partial("a", "", "zh")


def test_a_final_that_begins_with_the_committed_text_is_not_revised() -> None:
    stabiliser = Stabiliser()
    stabiliser.add(Hypothesis("what time"))
    stabiliser.add(Hypothesis("what time"))

    assert stabiliser.finish("what time is it?") == Final("what time is it?", revised=False)


def test_a_final_that_contradicts_the_committed_text_is_flagged() -> None:
    stabiliser = Stabiliser()
    stabiliser.add(Hypothesis("what time"))
    stabiliser.add(Hypothesis("what time"))

    assert stabiliser.finish("What time?") == Final("What time?", revised=True)


def test_after_a_final_the_next_utterance_begins_afresh() -> None:
    stabiliser = Stabiliser()
    stabiliser.add(Hypothesis("yes"))
    stabiliser.add(Hypothesis("yes"))
    stabiliser.finish("yes")

    assert stabiliser.committed == ""
    assert stabiliser.add(Hypothesis("yes")) == Partial("", "yes")


def test_a_reset_forgets_the_utterance() -> None:
    stabiliser = Stabiliser()
    stabiliser.add(Hypothesis("yes"))
    stabiliser.reset()

    assert stabiliser.add(Hypothesis("yes")) == Partial("", "yes")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", []),
        ("  ", ["  "]),
        ("hello", ["hello"]),
        (" hello  world ", [" hello", "  world", " "]),
        ("Don't, e-mail!", ["Don't", ",", " e-mail", "!"]),
        ("it’s 3.5 or 1,000.", ["it’s", " 3.5", " or", " 1,000", "."]),
        ("well... 'so'", ["well", ".", ".", ".", " '", "so", "'"]),
        ("今天，3点", ["今", "天", "，", "3", "点"]),
        ("我用iPhone 手机", ["我", "用", "iPhone", " 手", "机"]),
        ("カガ", ["カ", "ガ"]),
        (unicodedata.normalize("NFD", "カガé"), ["カ", "カ\u3099", "e\u0301"]),
        ("안녕하세요. 네", ["안녕하세요", ".", " 네"]),
        ("नमस्ते दुनिया", ["नमस्ते", " दुनिया"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("\u0301a", ["\u0301a"]),
        ("👍\u200d👍", ["👍\u200d", "👍"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
    ],
)
def test_texts_are_cut_into_units(text: str, units: list[str]) -> None:
    assert split_units(text) == units


# Few words over a small alphabet, so that readings often agree in part.
WORDS = st.sampled_from(["a", " b", " c", ".", ", d", "今", "天", "\u0301", " ", "é"])
READINGS = st.lists(st.lists(WORDS, max_size=6).map("".join), max_size=12)


@given(st.text())
def test_law_the_units_joined_are_the_text(text: str) -> None:
    units = split_units(text)

    assert "".join(units) == text
    assert "" not in units


@given(READINGS)
def test_law_committed_text_only_grows_and_begins_the_shown_text(readings: list[str]) -> None:
    stabiliser = Stabiliser()
    committed = ""
    for text in readings:
        partial = stabiliser.add(Hypothesis(text))

        assert stabiliser.committed.startswith(committed)
        committed = stabiliser.committed
        if partial is not None:
            assert partial.committed == committed
            assert partial.text == committed + partial.tentative


@given(READINGS)
def test_law_a_reading_that_begins_with_the_committed_units_is_shown_whole(readings: list[str]) -> None:
    stabiliser = Stabiliser()
    last = Partial("", "")
    for text in readings:
        before = split_units(stabiliser.committed)
        last = stabiliser.add(Hypothesis(text)) or last

        if split_units(text)[: len(before)] == before:
            assert last.text == text


@given(READINGS)
def test_law_something_is_shown_only_when_it_changed(readings: list[str]) -> None:
    last = Partial("", "")
    for partial in shown(*readings):
        assert partial != last
        last = partial or last


@given(READINGS)
def test_law_repeating_a_reading_commits_it_and_changes_no_text(readings: list[str]) -> None:
    stabiliser = Stabiliser()
    last = Partial("", "")
    for text in readings:
        last = stabiliser.add(Hypothesis(text)) or last
        again = stabiliser.add(Hypothesis(text)) or last

        assert again.text == last.text
        assert again.tentative == ""
        assert stabiliser.add(Hypothesis(text)) is None
        last = again


@given(READINGS, st.text(max_size=6))
def test_law_a_final_begins_with_the_committed_text_or_is_flagged(readings: list[str], text: str) -> None:
    stabiliser = Stabiliser()
    for reading in readings:
        stabiliser.add(Hypothesis(reading))
    committed = stabiliser.committed

    assert stabiliser.finish(committed + text) == Final(committed + text, revised=False)

    for reading in readings:
        stabiliser.add(Hypothesis(reading))

    assert stabiliser.finish(text) == Final(text, revised=not text.startswith(committed))

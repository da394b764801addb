"""Words: counted, cut, joined and compared, in scripts with spaces and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.words import count_words, is_unspaced, joined, normalised, pieces

pytestmark = pytest.mark.core

texts = st.text(st.sampled_from("ab Ü你好ーか한ไทि \n。，.!?“”…'1५😀\u3000") | st.characters())


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n", 0),
        ("?!", 0),
        ("♪", 0),
        ("wait", 1),
        ("wait, what?", 2),
        ("don't", 1),
        ("3.5 kg", 2),
        ("안녕하세요 여러분", 2),
        ("हिन्दी में", 2),
        ("等一下", 3),
        ("我用Python。", 3),
        ("ちょっと", 4),
    ],
)
def test_words_are_counted_as_a_person_counts_them(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("It is noon.", ["It", " is", " noon."]),
        ("  It  is", ["  It", "  is"]),
        ("“你好，世界。”", ["“你", "好，", "世", "界。”"]),
        ("我用Python写", ["我", "用", "Python", "写"]),
        ("กินข้าว", ["กิ", "น", "ข้", "า", "ว"]),
        ("", []),
    ],
)
def test_a_text_is_cut_before_its_words(text: str, cut: list[str]) -> None:
    assert pieces(text) == cut


@given(texts)
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


@pytest.mark.parametrize("character", ["你", "か", "カ", "ㄅ", "ไ", "ລ", "က", "ក", "。", "，", "𠀀"])
def test_scripts_without_spaces_are_known(character: str) -> None:
    assert is_unspaced(character)


@pytest.mark.parametrize("character", ["a", "ж", "한", "ह", "ع", "1", ".", " ", "😀"])
def test_all_else_puts_spaces(character: str) -> None:
    assert not is_unspaced(character)


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("It is noon.", "In Rome.", "It is noon. In Rome."),
        ("你好。", "世界", "你好。世界"),
        ("他说：“你好。”", "“世界”", "他说：“你好。”“世界”"),
        ("안녕하세요.", "여러분", "안녕하세요. 여러분"),
        ("我用", "Python", "我用 Python"),
        (" one ", " two ", "one two"),
        ("", " two", "two"),
        ("one ", "\n", "one"),
        ("…", "…", "… …"),
    ],
)
def test_texts_are_joined_as_their_script_is_written(before: str, after: str, whole: str) -> None:
    assert joined(before, after) == whole


@given(texts, texts)
def test_joining_loses_nothing_but_outer_blanks(before: str, after: str) -> None:
    whole = joined(before, after)
    assert whole.startswith(before.strip())
    assert whole.endswith(after.strip())
    assert len(whole) - len(before.strip()) - len(after.strip()) in (0, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What time is it?", "what time is it"),
        ("你好，世界。", "你好世界"),
        ("STRASSE", "straße"),
        ("Ｈｅｌｌｏ", "hello"),
        ("yes - no", "Yes, no."),
    ],
)
def test_case_width_and_punctuation_make_no_other_question(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.5 kg", "15 kg"), ("5+3", "5-3"), ("5-3", "53"), ("1 2", "12"), ("कि", "का"), ("5 €", "5 $"), ("a", "b")],
)
def test_what_changes_the_meaning_makes_another_question(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(texts)
def test_a_text_that_has_words_is_some_question(text: str) -> None:
    assert not count_words(text) or normalised(text)

"""What of a text is found, in every script: by a small index that knows words in a row, and how words begin."""

import re
import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.core.search_words import (
    LETTERS_COMPARED,
    LONGEST_WORD,
    MOST_WANTED,
    MOST_WORDS,
    Wanted,
    index_words,
    owner_word,
    wanted,
)

pytestmark = pytest.mark.core

LATIN = st.text("abcxyzABZéÖß019", min_size=1, max_size=20)
HAN = st.text("的我你好天气北京上海㐀𠮷", min_size=1, max_size=20)
HANGUL = st.text("안녕하세요날씨좋은", min_size=1, max_size=20)
KANA = st.text("こんにちはカタナー々ガｶﾞ", min_size=1, max_size=20)
RUNS = st.one_of(LATIN, HAN, HANGUL, KANA, st.text("приветЖ", min_size=1), st.text("नमस्ते", min_size=1))
TEXTS = st.lists(RUNS, max_size=8).map(" ".join)


def holds(text: str, query: str) -> bool:
    """Whether an index finds a text."""
    words = index_words(text)
    return all(any(_stands(part, words[at:]) for at in range(len(words))) for part in wanted(query))


def _stands(part: Wanted, words: list[str]) -> bool:
    *whole, last = part.words
    if len(words) < len(part.words) or words[: len(whole)] != whole:
        return False
    return words[len(whole)].startswith(last) if part.is_beginning else words[len(whole)] == last


@pytest.mark.parametrize(
    ("text", "query", "is_found"),
    [
        ("The weather in Berlin", "weather", True),
        ("The weather in Berlin", "WEATH", True),
        ("The weather in Berlin", "berlin the", True),
        ("The weather in Berlin", "eather", False),
        ("The weather in Berlin", "weather Paris", False),
        ("The weather in Berlin", "in", True),
        ("The weather in Berlin", "we", False),  # two letters begin too many words
        ("I have a cat", "a", True),
        ("Café Müller, ＡＢＣ", "cafe muller abc", True),
        ("cafe muller", "CAFÉ MÜLLER", True),
        ("e\u0301te\u0301 \u0130stanbul STRASSE", "été istanbul straße", True),
        ("今天天气很好", "天气", True),
        ("今天天气很好", "气", True),
        ("今天天气很好", "好", True),
        ("今天天气很好", "今天天气很好", True),
        ("今天天气很好", "天天气", True),
        ("今天天气很好", "气天", False),
        ("今天天气很好", "今天很好", False),
        ("今天天气很好", "今天 很好", True),
        ("今天，天气", "今天天气", False),
        ("古い𠮷野家", "𠮷野", True),
        ("古い𠮷野家", "𠮷", True),
        ("우리 학교에서 만나요", "학교", True),
        ("우리 학교에서 만나요", "교", True),
        ("우리 학교에서 만나요", "나요", True),
        ("우리 학교에서 만나요", "에서만", False),
        ("明日はカタカナです", "カタ", True),
        ("明日はｶﾀｶﾅです", "カタカナ", True),
        ("がんばれ", "か", False),
        ("スーパー・マン", "マン", True),
        ("ไปโรงเรียนกัน", "โรงเรียน", True),
        ("Привет мир", "ПРИВ", True),
        ("नमस्ते दुनिया", "नमस्ते", True),
        ("我用iPhone打电话", "iphone 电话", True),
        ("zebra jazz", "zeb jaz", True),
        ("я", "z044f", False),  # how its letter is spelled in the index
        ("the answer is 42", "42", True),
        ("snake_case and C++", "case c", True),
    ],
)
def test_a_text_is_found_by_what_it_holds(text: str, query: str, is_found: bool) -> None:
    assert holds(text, query) is is_found


@pytest.mark.parametrize("query", ["", "  ", "!?。", "👋🏽", "_"])
def test_a_query_without_a_word_asks_for_nothing(query: str) -> None:
    assert wanted(query) == []


@given(TEXTS)
def test_every_word_of_a_text_finds_it_and_so_does_the_whole(text: str) -> None:
    assert holds(text, text)
    assert all(holds(text, word) for word in text.split())


@given(st.one_of(HAN, HANGUL, KANA), st.data())
def test_every_stretch_of_a_script_without_spaces_finds_its_text(text: str, data: st.DataObject) -> None:
    text = unicodedata.normalize("NFKC", text)  # half a letter is none
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    assert holds(f"ok {text}.", text[start:end])


@given(LATIN, st.data())
def test_every_beginning_of_three_letters_finds_a_word(word: str, data: st.DataObject) -> None:
    beginning = word[: data.draw(st.integers(3, max(3, len(word))))]

    assert holds(f"so {word}!", beginning)


@given(TEXTS)
def test_letter_case_makes_no_difference(text: str) -> None:
    assert index_words(text.upper()) == index_words(text.lower())


@given(st.text())
def test_index_words_are_few_ascii_letters_and_digits_that_no_database_drops(text: str) -> None:
    asked = [word for part in wanted(text) for word in part.words]
    for word in index_words(text) + asked + [owner_word(text)]:
        assert re.fullmatch(r"(tk|cj|us)[a-z0-9]+", word)
        assert 3 <= len(word) <= LONGEST_WORD


def test_long_words_that_differ_late_are_one() -> None:
    alike = "x" * LETTERS_COMPARED
    assert index_words(f"{alike}a") == index_words(f"{alike}b")
    assert index_words(alike[1:] + "a") != index_words(alike[1:] + "b")
    assert holds(f"{alike}a", alike)


def test_letters_outside_the_first_plane_keep_words_short_enough() -> None:
    assert len(index_words("𐐨" * 40)[0]) == LONGEST_WORD


def test_texts_and_queries_are_bounded() -> None:
    assert len(index_words("a " * (MOST_WORDS + 1))) == MOST_WORDS
    assert len(index_words("好" * (MOST_WORDS + 1))) == MOST_WORDS
    assert len(wanted("a " * (MOST_WANTED + 1))) == MOST_WANTED
    assert len(wanted("好" * 1000)[0].words) == MOST_WANTED


def test_what_belongs_to_a_person_has_a_word_of_theirs() -> None:
    assert owner_word("ann") == owner_word("ann")
    assert owner_word("ann") != owner_word("Ann")
    assert owner_word("\ud800") != owner_word("")

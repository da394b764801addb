"""Topics: words of one meaning in three languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import topics
from gateway.core.topics import is_topical, stem, topics_of

pytestmark = pytest.mark.core


def listed() -> list[tuple[str, str]]:
    return [
        (topic, word.replace("_", " "))
        for topic, words in topics._TOPICS.items()
        for word in words.replace("|", " ").split(" ")
        if word
    ]


def test_each_word_of_the_list_has_its_topic() -> None:
    assert [(topic, word) for topic, word in listed() if topic not in topics_of(word)] == []


def test_each_topic_has_words_in_three_languages() -> None:
    assert {topic for topic, words in topics._TOPICS.items() if len(words.split("|")) != 3} == set()


@pytest.mark.parametrize(
    ("english", "chinese", "korean", "topic"),
    [
        ("where do i live", "我住在哪里", "내가 어디에 살고 있지", "home"),
        ("my puppy", "我家的狗", "우리 강아지", "pet"),
        ("i am allergic to nuts", "我对花生过敏", "땅콩 알레르기가 있어", "allergy"),
        ("who am i", "我是谁", "내가 누구지", "own_name"),
    ],
)
def test_what_means_the_same_has_the_same_topic_in_every_language(
    english: str, chinese: str, korean: str, topic: str
) -> None:
    assert [topic in topics_of(text) for text in (english, chinese, korean)] == [True, True, True]


@given(st.text(alphabet="0123456789 .,!?-。！"))
def test_a_text_without_letters_has_no_topic(text: str) -> None:
    assert topics_of(text) == frozenset()


@pytest.mark.parametrize(("word", "is_one"), [("dogs", True), ("狗狗", True), ("강아지", True), ("umbrella", False)])
def test_a_word_is_topical_when_a_listed_one_stands_in_it(word: str, is_one: bool) -> None:
    assert is_topical(word) is is_one


@pytest.mark.parametrize(
    ("words", "common"),
    [
        ("drive drives driving", "drive"),
        ("move moved moving moves", "move"),
        ("walk walks walked walking", "walk"),
        ("run running runs", "run"),
        ("allergy allergies", "allergy"),
        ("city cities", "city"),
        ("call called calling calls", "call"),
        ("engine engines", "engin"),
        ("plane planes", "plane"),
        ("plan plans planning planned", "plan"),
        ("glass", "glass"),
        ("bus", "bus"),
        ("ties", "tie"),
        ("sing", "sing"),
        ("强", "强"),
    ],
)
def test_the_forms_of_a_word_have_one_stem(words: str, common: str) -> None:
    assert {stem(word) for word in words.split()} == {common}


@given(st.from_regex(r"[a-zà-ö]{1,12}", fullmatch=True))
def test_a_stem_is_no_longer_than_its_word_and_one_letter_and_never_empty(word: str) -> None:
    assert 1 <= len(stem(word)) <= len(word)

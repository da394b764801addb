"""The words by which memories are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.memory_words import (
    MOST_WORDS,
    asked_words,
    content_words,
    folded,
    names_in,
    speaks_of_self,
    words_of,
)

pytestmark = pytest.mark.core


def test_a_memory_is_found_by_its_topics_its_names_and_the_stems_of_its_words() -> None:
    assert set(words_of("My dog is called Rex.")) == {"@rex", "#dog", "#pet", "#walk", "#name", "dog", "call", "rex"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I live in Leeds now", ["live", "leed"]),
        ("我对花生过敏", ["花生", "生过", "过敏", "花", "生", "过", "敏"]),
        ("우리 강아지는 보리예요", ["강아지", "보리"]),
        ("わたしはラーメンがすきです", ["わた", "たし", "しは", "はラ", "ラー", "ーメ", "メン", "ンが"]),
        ("Меня зовут Анна", ["меня", "зовут", "анна"]),
        ("what is it?", []),
    ],
)
def test_the_words_of_a_text_are_those_that_not_every_sentence_has(text: str, words: list[str]) -> None:
    assert content_words(text)[: len(words)] == words
    assert bool(words) == bool(content_words(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("My dog is called biscuit.", ["biscuit"]),
        ("I have two cats named Milo and Otis", ["milo", "otis"]),
        ("my sister Laura is getting married in June", ["laura"]),
        ("I'm Priya, nice to meet you", ["priya"]),
        ("We live near Busan since May", ["busan"]),
        ("我养了一只猫，名字叫团子。", ["团子"]),
        ("我和小丽去爬山", ["小丽"]),
        ("우리 강아지 이름은 보리예요.", ["보리"]),
        ("저는 나비라는 고양이를 키워요", ["나비"]),
        ("친구 수진이랑 놀아요", ["수진"]),
        ("it was nice", []),
    ],
)
def test_names_are_those_that_a_sentence_gives(text: str, names: list[str]) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("My dog is called Biscuit.", "How is biscuit?"),
        ("我养了一只猫，名字叫团子。", "团子今年多大了"),
        ("집에서 토끼를 키우는데 이름은 콩이예요.", "콩이한테 당근을 줘도 돼?"),
    ],
)
def test_a_question_finds_a_name_that_was_given(told: str, asked: str) -> None:
    assert [word for word in set(words_of(told)) & set(asked_words(asked)) if word.startswith("@")] != []


@pytest.mark.parametrize("told", ["I'm Priya.", "my name is Priya", "저는 박서연이에요.", "我叫李娜"])
def test_who_says_their_name_is_found_when_they_ask_who_they_are(told: str) -> None:
    assert "#own_name" in words_of(told)


@pytest.mark.parametrize(
    "text",
    ["where do I live", "our garden", "我家在哪里", "내 이름이 뭐야", "제가 어디 살죠", "what's my name"],
)
def test_somebody_speaks_of_themselves(text: str) -> None:
    assert speaks_of_self(text)


@pytest.mark.parametrize(
    "text",
    [
        "tell me a joke",
        "how do I boil an egg",
        "can I ask something",
        "I don't understand",
        "why is the sky blue",
        "给我讲个笑话",
        "我可以问一个问题吗",
        "나한테 말해 줘",
        "하늘은 왜 파래요",
        "",
    ],
)
def test_who_only_asks_to_be_told_something_does_not(text: str) -> None:
    assert not speaks_of_self(text)


@given(st.text(max_size=80))
def test_width_and_case_make_no_other_words_and_none_is_empty(text: str) -> None:
    assert content_words(folded(text)) == content_words(text)
    assert all(word and word not in ("#", "@") for word in words_of(text) + asked_words(text))


@given(st.text(alphabet="abc 我们去山东买苹果강아지는 나라 ", max_size=4_000))
def test_the_number_of_words_is_bounded_and_each_comes_once(text: str) -> None:
    for words, most in ((words_of(text), MOST_WORDS), (asked_words(text), 5 * MOST_WORDS)):
        assert len(words) <= most
        assert len(words) == len(set(words))


@given(st.text(alphabet="abcdef 我你去山东买苹果강아지는나라.", max_size=60))
def test_a_question_of_the_same_text_finds_all_that_a_memory_of_it_is_found_by(text: str) -> None:
    assert set(words_of(text)) <= set(asked_words(text))

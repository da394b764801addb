"""Which memories come back for a question."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.memorable import subject_of
from gateway.core.memory_words import asked_words, words_of
from gateway.core.recall import (
    Candidate,
    Memory,
    RecallParams,
    chosen,
    is_personal,
    points_of,
    tokens_in,
    turn_of,
)

pytestmark = pytest.mark.core

DOG, HOME, NUTS = "My dog is called Biscuit.", "I live in Leeds.", "I'm allergic to peanuts."


def told(text: str, order: float = 0, similarity: float | None = None) -> Candidate:
    return Candidate(Memory(f"{order}:{text}", text, order, subject_of(text), frozenset(words_of(text))), similarity)


PARAMS = RecallParams()


def texts(question: str, *found: Candidate, params: RecallParams = PARAMS) -> list[str]:
    return [memory.text for memory in chosen(question, asked_words(question), found, params)]


def test_a_question_about_the_person_brings_back_what_it_needs() -> None:
    found = [told(DOG, 1), told(HOME, 2), told(NUTS, 3)]
    assert texts("What is my dog's name?", *found) == [DOG]
    assert texts("Where do I live?", *found) == [HOME]
    assert texts("What should I cook for dinner?", *found) == [NUTS]


def test_a_question_about_the_world_brings_nothing_back_but_what_has_a_name() -> None:
    found = [told(DOG), told("我家的狗叫大黄。", 1)]
    assert texts("Why do dogs wag their tails?", *found) == []
    assert texts("狗为什么摇尾巴？", *found) == []
    assert texts("How old is Biscuit?", *found) == [DOG]
    assert texts("大黄多大了？", *found) == ["我家的狗叫大黄。"]


@pytest.mark.parametrize(
    "personal", ["what did i say again?", "晚饭吃什么比较好", "what's the password", "뭐라고 했지"]
)
def test_what_asks_for_advice_or_for_what_is_remembered_is_personal(personal: str) -> None:
    assert is_personal(personal)
    assert not is_personal("how far is the moon")


def test_what_is_near_in_meaning_comes_back_without_a_common_word() -> None:
    question = "Which wheels do I own?"
    assert texts(question, told("I drive a red Toyota.", similarity=0.4)) == ["I drive a red Toyota."]
    assert texts(question, told("I drive a red Toyota.", similarity=0.3)) == []
    assert texts("Which wheels roll best?", told("I drive a red Toyota.", similarity=0.6)) == []


def test_what_both_searches_find_weak_comes_back_and_what_one_finds_weak_does_not() -> None:
    params = RecallParams(points=2.0, similarity=0.5)
    found = told("I keep bees behind the shed.", similarity=0.4)
    assert points_of(asked_words("do i keep bees"), found.memory) == 2.0
    question = "Where do I have those bees?"
    assert points_of(asked_words(question), found.memory) == 1.0
    assert texts(question, found, params=params) == []
    assert texts(question, found, params=replace(params, points=1.25)) == [found.memory.text]
    assert texts(question, replace(found, similarity=0.3), params=replace(params, points=1.25)) == []


def test_a_likeness_that_is_very_low_speaks_against_a_common_word() -> None:
    question = "Which team do I support?"
    assert texts(question, told("I hurt my knee at football.", similarity=0.05)) == ["I hurt my knee at football."]
    params = RecallParams(points=1.0)
    assert texts("Where are my bees?", told("I like bees.", similarity=0.05), params=params) == []
    assert texts("Where are my bees?", told("I like bees."), params=params) == ["I like bees."]


def test_what_is_far_behind_the_best_one_stays_away() -> None:
    best, other = "My bees have a green hive.", "I read about bees."
    question = "What colour is the hive of my bees?"
    assert texts(question, told(best), told(other, 1)) == [best]
    assert texts(question, told(other, 1)) == [other]
    assert texts(question, told(best, 0, 0.8), told(other, 1, 0.34)) == [best]
    assert texts("Which wheels do I own?", told(best, 0, 0.8), told(other, 1, 0.4)) == [best]


def test_the_newest_of_one_subject_counts_and_of_one_text() -> None:
    found = [told(HOME, 1), told("We moved to Brighton in May.", 2)]
    assert texts("Where do I live?", *found) == ["We moved to Brighton in May."]
    assert texts("Where do I live?", told(HOME, 1), told("i live in leeds", 2)) == ["i live in leeds"]


def test_the_same_memory_from_two_searches_is_one_and_keeps_its_similarity() -> None:
    question = "Which wheels do I own?"
    car = told("I drive a red Toyota.")
    assert texts(question, replace(car, similarity=0.5), car) == ["I drive a red Toyota."]
    assert texts(question, car, replace(car, similarity=0.5)) == ["I drive a red Toyota."]


def test_numbers_and_words_that_may_mean_anything_count_little() -> None:
    room = told("My locker is two hundred twelve.").memory
    assert points_of(asked_words("hundred twelve"), room) == 1.3
    assert points_of(["7"], replace(room, words=frozenset(["7"]))) == 0.3
    assert points_of(["귀"], replace(room, words=frozenset(["귀"]))) == 0.5
    assert (
        points_of(["#name", "#pet", "@bo", "花生", "狗"], replace(room, words=frozenset(["#name", "#pet", "@bo"])))
        == 3.4
    )
    assert points_of(["花生", "狗"], replace(room, words=frozenset(["花生", "狗"]))) == pytest.approx(0.45)
    assert points_of(["bee"], replace(room, words=frozenset(["bee"])), {"bee": 2}) == 0.75


def test_what_comes_back_is_bounded_in_number_and_tokens() -> None:
    found = [
        told(f"My bees number {word} are fine.", order)
        for order, word in enumerate(["ada", "bob", "cyd", "dee", "eve"])
    ]
    assert len(texts("How are my bees?", *found)) == RecallParams().most
    assert len(texts("How are my bees?", *found, params=RecallParams(most_tokens=12))) == 1
    assert texts("How are my bees?", *found, params=RecallParams(most_tokens=3)) == []
    assert (tokens_in("four"), tokens_in("강아지"), tokens_in("")) == (2, 3, 0)


def test_what_is_remembered_is_a_turn_in_the_language_of_the_question() -> None:
    memories = [told("My dog\n is Biscuit.").memory, told(HOME).memory]
    assert turn_of("What is my dog's name?", memories) == (
        "Earlier I told you:\n- My dog is Biscuit.\n- I live in Leeds.",
        "I remember.",
    )
    assert turn_of("我的狗叫什么？", memories[:1]) == ("我以前告诉过你：\n- My dog is Biscuit.", "我记得。")
    assert turn_of("우리 강아지 이름은?", memories[:1]) == (
        "전에 제가 한 말이에요:\n- My dog is Biscuit.",
        "기억하고 있어요.",
    )
    assert turn_of("What is my dog's name?", []) is None


SAID = [
    DOG,
    HOME,
    NUTS,
    "我家的狗叫大黄。",
    "저는 부산에 살아요.",
    "I have a cat.",
    "We moved to York.",
    "My cat is old.",
]
ASKED = [
    "Where do I live?",
    "What is my dog's name?",
    "我的狗叫什么？",
    "내가 어디에 살지?",
    "How do cats purr?",
    "",
    "...",
]
FOUND = st.lists(
    st.builds(told, st.sampled_from(SAID), st.integers(0, 9).map(float), st.none() | st.floats(-1, 1, allow_nan=False)),
    max_size=10,
    unique_by=lambda one: one.memory.memory_id,
)


@given(st.sampled_from(ASKED), FOUND, st.randoms())
def test_the_order_of_the_candidates_changes_nothing(question: str, found: list[Candidate], chance: object) -> None:
    mixed = list(found)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert texts(question, *mixed) == texts(question, *found)


@given(st.sampled_from(ASKED), FOUND)
def test_what_comes_back_was_found_once_and_is_the_newest_of_its_subject(question: str, found: list[Candidate]) -> None:
    back = chosen(question, asked_words(question), found)
    assert {memory.memory_id for memory in back} <= {one.memory.memory_id for one in found}
    assert len({memory.memory_id for memory in back}) == len(back) <= RecallParams().most
    assert sum(tokens_in(memory.text) for memory in back) <= RecallParams().most_tokens
    for memory in back:
        rivals = [one.memory.order for one in found if memory.subject and one.memory.subject == memory.subject]
        assert memory.order == max(rivals, default=memory.order)


@given(FOUND)
def test_a_question_without_words_brings_nothing_back_by_words(found: list[Candidate]) -> None:
    assert chosen("", [], [replace(one, similarity=None) for one in found]) == []

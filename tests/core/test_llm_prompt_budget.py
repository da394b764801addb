"""Which messages of a long conversation go to the model: examples, and the laws for every conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.prompt_budget import Measured, kept

pytestmark = pytest.mark.core

ROLES = ("system", "developer", "user", "assistant")
LENGTHS = st.integers(0, 40)
ANY_MESSAGES = st.lists(st.builds(Measured, st.sampled_from(ROLES), LENGTHS), max_size=30)
BUDGETS = st.integers(0, 200)


def talk(*lengths: int, persona: int = 10) -> list[Measured]:
    """A persona, then turns: a question of 1 token and an answer with the rest; the last has a question alone."""
    *past, last = lengths
    turns = [part for length in past for part in (Measured("user", 1), Measured("assistant", length - 1))]
    return [Measured("system", persona), *turns, Measured("user", last)]


def turns_kept(messages: list[Measured], budget_tokens: int) -> int | None:
    found = kept(messages, budget_tokens)
    return None if found is None else sum(messages[index].role == "user" for index in found)


def length(messages: list[Measured], indexes: list[int]) -> int:
    return sum(messages[index].tokens for index in indexes)


def test_what_fits_stays_whole() -> None:
    messages = talk(30, 30, 30)

    assert kept(messages, 100) == [0, 1, 2, 3, 4, 5]


def test_the_oldest_turns_go_whole_until_three_quarters_are_left() -> None:
    messages = talk(20, 20, 20, 20, 20, 1)  # 101 tokens of turns in a room of 100

    assert kept(messages, 110) == [0, 5, 6, 7, 8, 9, 10, 11]  # 61 are left: 81 would be more than 75


def test_the_beginning_stays_the_same_for_many_turns() -> None:
    firsts = []
    for turns in range(1, 60):
        found = kept(talk(*[10] * turns), 130)  # a room of 12 turns, three quarters of which are 9
        assert found is not None
        firsts.append(found[1])

    assert [firsts.count(first) for first in sorted(set(firsts))] == [12, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3]


def test_a_question_that_takes_nearly_all_the_room_stays_alone() -> None:
    assert kept(talk(20, 20, 99), 110) == [0, 5]


def test_a_question_that_does_not_fit_beside_the_persona_is_nothing() -> None:
    assert kept(talk(20, 20, 101), 110) is None


def test_a_persona_that_does_not_fit_is_nothing() -> None:
    assert kept([Measured("system", 11)], 10) is None
    assert kept([Measured("system", 10)], 10) == [0]


def test_a_long_turn_of_the_past_takes_nothing_from_those_after_it() -> None:
    assert turns_kept(talk(20, 500, 20, 20), 110) == 2


def test_an_opening_line_goes_before_the_first_turn() -> None:
    messages = [Measured("assistant", 30), *talk(20, 20, 40)[1:]]

    assert kept(messages, 120) == [0, 1, 2, 3, 4, 5]
    assert kept(messages, 109) == [1, 2, 3, 4, 5]


def test_instructions_in_the_middle_stay_where_they_are() -> None:
    messages = [*talk(20, 40, 40)[1:4], Measured("developer", 5), Measured("assistant", 39), Measured("user", 40)]

    assert kept(messages, 85) == [3, 5]


def test_questions_without_answers_are_turns_too() -> None:
    assert kept([Measured("user", 10)] * 5, 40) == [2, 3, 4]


def test_nothing_is_made_of_nothing() -> None:
    assert kept([], 10) == []


@given(ANY_MESSAGES, BUDGETS)
def test_what_stays_fits_with_all_that_is_pinned_and_the_last_message(
    messages: list[Measured], budget_tokens: int
) -> None:
    found = kept(messages, budget_tokens)

    if found is None:
        assert length(messages, list(range(len(messages)))) > budget_tokens
        return
    pinned = {index for index, message in enumerate(messages) if message.role in ("system", "developer")}
    assert length(messages, found) <= budget_tokens
    assert found == sorted(set(found))
    assert pinned <= set(found)
    assert not messages or len(messages) - 1 in found


@given(ANY_MESSAGES, BUDGETS)
def test_nothing_goes_while_everything_fits(messages: list[Measured], budget_tokens: int) -> None:
    everything = list(range(len(messages)))

    if length(messages, everything) <= budget_tokens:
        assert kept(messages, budget_tokens) == everything


@given(ANY_MESSAGES, BUDGETS)
def test_what_goes_is_a_beginning_made_of_whole_turns(messages: list[Measured], budget_tokens: int) -> None:
    found = kept(messages, budget_tokens)
    spoken = [index for index, message in enumerate(messages) if message.role in ("user", "assistant")]

    if found is not None:
        stayed = [index for index in spoken if index in found]
        assert stayed == spoken[len(spoken) - len(stayed) :]
        assert stayed == spoken or not stayed or messages[stayed[0]].role == "user"


TURNS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40)


@given(TURNS, st.integers(1, 20), st.integers(40, 200))
def test_a_new_turn_drops_older_ones_only_when_it_would_not_fit(
    turns: list[tuple[int, int]], question: int, room_tokens: int
) -> None:
    past = [(Measured("user", asked), Measured("assistant", told)) for asked, told in turns]
    spoken = [message for turn in past for message in turn]
    before, after = kept(spoken[:-1], room_tokens), kept([*spoken, Measured("user", question)], room_tokens)

    assert before is not None
    assert after is not None
    with_both = length(spoken, list(range(before[0], len(spoken)))) + question
    assert after[0] >= before[0]
    assert (after[0] > before[0]) == (with_both > room_tokens)
    if after[0] > before[0] and len(after) > 1:
        assert 4 * (length(spoken, after[:-1]) + question) <= 3 * room_tokens


def test_a_tool_s_result_is_a_question_too() -> None:
    called = [Measured("assistant", 10), Measured("tool", 30)]
    messages = [*talk(20, 20, 20)[1:], *called]

    assert kept(messages, 100) == [0, 1, 2, 3, 4, 5, 6]
    assert kept(messages, 99) == [4, 5, 6]


def test_what_the_model_said_drops_nothing_until_it_is_asked_again() -> None:
    turns = [Measured("user", 10), Measured("assistant", 60)]

    assert kept([*turns, Measured("user", 10)], 100) == [0, 1, 2]
    assert kept([*turns, Measured("user", 10), Measured("assistant", 50)], 100) == [2, 3]
    assert kept([*turns, Measured("user", 10), Measured("assistant", 50), Measured("user", 10)], 100) == [2, 3, 4]

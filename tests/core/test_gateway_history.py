"""History: what the next prompt remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.history import History

pytestmark = pytest.mark.core

PERSONA = {"role": "system", "content": "You are kind."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def history(*turns: tuple[str, str], max_turns: int = 8, max_chars: int = 2000) -> History:
    kept = History("You are kind.", max_turns, max_chars)
    for said, heard in turns:
        kept.add(said, heard)
    return kept


def test_the_first_question_comes_after_the_persona() -> None:
    assert history().messages("hello") == [PERSONA, user("hello")]


def test_turns_come_in_their_order() -> None:
    assert history(("hello", "Hi!"), ("what time is it", "It is")).messages("go on") == [
        PERSONA,
        user("hello"),
        assistant("Hi!"),
        user("what time is it"),
        assistant("It is"),
        user("go on"),
    ]


def test_a_question_whose_answer_was_not_heard_joins_the_next() -> None:
    assert history(("hello", ""), ("are you there", " "), ("hm", "Yes."), ("and", "")).messages("now") == [
        PERSONA,
        user("hello\nare you there\nhm"),
        assistant("Yes."),
        user("and\nnow"),
    ]


def test_asking_changes_nothing() -> None:
    kept = history(("hello", "Hi!"))
    assert kept.messages("one") == kept.messages("one")


def test_a_turn_without_a_question_is_none() -> None:
    assert history((" ", "Hi!")).messages("hello") == [PERSONA, user("hello")]


def test_of_too_many_turns_the_oldest_are_forgotten() -> None:
    kept = history(*((f"q{i}", f"a{i}") for i in range(5)), max_turns=2)
    assert [message["content"] for message in kept.messages("q5")[1:]] == ["q3", "a3", "q4", "a4", "q5"]


def test_of_too_many_turns_a_quarter_is_forgotten_at_once() -> None:
    kept = history(*((f"q{i}", f"a{i}") for i in range(9)), max_turns=8)
    starts = []
    for i in range(9, 13):
        starts.append(kept.messages("now")[1])
        kept.add(f"q{i}", f"a{i}")
    assert starts == [user("q3")] * 3 + [user("q6")]


def test_of_too_much_text_a_quarter_is_forgotten_at_once() -> None:
    kept = history(*(("aaaaa", f"a{i:04}") for i in range(10)), max_turns=20, max_chars=100)
    assert len(kept.messages("")) == 22
    kept.add("aaaaa", "a0010")
    assert [message["content"] for message in kept.messages("")[2::2]] == [f"a{i:04}" for i in range(4, 11)]


def test_a_turn_too_long_for_any_memory_is_forgotten() -> None:
    assert history(("hello", "Hi!"), ("x" * 9, "yy"), max_chars=10).messages("now") == [PERSONA, user("now")]


def test_in_a_long_talk_the_prompt_seldom_begins_anew() -> None:
    kept, starts = History("You are kind."), []
    for i in range(400):
        kept.add(f"q{i}", f"a{i}")
        starts.append(kept.messages("now")[1]["content"])
    assert list(dict.fromkeys(starts)) == ["q0", "q51", "q102", "q153", "q204"]


def test_of_too_much_text_the_oldest_turns_are_left_out_whole() -> None:
    turns = [("aaaa", "bbbb"), ("cccc", "dddd")]
    assert len(history(*turns, max_chars=18).messages("ee")) == 6
    assert history(*turns, max_chars=17).messages("ee")[1:] == [user("cccc"), assistant("dddd"), user("ee")]


def test_what_is_left_out_for_a_long_question_comes_back_with_a_short_one() -> None:
    kept = history(("aaaa", "bbbb"), max_chars=10)
    assert len(kept.messages("eee")) == 2
    assert len(kept.messages("ee")) == 4


def test_a_question_too_long_for_any_memory_is_asked_whole() -> None:
    assert history(("hello", "Hi!"), max_chars=10).messages("x" * 11) == [PERSONA, user("x" * 11)]


def test_what_the_persona_opened_with_is_told_to_it_until_somebody_else_answers() -> None:
    kept = history(("hello", "Hi!"))
    kept.open_with(" Good day. ")
    system, *asked = kept.messages("now")
    assert system["content"] == "You are kind.\n\nYou have just opened this conversation with: Good day."
    assert asked == [user("hello"), assistant("Hi!"), user("now")]
    kept.open_with(" ")
    assert kept.messages("now")[0] == PERSONA
    kept.open_with("Good day.")
    kept.clear("You are grim.")
    assert kept.messages("now") == [{"role": "system", "content": "You are grim."}, user("now")]


def test_somebody_else_remembers_nothing() -> None:
    kept = history(("hello", "Hi!"), max_chars=12)
    kept.clear("You are grim.")
    assert kept.messages("hello") == [{"role": "system", "content": "You are grim."}, user("hello")]
    kept.add("hello", "Hi!")
    assert len(kept.messages("why?")) == 4


def test_a_turn_is_rewound_with_all_that_followed() -> None:
    kept = History("You are kind.")
    for i in range(4):
        kept.add(f"q{i}", f"a{i}", f"trn_{i}")
    assert (kept.knows("trn_2"), kept.knows("trn_9")) == (True, False)
    kept.rewind("trn_9")
    kept.rewind("trn_2")
    assert [message["content"] for message in kept.messages("now")[1:]] == ["q0", "a0", "q1", "a1", "now"]
    assert not kept.knows("trn_3")


texts = st.text("ab 你\n", max_size=12)


@given(st.lists(st.tuples(texts, texts)), texts, st.integers(0, 5), st.integers(0, 60))
def test_roles_alternate_within_bounds_and_nothing_is_invented(
    turns: list[tuple[str, str]], question: str, max_turns: int, max_chars: int
) -> None:
    system, *asked = history(*turns, max_turns=max_turns, max_chars=max_chars).messages(question)
    assert system == PERSONA
    assert [message["role"] for message in asked] == ["user", "assistant"] * (len(asked) // 2) + ["user"]
    assert asked[-1]["content"].endswith(question)
    assert len(asked) <= 2 * max_turns + 1
    assert sum(len(message["content"]) for message in asked) <= max(max_chars, len(question))
    told = [turn for turn in turns if turn[0].strip()]
    recent = told[len(told) - min(max_turns, len(told)) :]
    answers = [message["content"] for message in asked if message["role"] == "assistant"]
    heard = [heard for _, heard in recent if heard.strip()]
    assert answers == heard[len(heard) - len(answers) :]
    questions = "\n".join(message["content"] for message in asked if message["role"] == "user")
    assert "\n".join([*(said for said, _ in recent), question]).endswith(questions)


@given(st.lists(st.tuples(texts, texts)), texts)
def test_while_all_is_remembered_a_prompt_begins_as_the_one_before(turns: list[tuple[str, str]], question: str) -> None:
    kept = history(max_turns=200, max_chars=64_000)
    for said, heard in turns:
        before = kept.messages(said)
        kept.add(said, heard)
        assert kept.messages(question)[: len(before) - 1] == before[:-1]


@given(st.lists(st.tuples(texts, texts)), st.lists(st.tuples(texts, texts)), texts)
def test_what_is_rewound_was_never_there(
    before: list[tuple[str, str]], after: list[tuple[str, str]], question: str
) -> None:
    kept, plain = history(max_turns=200, max_chars=64_000), history(max_turns=200, max_chars=64_000)
    for i, (said, heard) in enumerate(before):
        kept.add(said, heard, f"trn_{i}")
        plain.add(said, heard)
    kept.add("what?", "That.", "trn_edited")
    for i, (said, heard) in enumerate(after):
        kept.add(said, heard, f"trn_after_{i}")
    kept.rewind("trn_edited")
    assert kept.messages(question) == plain.messages(question)
    kept.add("one", "more")
    plain.add("one", "more")
    assert (kept.messages(question), kept._chars) == (plain.messages(question), plain._chars)


def test_another_one_remembers_what_this_one_did() -> None:
    before = history(("hi", "Hello."), ("and?", ""))
    before.open_with("Good day.")
    after = history()
    after.take_up(before.as_fields())

    assert after.messages("so?") == before.messages("so?")
    assert after.as_fields() == before.as_fields()
    empty = history()
    empty.take_up({})
    assert empty.messages("so?") == history().messages("so?")

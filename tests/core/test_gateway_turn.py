"""Turn and Reply: what was said, and what is being answered."""

import pytest

from gateway.core.events import FinishReason
from gateway.core.turn import Reply, Turn

pytestmark = pytest.mark.core


def test_a_turn_begins_with_nothing_said_and_nothing_answered() -> None:
    assert Turn("trn_1") == Turn("trn_1", user_text="", reply=None)


def test_a_turn_puts_one_utterance_after_the_other() -> None:
    turn = Turn("trn_1")
    for text in (" what time is it", "", " \n", "in Rome "):
        turn.add(text)
    assert turn.user_text == "what time is it in Rome"


def test_a_turn_in_a_script_without_spaces_gets_none() -> None:
    turn = Turn("trn_1", "现在几点？")
    turn.add("罗马呢？")
    assert turn.user_text == "现在几点？罗马呢？"


def test_the_text_of_a_reply_is_what_it_said_so_far_unchanged() -> None:
    reply = Reply("rpl_1", "what time is it", is_held=True)
    assert reply.text == ""
    reply.said += ["It ", "is", " noon. "]
    assert reply.text == "It is noon. "
    assert reply.finish is FinishReason.STOP


def test_a_reply_with_a_script_says_no_answer() -> None:
    assert not Reply("rpl_1", "hello", is_held=False).is_scripted
    assert Reply("rpl_1", "hello", is_held=False, script="Sorry.").is_scripted

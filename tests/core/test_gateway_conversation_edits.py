"""Conversation: what was understood is put right, and the answer is made again from there."""

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.events import FinishReason
from gateway.core.transitions import State
from tests.support.dialogue import INTERRUPTED, Dialogue

pytestmark = pytest.mark.core

EDIT = on.TurnEdited("trn_1", " what time is it in Rome ")


def asked_anew(turn_id: str, reply_id: str) -> list[do.ConversationAction]:
    text = "what time is it in Rome"
    return [
        do.RewindHistory("trn_1"),
        do.AnnounceEdited(turn_id, "trn_1", text),
        do.RequestReply(turn_id, reply_id, text),
        do.AnnounceReplyStarted(turn_id, reply_id),
    ]


def test_a_turn_that_is_over_is_asked_anew_in_its_place() -> None:
    d = Dialogue()
    d.be_told()
    d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.hear(EDIT) == asked_anew("trn_3", "rpl_4")
    d.hear(on.ReplyDelta("rpl_4", "One."), on.ReplyTextEnded("rpl_4", FinishReason.STOP))
    assert d.hear(on.PlayoutFinished("rpl_4", 500, "One.")) == [
        do.CommitTurn("trn_3", "rpl_4", "what time is it in Rome", "One.", 500, FinishReason.STOP, "trn_1")
    ]


@pytest.mark.parametrize("is_overlap", [True, False])
def test_an_answer_that_is_being_heard_stops_and_is_kept_before_it_is_forgotten(is_overlap: bool) -> None:
    d = Dialogue()
    if is_overlap:
        d.be_told_and_interrupt()
    else:
        d.be_told()
    assert d.hear(EDIT) == [*INTERRUPTED, *asked_anew("trn_3", "rpl_4")]
    assert d.state is State.PREPARING


def test_an_answer_on_its_way_is_made_again() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(EDIT) == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 0, ""),
        do.CommitTurn("trn_1", "rpl_2", "what time is it", "", 0, FinishReason.INTERRUPTED),
        *asked_anew("trn_3", "rpl_4"),
    ]


def test_what_is_being_said_meanwhile_is_void() -> None:
    d = Dialogue()
    d.pause("hm")
    assert d.hear(on.TurnEdited("trn_0", "hello"))[-2] == do.RequestReply("trn_3", "rpl_4", "hello")
    assert d.hear(on.FinalHeard("utt_1", "hm")) == [do.CountStale("FinalHeard")]


def test_what_was_fixed_in_the_open_turn_is_kept_without_an_answer() -> None:
    d = Dialogue()
    d.ask()
    d.hear(on.SpeechStarted("utt_2"), on.CandidateHeard("utt_2", "quickly"))
    assert d.hear(EDIT) == [
        do.CancelReply("rpl_3"),
        do.CommitTurn("trn_1", None, "what time is it", "", 0, FinishReason.INTERRUPTED),
        *asked_anew("trn_4", "rpl_5"),
    ]


def test_nothing_is_put_right_with_a_blank() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.TurnEdited("trn_1", " \n")) == []
    assert d.state is State.SPEAKING


def test_where_nothing_is_answered_the_correction_is_kept() -> None:
    assert Dialogue(replies=False).hear(EDIT)[-1] == do.CommitTurn(
        "trn_1", None, "what time is it in Rome", "", 0, FinishReason.STOP, "trn_1"
    )

"""Floor: what stands of a session, and the few moves that change it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import actions as do
from gateway.core.events import FinishReason
from gateway.core.floor import Floor
from gateway.core.params import ConversationParams
from gateway.core.transitions import State
from tests.support.conversation_laws import names

pytestmark = pytest.mark.core


def floor() -> Floor:
    return Floor(ConversationParams(), names())


def test_it_begins_listening_without_a_deadline() -> None:
    assert (floor().state, floor().deadline()) == (State.LISTENING, None)


@given(st.floats(0, 1e6), st.floats(0.01, 100), st.floats(0, 1e3))
def test_a_state_lasts_its_time_and_with_progress_again(now: float, lasts_s: float, later_s: float) -> None:
    f = floor()
    f._enter(State.SPEAKING, now, lasts_s)
    assert (f.state, f.deadline()) == (State.SPEAKING, now + lasts_s)
    f._postpone(now + later_s)
    assert f.deadline() == now + later_s + lasts_s
    f._listen()
    assert (f.state, f.deadline()) == (State.LISTENING, None)


def test_one_turn_is_open_until_it_is_closed() -> None:
    f = floor()
    assert f.turn_id == ""
    assert f._open_turn() is f._open_turn() is f._open
    assert f.turn_id == "trn_1"
    f._open.add("hello")
    assert f._close_turn(None, FinishReason.STOP) == [do.CommitTurn("trn_1", None, "hello", "", 0, FinishReason.STOP)]
    assert f._open_turn().turn_id == "trn_2"


def test_nothing_is_accepted_but_the_reply_in_flight_that_is_let_out() -> None:
    f = floor()
    assert not f.accepts("rpl_2")
    f._open_turn()
    assert f._request("hello", is_held=True) == [do.RequestReply("trn_1", "rpl_2", "hello", is_held=True)]
    assert not f.accepts("rpl_2")
    f._current.is_held = False
    assert f.accepts("rpl_2")
    assert not f.accepts("rpl_3")


def test_the_held_replies_of_each_turn_are_counted() -> None:
    f = floor()
    for is_held in (True, False, True):
        f._open_turn()
        f._request("hello", is_held=is_held)
        f._withdraw_reply()
    assert f._held_count == 2
    f._close_turn(None, FinishReason.STOP)
    f._open_turn()
    assert f._held_count == 0


def test_nobody_hears_of_a_held_reply_that_is_withdrawn() -> None:
    f = floor()
    assert f._withdraw_reply() == []
    f._open_turn()
    assert f._withdraw_reply() == []
    f._request("hello", is_held=True)
    assert f._withdraw_reply() == [do.CancelReply("rpl_2")]
    assert f._reply is None


def test_an_answer_that_is_stopped_is_announced_gone_and_kept_as_heard() -> None:
    f = floor()
    f._open_turn().add("hello")
    f._request("hello", is_held=False)
    f._current.heard_ms, f._current.heard_text = 500, "Hi"
    assert f._interrupt() == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 500, "Hi"),
        do.CommitTurn("trn_1", "rpl_2", "hello", "Hi", 500, FinishReason.INTERRUPTED),
    ]


def test_an_answer_pauses_once_and_goes_on_once() -> None:
    f = floor()
    f._open_turn()
    f._request("hello", is_held=False)
    assert f._resume_reply() == []
    assert f._pause_reply() == [do.PauseReply("rpl_2"), do.AnnouncePaused("trn_1", "rpl_2")]
    assert f._pause_reply() == []
    assert f.accepts("rpl_2")
    assert f._resume_reply() == [do.ResumeReply("rpl_2"), do.AnnounceResumed("trn_1", "rpl_2")]
    assert f._resume_reply() == []


def test_what_is_not_there_cannot_be_had() -> None:
    with pytest.raises(AssertionError, match="no turn is open in listening"):
        _ = floor()._open
    with pytest.raises(AssertionError, match="no reply is in flight in listening"):
        _ = floor()._current


@given(st.lists(st.integers(0, 200)))
def test_what_is_over_is_remembered_once_and_not_without_end(numbers: list[int]) -> None:
    f = floor()
    for number in numbers:
        f._consume(f"utt_{number}")
        assert f"utt_{number}" in f._consumed
    assert len(set(f._consumed)) == len(f._consumed) <= 64

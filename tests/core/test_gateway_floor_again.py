"""A floor that goes on where another one stood."""

from dataclasses import replace

import pytest

from gateway.core.events import FinishReason
from gateway.core.floor import Floor
from gateway.core.params import ConversationParams
from gateway.core.standing import Standing, StandingReply
from gateway.core.transitions import State
from tests.support.conversation_laws import names

pytestmark = pytest.mark.core

PARAMS = ConversationParams()
REPLY = StandingReply("rpl_9", "what time is it", "", True, FinishReason.LENGTH, True)
SPEAKING = Standing(State.SPEAKING, "trn_9", "what time is it", "trn_3", REPLY, "utt_4", "so", "en", ("utt_2",))


def taken_up(standing: Standing, said: str = "") -> Floor:
    floor = Floor(PARAMS, names())
    floor.take_up(standing, said, 100.0)
    return floor


def test_nothing_stands_at_the_beginning() -> None:
    assert Floor(PARAMS, names()).stand() == Standing()
    assert taken_up(Standing()).deadline() is None


def test_an_answer_goes_on_with_what_was_told_of_it() -> None:
    floor = taken_up(SPEAKING, "It is noon.")

    assert floor.stand() == SPEAKING
    assert (floor.accepts("rpl_9"), floor._current.text) == (True, "It is noon.")
    assert floor.deadline() == 100.0 + PARAMS.playout_stall_s


def test_who_spoke_over_an_answer_speaks_over_it_again() -> None:
    assert taken_up(replace(SPEAKING, state=State.OVERLAP)).stand() == SPEAKING


def test_an_answer_that_waits_is_known_to_and_waits_no_more() -> None:
    floor = taken_up(SPEAKING)
    floor._pause_reply()
    standing = floor.stand()
    assert standing.reply is not None
    assert standing.reply.is_paused
    assert taken_up(standing).stand() == SPEAKING


def test_an_answer_that_was_not_heard_yet_is_waited_for_anew() -> None:
    standing = replace(SPEAKING, state=State.PREPARING, reply=StandingReply("rpl_9", "what time is it", "Sorry."))
    floor = taken_up(standing)

    assert floor.stand() == standing
    assert (floor._current.is_scripted, floor._current.said) == (True, [])
    assert floor.deadline() == 100.0 + PARAMS.reply_timeout_s


@pytest.mark.parametrize(
    ("state", "lasts_s"),
    [(State.USER_SPEAKING, PARAMS.utterance_timeout_s), (State.AWAITING_FINAL, PARAMS.final_timeout_s)],
)
def test_speech_goes_on_in_its_turn(state: State, lasts_s: float) -> None:
    standing = replace(SPEAKING, state=state, reply=None)
    floor = taken_up(standing)

    assert floor.stand() == standing
    assert floor.deadline() == 100.0 + lasts_s


def test_a_conversation_that_was_closed_listens_again() -> None:
    floor = taken_up(Standing(State.CLOSED))
    assert (floor.state, floor.deadline(), floor.turn_id) == (State.LISTENING, None, "")


def test_a_held_answer_is_nobodys_business() -> None:
    floor = taken_up(replace(SPEAKING, state=State.USER_SPEAKING, reply=None))
    floor._request("what time", is_held=True)
    assert floor.stand().reply is None


def test_of_utterances_that_are_over_the_last_ones_are_told() -> None:
    floor = taken_up(Standing())
    for number in range(20):
        floor._consume(f"utt_{number}")
    assert floor.stand().consumed == tuple(f"utt_{number}" for number in range(12, 20))


def test_a_client_that_was_away_is_given_the_time_of_the_state_again() -> None:
    floor = taken_up(SPEAKING)
    floor.wait_anew(150.0)
    assert floor.deadline() == 150.0 + PARAMS.playout_stall_s
    floor._listen()
    floor.wait_anew(160.0)
    assert floor.deadline() is None

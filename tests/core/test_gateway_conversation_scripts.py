"""Conversation: what is said without asking anybody, an apology for want of an answer, and an opening line."""

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.events import FinishReason, Stage
from gateway.core.transitions import State
from tests.support.dialogue import INTERRUPTED, Dialogue, failed

pytestmark = pytest.mark.core

SORRY = "I am sorry."
APOLOGY = [
    do.RequestReply("trn_1", "rpl_3", "what time is it", script=SORRY),
    do.AnnounceReplyStarted("trn_1", "rpl_3"),
]


def test_who_waits_for_an_answer_that_failed_hears_an_apology() -> None:
    d = Dialogue(apology=SORRY)
    d.ask()
    assert d.hear(failed(Stage.LLM)) == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 0, ""),
        do.AnnounceError("engine_failed", "llm", "No.", False),
        *APOLOGY,
    ]
    d.hear(on.ReplyDelta("rpl_3", SORRY), on.ReplyTextEnded("rpl_3", FinishReason.ERROR), on.AudioReady("rpl_3"))
    assert d.hear(on.PlayoutFinished("rpl_3", 800, SORRY)) == [
        do.CommitTurn("trn_1", "rpl_3", "what time is it", SORRY, 800, FinishReason.ERROR, is_scripted=True)
    ]


def test_an_answer_that_never_comes_is_apologised_for_too() -> None:
    d = Dialogue(apology=SORRY)
    d.ask()
    assert d.wait(20.0)[-2:] == APOLOGY


@pytest.mark.parametrize("stage", list(Stage)[1:])
def test_an_apology_that_fails_is_the_end_of_it(stage: Stage) -> None:
    d = Dialogue(apology=SORRY)
    d.ask()
    d.hear(failed(Stage.LLM))
    assert d.hear(failed(stage, "rpl_3"))[-1] == do.CommitTurn(
        "trn_1", "rpl_3", "what time is it", "", 0, FinishReason.ERROR, is_scripted=True
    )
    assert d.state is State.LISTENING


def test_without_a_voice_nobody_apologises() -> None:
    d = Dialogue(apology=SORRY)
    d.ask()
    assert d.hear(failed(Stage.TTS))[-1] == do.CommitTurn(
        "trn_1", "rpl_2", "what time is it", "", 0, FinishReason.ERROR
    )


def test_an_answer_that_fails_while_it_is_heard_needs_no_apology() -> None:
    d = Dialogue(apology=SORRY)
    d.be_told()
    assert not [action for action in d.hear(failed(Stage.LLM)) if isinstance(action, do.RequestReply)]


def test_words_in_an_apology_join_the_question_that_is_still_open() -> None:
    d = Dialogue(apology=SORRY)
    d.ask()
    d.hear(failed(Stage.LLM))
    assert d.hear(on.TextTyped("in Rome"))[-2] == do.RequestReply("trn_1", "rpl_4", "what time is it in Rome")


def test_a_new_persona_may_open_with_a_line() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.PersonaChanged("Good day.")) == [
        *INTERRUPTED,
        do.AdoptPersona(),
        do.RequestReply("trn_3", "rpl_4", "", script="Good day."),
        do.AnnounceReplyStarted("trn_3", "rpl_4"),
    ]
    d.hear(on.ReplyDelta("rpl_4", "Good day."), on.ReplyTextEnded("rpl_4", FinishReason.STOP), on.AudioReady("rpl_4"))
    assert d.hear(on.PlayoutFinished("rpl_4", 400, "Good day.")) == [
        do.CommitTurn("trn_3", "rpl_4", "", "Good day.", 400, FinishReason.STOP, is_scripted=True)
    ]


def test_who_speaks_before_the_line_has_the_word() -> None:
    d = Dialogue()
    d.hear(on.PersonaChanged("Good day."))
    assert d.hear(on.SpeechStarted("utt_1"))[0] == do.CancelReply("rpl_2")
    assert d.hear(on.FinalHeard("utt_1", "hello"))[1] == do.RequestReply("trn_1", "rpl_3", "hello")


@pytest.mark.parametrize(("replies", "line"), [(False, "Good day."), (True, " ")])
def test_nothing_is_opened_where_nobody_answers_or_with_a_blank(replies: bool, line: str) -> None:
    assert Dialogue(replies=replies).hear(on.PersonaChanged(line)) == [do.AdoptPersona()]

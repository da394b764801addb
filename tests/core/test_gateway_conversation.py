"""Conversation: dialogues in which people take turns. Every step is held against the laws as well."""

from typing import Any

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.events import ConversationEvent, FinishReason, SegmentHeard, Stage
from gateway.core.params import ConversationParams
from gateway.core.transitions import State
from tests.support.dialogue import INTERRUPTED, Dialogue, committed, failed

pytestmark = pytest.mark.core


# -- a plain turn ----------------------------------------------------------------------------------------------------


def test_a_question_is_shown_answered_spoken_heard_and_kept() -> None:
    d = Dialogue()
    assert d.hear(on.SpeechStarted("utt_1")) == [do.AnnounceSpeechStarted("trn_1", "utt_1")]
    assert d.hear(on.PartialHeard("utt_1", "what time", "what", "en")) == [
        do.AnnouncePartial("trn_1", "utt_1", "what time", "what", "en")
    ]
    assert d.hear(on.EndpointReached("utt_1")) == []
    segments = (SegmentHeard(0.0, 1.2, "what time is it"),)
    assert d.hear(on.FinalHeard("utt_1", " what time is it ", "en", segments)) == [
        do.AnnounceFinal("trn_1", "utt_1", "what time is it", "en", segments),
        do.RequestReply("trn_1", "rpl_2", "what time is it"),
        do.AnnounceReplyStarted("trn_1", "rpl_2"),
    ]
    assert d.hear(on.ReplyDelta("rpl_2", "It is noon.")) == [
        do.SpeakText("rpl_2", "It is noon."),
        do.AnnounceToken("trn_1", "rpl_2", "It is noon."),
    ]
    assert d.hear(on.AudioReady("rpl_2")) == []
    assert d.hear(on.ReplyTextEnded("rpl_2", FinishReason.LENGTH)) == [do.FinishSpeech("rpl_2")]
    assert d.hear(on.PlayoutMarked("rpl_2", 500, "It is")) == []
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [
        committed("It is noon.", 900, FinishReason.LENGTH)
    ]
    assert d.passed == [
        State.USER_SPEAKING, State.AWAITING_FINAL, State.PREPARING, State.SPEAKING, State.LISTENING
    ]  # fmt: skip
    assert d.conversation.deadline() is None


def test_an_answer_without_audio_is_over_when_it_was_shown() -> None:
    d = Dialogue()
    d.ask()
    d.hear(on.ReplyDelta("rpl_2", "Noon."), on.ReplyTextEnded("rpl_2", FinishReason.STOP))
    assert d.hear(on.PlayoutFinished("rpl_2", 0, "Noon.")) == [committed("Noon.", 0, FinishReason.STOP)]


def test_two_turns_have_two_names() -> None:
    d = Dialogue()
    d.be_told()
    d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.ask("thanks", "utt_2")[1] == do.RequestReply("trn_3", "rpl_4", "thanks")


def test_an_utterance_without_words_is_no_question() -> None:
    d = Dialogue()
    assert d.ask("。") == [do.AnnounceFinal("trn_1", "utt_1", "。", "", ())]
    assert d.state is State.LISTENING


def test_speech_again_before_the_answer_joins_the_question() -> None:
    d = Dialogue()
    d.ask("what time is it")
    assert d.hear(on.SpeechStarted("utt_2")) == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 0, ""),
        do.AnnounceSpeechStarted("trn_1", "utt_2"),
    ]
    d.hear(on.EndpointReached("utt_2"))
    assert d.hear(on.FinalHeard("utt_2", "in Rome"))[1:] == [
        do.RequestReply("trn_1", "rpl_3", "what time is it in Rome"),
        do.AnnounceReplyStarted("trn_1", "rpl_3"),
    ]


def test_a_noise_before_the_answer_costs_only_time() -> None:
    d = Dialogue()
    d.ask()
    assert d.ask("", "utt_2") == [
        do.AnnounceFinal("trn_1", "utt_2", "", "", ()),
        do.RequestReply("trn_1", "rpl_3", "what time is it"),
        do.AnnounceReplyStarted("trn_1", "rpl_3"),
    ]


# -- prepared at a pause ----------------------------------------------------------------------------------------------


def test_a_held_reply_is_released_the_moment_the_final_agrees() -> None:
    d = Dialogue()
    assert d.pause() == [do.RequestReply("trn_1", "rpl_2", "what time is it", is_held=True)]
    assert d.hear(on.ReplyDelta("rpl_2", "It is noon.")) == [do.SpeakText("rpl_2", "It is noon.")]
    assert d.hear(on.ReplyTextEnded("rpl_2", FinishReason.STOP)) == [do.FinishSpeech("rpl_2")]
    assert d.hear(on.AudioReady("rpl_2")) == []
    assert not d.conversation.accepts("rpl_2")
    assert d.hear(on.EndpointReached("utt_1"), on.FinalHeard("utt_1", "what time is it")) == [
        do.AnnounceFinal("trn_1", "utt_1", "what time is it", "", ()),
        do.AnnounceReplyStarted("trn_1", "rpl_2"),
        do.ReleaseReply("rpl_2"),
        do.AnnounceToken("trn_1", "rpl_2", "It is noon."),
    ]
    assert d.state is State.SPEAKING
    assert d.conversation.accepts("rpl_2")


def test_a_held_reply_that_has_said_nothing_yet_is_released_and_awaited() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.FinalHeard("utt_1", "what time is it"))[1:] == [
        do.AnnounceReplyStarted("trn_1", "rpl_2"),
        do.ReleaseReply("rpl_2"),
    ]
    assert d.state is State.PREPARING


def test_a_final_that_differs_by_punctuation_and_case_releases_too() -> None:
    d = Dialogue()
    d.pause("what time is it")
    assert do.ReleaseReply("rpl_2") in d.hear(on.FinalHeard("utt_1", "What time is it?"))


def test_a_final_that_differs_by_words_asks_anew() -> None:
    d = Dialogue()
    d.pause("what time")
    assert d.hear(on.FinalHeard("utt_1", "what a time"))[1:] == [
        do.CancelReply("rpl_2"),
        do.RequestReply("trn_1", "rpl_3", "what a time"),
        do.AnnounceReplyStarted("trn_1", "rpl_3"),
    ]


def test_speech_that_goes_on_withdraws_the_held_reply_and_nobody_is_told() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.SpeechResumed("utt_1")) == [do.CancelReply("rpl_2")]
    assert d.hear(on.CandidateHeard("utt_1", "what time is it in Rome")) == [
        do.RequestReply("trn_1", "rpl_3", "what time is it in Rome", is_held=True)
    ]


def test_a_second_candidate_replaces_the_first_only_when_it_says_something_else() -> None:
    d = Dialogue()
    d.pause("what time")
    assert d.hear(on.CandidateHeard("utt_1", "What time?")) == []
    assert d.hear(on.CandidateHeard("utt_1", "what time is it")) == [
        do.CancelReply("rpl_2"),
        do.RequestReply("trn_1", "rpl_3", "what time is it", is_held=True),
    ]


def test_a_turn_has_so_many_tries_and_then_waits_for_its_final() -> None:
    d = Dialogue(speculations_per_turn=2)
    d.pause("one")
    d.hear(on.SpeechResumed("utt_1"), on.CandidateHeard("utt_1", "one two"))
    assert d.hear(on.CandidateHeard("utt_1", "one two three")) == [do.CancelReply("rpl_3")]
    assert d.hear(on.FinalHeard("utt_1", "one two three"))[1] == do.RequestReply("trn_1", "rpl_4", "one two three")
    d.hear(on.CancelAsked(), on.SpeechStarted("utt_2"))
    assert d.hear(on.CandidateHeard("utt_2", "four")) == [do.RequestReply("trn_5", "rpl_6", "four", is_held=True)]


@pytest.mark.parametrize("params", [{"speculates": False}, {"replies": False}, {"speculations_per_turn": 0}])
def test_nothing_is_prepared_where_nobody_wants_it(params: dict[str, int]) -> None:
    assert Dialogue(**params).pause() == []


def test_a_pause_without_words_prepares_nothing() -> None:
    assert Dialogue().pause(" … ") == []


def test_a_held_reply_whose_text_came_back_empty_is_dropped_in_silence() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.ReplyTextEnded("rpl_2", FinishReason.STOP)) == [do.CancelReply("rpl_2")]
    assert d.state is State.USER_SPEAKING


def test_a_held_reply_that_failed_is_asked_for_again_at_the_final() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(failed(Stage.LLM)) == [do.CancelReply("rpl_2")]
    assert d.hear(on.FinalHeard("utt_1", "what time is it"))[1] == do.RequestReply("trn_1", "rpl_3", "what time is it")


def test_nobody_hears_a_held_reply() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == []
    assert d.state is State.USER_SPEAKING


# -- finals that come late or twice -----------------------------------------------------------------------------------


def test_a_final_that_comes_twice_counts_once() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [do.CountStale("FinalHeard")]
    assert d.state is State.PREPARING


def test_a_final_that_never_comes_is_replaced_by_the_last_partial_and_then_is_too_late() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"), on.PartialHeard("utt_1", "what time"), on.EndpointReached("utt_1"))
    assert d.wait(3.0) == [
        do.AnnounceFinal("trn_1", "utt_1", "what time", "", ()),
        do.RequestReply("trn_1", "rpl_2", "what time"),
        do.AnnounceReplyStarted("trn_1", "rpl_2"),
    ]
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [do.CountStale("FinalHeard")]


def test_the_final_of_an_earlier_utterance_joins_what_is_being_said() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"), on.EndpointReached("utt_1"))
    d.hear(on.SpeechStarted("utt_2"), on.CandidateHeard("utt_2", "in Rome"))
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [
        do.CancelReply("rpl_2"),
        do.AnnounceFinal("trn_1", "utt_1", "what time is it", "", ()),
    ]
    assert d.hear(on.FinalHeard("utt_2", "in Rome"))[1] == do.RequestReply("trn_1", "rpl_3", "what time is it in Rome")


def test_words_that_come_late_are_added_to_a_question_whose_answer_is_not_heard_yet() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"), on.EndpointReached("utt_1"))
    d.ask("in Rome", "utt_2")
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 0, ""),
        do.AnnounceFinal("trn_1", "utt_1", "what time is it", "", ()),
        do.RequestReply("trn_1", "rpl_3", "in Rome what time is it"),
        do.AnnounceReplyStarted("trn_1", "rpl_3"),
    ]


def test_words_that_come_when_nobody_speaks_are_answered() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    d.hear(on.EndpointReached("utt_2"), on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.state is State.LISTENING
    assert d.hear(on.FinalHeard("utt_2", "thanks")) == [
        do.AnnounceFinal("trn_3", "utt_2", "thanks", "", ()),
        do.RequestReply("trn_3", "rpl_4", "thanks"),
        do.AnnounceReplyStarted("trn_3", "rpl_4"),
    ]


def test_a_late_final_without_words_is_nothing() -> None:
    d = Dialogue()
    assert d.hear(on.FinalHeard("utt_1", "…")) == []
    assert d.state is State.LISTENING


def test_what_comes_of_another_utterance_is_counted_and_dropped() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.PartialHeard("utt_9", "no")) == [do.CountStale("PartialHeard")]
    assert d.hear(on.CandidateHeard("utt_9", "no")) == [do.CountStale("CandidateHeard")]
    assert d.hear(on.SpeechResumed("utt_9")) == [do.CountStale("SpeechResumed")]
    assert d.hear(on.EndpointReached("utt_9")) == [do.CountStale("EndpointReached")]
    assert d.state is State.USER_SPEAKING


def test_an_utterance_begins_once() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.SpeechStarted("utt_1")) == [do.CountStale("SpeechStarted")]
    d.hear(on.FinalHeard("utt_1", "what time is it"))
    assert d.hear(on.SpeechStarted("utt_1")) == [do.CountStale("SpeechStarted")]
    assert d.state is State.PREPARING


# -- typed ------------------------------------------------------------------------------------------------------------


def test_a_typed_line_is_a_turn() -> None:
    assert Dialogue().hear(on.TextTyped("what time is it\n")) == [
        do.RequestReply("trn_1", "rpl_2", "what time is it"),
        do.AnnounceReplyStarted("trn_1", "rpl_2"),
    ]


def test_a_typed_sign_is_a_question_and_a_typed_blank_is_none() -> None:
    d = Dialogue()
    assert d.hear(on.TextTyped(" ")) == []
    assert d.hear(on.TextTyped("?"))[0] == do.RequestReply("trn_2", "rpl_3", "?")


def test_a_second_line_before_the_answer_is_heard_joins_the_first() -> None:
    d = Dialogue()
    d.hear(on.TextTyped("what time is it"))
    assert d.hear(on.TextTyped("in Rome"))[2] == do.RequestReply("trn_1", "rpl_3", "what time is it in Rome")


def test_a_line_typed_while_speaking_is_answered_with_the_speech() -> None:
    d = Dialogue()
    d.pause("what time is it")
    assert d.hear(on.TextTyped("in Rome")) == [do.CancelReply("rpl_2")]
    assert d.hear(on.FinalHeard("utt_1", "quickly"))[1] == do.RequestReply("trn_1", "rpl_3", "in Rome quickly")


def test_a_line_typed_over_the_answer_stops_it() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.TextTyped("in Rome")) == [
        *INTERRUPTED,
        do.RequestReply("trn_3", "rpl_4", "in Rome"),
        do.AnnounceReplyStarted("trn_3", "rpl_4"),
    ]


def test_a_line_typed_in_an_overlap_waits_for_what_is_being_said() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.TextTyped("and in Rome")) == [*INTERRUPTED, do.AnnounceSpeechStarted("trn_3", "utt_2")]
    assert d.hear(on.FinalHeard("utt_2", "please"))[1] == do.RequestReply("trn_3", "rpl_4", "and in Rome please")


# -- without answers --------------------------------------------------------------------------------------------------


def test_transcription_keeps_what_was_understood_and_answers_nothing() -> None:
    d = Dialogue(replies=False)
    assert d.ask() == [
        do.AnnounceFinal("trn_1", "utt_1", "what time is it", "", ()),
        do.CommitTurn("trn_1", None, "what time is it", "", 0, FinishReason.STOP),
    ]
    assert d.state is State.LISTENING


def test_a_session_that_turns_to_transcription_drops_what_was_prepared() -> None:
    d = Dialogue()
    d.pause()
    d.conversation.params = ConversationParams(replies=False)
    assert d.hear(on.FinalHeard("utt_1", "what time is it"))[1:] == [
        do.CancelReply("rpl_2"),
        do.CommitTurn("trn_1", None, "what time is it", "", 0, FinishReason.STOP),
    ]


# -- the client leaves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reached", [Dialogue.be_told, Dialogue.be_told_and_interrupt])
def test_leaving_during_an_answer_keeps_what_was_heard(reached: Any) -> None:
    d = Dialogue()
    reached(d)
    assert d.hear(on.Disconnected()) == INTERRUPTED
    assert d.state is State.CLOSED


def test_leaving_before_the_answer_is_heard_keeps_the_question() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(on.Disconnected())[-1] == committed("", 0, FinishReason.INTERRUPTED)


@pytest.mark.parametrize("last", [on.CandidateHeard("utt_1", "what time is it"), on.EndpointReached("utt_1")])
def test_leaving_while_speaking_drops_what_was_prepared(last: ConversationEvent) -> None:
    d = Dialogue()
    d.pause()
    d.hear(last)
    assert d.hear(on.Disconnected()) == [do.CancelReply("rpl_2")]
    assert d.state is State.CLOSED


def test_leaving_when_nobody_speaks_ends_all() -> None:
    d = Dialogue()
    assert d.hear(on.Disconnected()) == []
    assert d.hear(on.TextTyped("hello"), on.Tick()) == []
    assert d.conversation.deadline() is None

"""Conversation: dialogues in which an answer is stopped, or fails. Every step is held against the laws as well."""

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.events import FinishReason, Stage
from gateway.core.transitions import State
from tests.support.dialogue import ASR_ERROR, ASR_FAILED, INTERRUPTED, Dialogue, committed, failed

pytestmark = pytest.mark.core


# -- barge-in ---------------------------------------------------------------------------------------------------------


def test_a_word_over_the_answer_stops_it_and_is_shown() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.PartialHeard("utt_2", "wait")) == [
        *INTERRUPTED,
        do.AnnounceSpeechStarted("trn_3", "utt_2"),
        do.AnnouncePartial("trn_3", "utt_2", "wait", "", ""),
    ]
    assert d.state is State.USER_SPEAKING
    assert not d.conversation.accepts("rpl_2")


def test_a_short_remark_over_the_answer_stops_it_and_is_prepared_for() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.CandidateHeard("utt_2", "and in Rome")) == [
        *INTERRUPTED,
        do.AnnounceSpeechStarted("trn_3", "utt_2"),
        do.RequestReply("trn_3", "rpl_4", "and in Rome", is_held=True),
    ]


def test_speech_that_lasts_stops_the_answer_without_a_word() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.wait(0.1) == []
    assert d.wait(0.1) == [*INTERRUPTED, do.AnnounceSpeechStarted("trn_3", "utt_2")]


def test_too_few_words_are_remembered_until_the_speech_has_lasted() -> None:
    d = Dialogue(barge_in_words=2)
    d.be_told_and_interrupt()
    assert d.hear(on.PartialHeard("utt_2", "wait")) == []
    d.wait(0.2)
    assert d.state is State.USER_SPEAKING
    d.wait(40.0)
    assert d.wait(3.0)[0] == do.AnnounceFinal("trn_3", "utt_2", "wait", "", ())


def test_what_comes_of_an_interrupted_answer_is_counted_and_dropped() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    d.wait(0.2)
    assert d.hear(on.ReplyDelta("rpl_2", " More.")) == [do.CountStale("ReplyDelta")]
    assert d.hear(on.AudioReady("rpl_2")) == [do.CountStale("AudioReady")]
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [do.CountStale("PlayoutFinished")]


def test_a_noise_over_the_answer_leaves_it_alone() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.EndpointReached("utt_2")) == []
    assert d.state is State.SPEAKING
    assert d.hear(on.FinalHeard("utt_2", "")) == []
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [committed("It is noon.", 900, FinishReason.STOP)]


def test_a_noise_whose_final_needs_no_endpoint_leaves_the_answer_alone() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.FinalHeard("utt_2", "")) == []
    assert d.state is State.SPEAKING


def test_an_overlap_whose_final_brings_words_is_a_barge_in_after_all() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    d.hear(on.EndpointReached("utt_2"))
    assert d.hear(on.FinalHeard("utt_2", "stop please")) == [
        *INTERRUPTED,
        do.AnnounceFinal("trn_3", "utt_2", "stop please", "", ()),
        do.RequestReply("trn_3", "rpl_4", "stop please"),
        do.AnnounceReplyStarted("trn_3", "rpl_4"),
    ]


def test_words_of_an_earlier_overlap_stop_the_answer_while_the_person_goes_on() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    d.hear(on.EndpointReached("utt_2"), on.SpeechStarted("utt_3"))
    assert d.hear(on.FinalHeard("utt_2", "stop")) == [
        *INTERRUPTED,
        do.AnnounceSpeechStarted("trn_3", "utt_3"),
        do.AnnounceFinal("trn_3", "utt_2", "stop", "", ()),
    ]
    assert d.state is State.USER_SPEAKING
    d.hear(on.EndpointReached("utt_3"))
    assert d.hear(on.FinalHeard("utt_3", "please"))[1] == do.RequestReply("trn_3", "rpl_4", "stop please")


def test_the_noise_of_an_earlier_overlap_does_not_end_the_next_one() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    d.hear(on.EndpointReached("utt_2"), on.SpeechStarted("utt_3"))
    assert d.hear(on.FinalHeard("utt_2", "")) == []
    assert d.state is State.OVERLAP


def test_a_new_sound_in_an_overlap_is_the_one_that_is_weighed() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.SpeechStarted("utt_3"), on.PartialHeard("utt_2", "wait")) == [do.CountStale("PartialHeard")]
    assert d.hear(on.PartialHeard("utt_3", "wait"))[:3] == INTERRUPTED


def test_an_answer_heard_to_its_end_in_an_overlap_gives_the_person_the_word() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [
        committed("It is noon.", 900, FinishReason.STOP),
        do.AnnounceSpeechStarted("trn_3", "utt_2"),
    ]
    assert d.hear(on.EndpointReached("utt_2"), on.FinalHeard("utt_2", "thanks"))[1] == do.RequestReply(
        "trn_3", "rpl_4", "thanks"
    )


def test_what_is_heard_and_said_in_an_overlap_does_not_make_it_longer() -> None:
    d = Dialogue()
    d.ask()
    d.hear(on.ReplyDelta("rpl_2", "It is"), on.AudioReady("rpl_2"), on.SpeechStarted("utt_2"))
    deadline = d.conversation.deadline()
    d.now += 0.1
    d.hear(on.ReplyDelta("rpl_2", " noon."), on.PlayoutMarked("rpl_2", 100, "It"), on.AudioReady("rpl_2"))
    assert d.conversation.deadline() == deadline


def test_a_failure_to_listen_in_an_overlap_leaves_the_answer_alone() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(ASR_FAILED) == [ASR_ERROR]
    assert d.state is State.SPEAKING


def test_an_answer_that_fails_in_an_overlap_gives_the_person_the_word() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(failed(Stage.TTS)) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("engine_failed", "tts", "No.", False),
        committed("It is", 500, FinishReason.ERROR),
        do.AnnounceSpeechStarted("trn_3", "utt_2"),
    ]


# -- asked to stop, to forget, to be somebody else ---------------------------------------------------------------------


def test_cancel_stops_an_answer_that_is_heard() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.CancelAsked()) == INTERRUPTED
    assert d.state is State.LISTENING


def test_cancel_stops_an_answer_on_its_way() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(on.CancelAsked()) == [
        do.CancelReply("rpl_2"),
        do.AnnounceInterrupted("trn_1", "rpl_2", 0, ""),
        committed("", 0, FinishReason.INTERRUPTED),
    ]


def test_cancel_in_an_overlap_gives_the_person_the_word() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.CancelAsked()) == [*INTERRUPTED, do.AnnounceSpeechStarted("trn_3", "utt_2")]


def test_cancel_without_an_answer_is_nothing() -> None:
    assert Dialogue().hear(on.CancelAsked()) == []


def test_what_is_being_said_can_be_taken_back() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.UtteranceCleared()) == [do.CancelReply("rpl_2")]
    assert d.state is State.LISTENING
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [do.CountStale("FinalHeard")]


def test_what_was_said_before_is_answered_when_the_rest_is_taken_back() -> None:
    d = Dialogue()
    d.ask()
    d.hear(on.SpeechStarted("utt_2"), on.CandidateHeard("utt_2", "in Rome"), on.EndpointReached("utt_2"))
    assert d.hear(on.UtteranceCleared()) == [
        do.CancelReply("rpl_3"),
        do.RequestReply("trn_1", "rpl_4", "what time is it"),
        do.AnnounceReplyStarted("trn_1", "rpl_4"),
    ]


def test_an_overlap_that_is_taken_back_leaves_the_answer_alone() -> None:
    d = Dialogue()
    d.be_told_and_interrupt()
    assert d.hear(on.UtteranceCleared()) == []
    assert d.state is State.SPEAKING
    assert d.hear(on.FinalHeard("utt_2", "stop")) == [do.CountStale("FinalHeard")]


def test_a_new_persona_starts_with_nothing_under_way() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.PersonaChanged()) == [*INTERRUPTED, do.AdoptPersona()]
    assert d.state is State.LISTENING
    assert d.ask("who are you", "utt_2")[1] == do.RequestReply("trn_3", "rpl_4", "who are you")


def test_a_new_persona_hears_nothing_of_what_was_being_said() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(on.PersonaChanged()) == [do.CancelReply("rpl_2"), do.AdoptPersona()]
    assert d.hear(on.FinalHeard("utt_1", "what time is it")) == [do.CountStale("FinalHeard")]


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_failure_to_listen_in_the_middle_of_speech_ends_the_utterance() -> None:
    d = Dialogue()
    d.pause()
    assert d.hear(ASR_FAILED) == [ASR_ERROR, do.CancelReply("rpl_2")]
    assert d.state is State.LISTENING


def test_a_failure_to_listen_in_the_middle_of_speech_answers_what_was_understood_before() -> None:
    d = Dialogue()
    d.ask()
    d.hear(on.SpeechStarted("utt_2"))
    assert d.hear(ASR_FAILED)[1] == do.RequestReply("trn_1", "rpl_3", "what time is it")


def test_a_failure_to_listen_before_the_final_takes_the_last_partial() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"), on.PartialHeard("utt_1", "what time"), on.EndpointReached("utt_1"))
    assert d.hear(ASR_FAILED)[:3] == [
        ASR_ERROR,
        do.AnnounceFinal("trn_1", "utt_1", "what time", "", ()),
        do.RequestReply("trn_1", "rpl_2", "what time"),
    ]


def test_a_failure_to_listen_does_not_touch_an_answer() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(ASR_FAILED) == [ASR_ERROR]
    assert d.state is State.SPEAKING


def test_a_failure_when_nobody_speaks_is_told() -> None:
    assert Dialogue().hear(ASR_FAILED) == [ASR_ERROR]


def test_a_failure_of_no_reply_is_told_while_the_person_speaks() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"))
    assert d.hear(failed(Stage.LLM, None)) == [do.AnnounceError("engine_failed", "llm", "No.", False)]
    assert d.state is State.USER_SPEAKING


def test_an_answer_that_failed_is_told_and_the_question_kept() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(failed(Stage.LLM)) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("engine_failed", "llm", "No.", False),
        committed("", 0, FinishReason.ERROR),
    ]
    assert d.state is State.LISTENING


def test_speech_that_failed_keeps_what_was_heard_of_it() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(failed(Stage.TTS, None)) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("engine_failed", "tts", "No.", False),
        committed("It is", 500, FinishReason.ERROR),
    ]


def test_an_empty_answer_is_a_failure() -> None:
    d = Dialogue()
    d.ask()
    assert d.hear(on.ReplyDelta("rpl_2", " \n"), on.ReplyTextEnded("rpl_2", FinishReason.STOP)) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("engine_failed", "llm", "The answer came back empty.", True),
        committed("", 0, FinishReason.ERROR),
    ]


def test_text_after_the_end_of_the_text_is_dropped() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.ReplyDelta("rpl_2", " Really.")) == [do.CountStale("ReplyDelta")]
    assert d.hear(on.ReplyTextEnded("rpl_2", FinishReason.STOP)) == [do.CountStale("ReplyTextEnded")]


def test_a_mark_that_goes_back_takes_nothing_back() -> None:
    d = Dialogue()
    d.be_told()
    d.hear(on.PlayoutMarked("rpl_2", 100, "It"))
    assert d.hear(on.CancelAsked()) == INTERRUPTED


# -- time runs out ----------------------------------------------------------------------------------------------------


def test_speech_without_an_end_is_ended_by_asking_the_recogniser() -> None:
    d = Dialogue()
    d.hear(on.SpeechStarted("utt_1"))
    assert d.wait(39.0) == []
    assert d.wait(1.0) == [do.FlushRecogniser()]
    assert d.state is State.AWAITING_FINAL


def test_an_answer_that_does_not_come_is_given_up() -> None:
    d = Dialogue()
    d.ask()
    assert d.wait(20.0) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("service_timeout", "llm", "No answer came in time.", True),
        committed("", 0, FinishReason.ERROR),
    ]


def test_text_that_comes_is_progress_but_speech_must_come_too() -> None:
    d = Dialogue()
    d.ask()
    d.wait(15.0)
    d.hear(on.ReplyDelta("rpl_2", "It is"))
    assert d.wait(15.0) == []
    assert d.wait(5.0)[1] == do.AnnounceError("service_timeout", "tts", "No answer came in time.", True)


def test_an_answer_that_is_no_longer_heard_is_given_up_with_what_was_heard() -> None:
    d = Dialogue()
    d.be_told()
    d.wait(6.0)
    d.hear(on.PlayoutMarked("rpl_2", 600, "It is"))
    assert d.wait(6.0) == []
    d.hear(on.PlayoutMarked("rpl_2", 600, "It is"))
    assert d.wait(4.0) == [
        do.CancelReply("rpl_2"),
        do.AnnounceError("service_timeout", "tts", "The answer stopped being heard.", True),
        committed("It is", 600, FinishReason.ERROR),
    ]

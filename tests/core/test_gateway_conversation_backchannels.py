"""Conversation: what is said over an answer pauses it; a remark lets it go on, and all else takes the word."""

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.events import FinishReason
from gateway.core.transitions import State
from tests.support.dialogue import ASR_ERROR, ASR_FAILED, INTERRUPTED, Dialogue, committed

pytestmark = pytest.mark.core

PAUSED = [do.PauseReply("rpl_2"), do.AnnouncePaused("trn_1", "rpl_2")]
RESUMED = [do.ResumeReply("rpl_2"), do.AnnounceResumed("trn_1", "rpl_2")]
THE_WORD = do.AnnounceSpeechStarted("trn_3", "utt_2")


def overlapped() -> Dialogue:
    """Somebody makes a sound over the answer, which pauses."""
    d = Dialogue(passes_backchannels=True)
    d.be_told()
    assert d.hear(on.SpeechStarted("utt_2")) == PAUSED
    assert d.state is State.OVERLAP
    return d


def test_a_remark_pauses_the_answer_and_lets_it_go_on_and_is_no_turn() -> None:
    d = overlapped()
    assert d.hear(on.PartialHeard("utt_2", "mhm", "", "en")) == []
    assert d.hear(on.CandidateHeard("utt_2", "Mhm.")) == RESUMED
    assert d.passed[-1] is State.SPEAKING
    assert d.hear(on.EndpointReached("utt_2")) == []
    assert d.hear(on.FinalHeard("utt_2", "Mhm.", "en")) == []
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [committed("It is noon.", 900, FinishReason.STOP)]
    assert d.state is State.LISTENING


@pytest.mark.parametrize(
    "language, text", [("zh", "嗯，对对。"), ("ko", "네네."), ("ja", "はい、はい。"), ("en", "Yeah, right.")]
)
def test_a_remark_of_any_language_passes(language: str, text: str) -> None:
    d = overlapped()
    assert d.hear(on.PartialHeard("utt_2", text, "", language)) == []
    assert d.hear(on.FinalHeard("utt_2", text, language)) == RESUMED


@pytest.mark.parametrize(
    "end", [on.CandidateHeard("utt_2", ""), on.EndpointReached("utt_2"), on.FinalHeard("utt_2", "")]
)
def test_a_noise_pauses_the_answer_and_lets_it_go_on(end: on.ConversationEvent) -> None:
    assert overlapped().hear(end) == RESUMED


def test_a_word_that_is_no_remark_stops_the_answer_at_once() -> None:
    d = overlapped()
    assert d.hear(on.PartialHeard("utt_2", "stop", "", "en")) == [
        *INTERRUPTED,
        THE_WORD,
        do.AnnouncePartial("trn_3", "utt_2", "stop", "", "en"),
    ]


def test_a_remark_that_turns_into_more_stops_the_answer() -> None:
    d = overlapped()
    assert d.hear(on.PartialHeard("utt_2", "yeah")) == []
    assert d.hear(on.PartialHeard("utt_2", "yeah but"))[:4] == [*INTERRUPTED, THE_WORD]


def test_who_goes_on_after_a_remark_pauses_the_answer_again_and_then_stops_it() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", "yeah"))
    assert d.hear(on.SpeechResumed("utt_2")) == PAUSED
    assert d.hear(on.CandidateHeard("utt_2", "yeah but why")) == [
        *INTERRUPTED,
        THE_WORD,
        do.RequestReply("trn_3", "rpl_4", "yeah but why", is_held=True),
    ]


def test_words_that_are_understood_after_the_pause_stop_the_answer_too() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", ""))
    assert d.hear(on.PartialHeard("utt_2", "mhm")) == []
    assert d.hear(on.PartialHeard("utt_2", "mhm stop"))[:4] == [*INTERRUPTED, THE_WORD]
    assert d.state is State.USER_SPEAKING


def test_a_final_that_says_more_stops_the_answer_after_all() -> None:
    d = overlapped()
    d.hear(on.EndpointReached("utt_2"))
    assert d.hear(on.FinalHeard("utt_2", "what", "en")) == [
        *INTERRUPTED,
        do.AnnounceFinal("trn_3", "utt_2", "what", "en", ()),
        do.RequestReply("trn_3", "rpl_4", "what"),
        do.AnnounceReplyStarted("trn_3", "rpl_4"),
    ]


def test_speech_of_which_nothing_is_understood_stops_the_answer_when_it_lasts() -> None:
    d = overlapped()
    assert d.wait(0.7) == []
    assert d.wait(0.1) == [*INTERRUPTED, THE_WORD]


def test_a_remark_that_is_understood_may_last_longer_but_not_without_end() -> None:
    d = overlapped()
    d.wait(0.7)
    d.hear(on.PartialHeard("utt_2", "yeah"))
    assert d.wait(0.7) == []
    d.hear(on.PartialHeard("utt_2", "Yeah!"))
    assert d.wait(0.1) == [*INTERRUPTED, THE_WORD]


def test_another_sound_in_an_overlap_does_not_pause_the_answer_twice() -> None:
    d = overlapped()
    assert d.hear(on.SpeechStarted("utt_3")) == []
    assert d.hear(on.EndpointReached("utt_3")) == RESUMED


@pytest.mark.parametrize("end", [on.UtteranceCleared(), ASR_FAILED])
def test_what_is_taken_back_or_no_longer_heard_lets_the_answer_go_on(end: on.ConversationEvent) -> None:
    assert overlapped().hear(end) == ([ASR_ERROR, *RESUMED] if end is ASR_FAILED else RESUMED)


def test_an_answer_that_is_cancelled_in_its_pause_is_only_interrupted() -> None:
    assert overlapped().hear(on.CancelAsked()) == [*INTERRUPTED, THE_WORD]


def test_an_answer_that_was_heard_to_its_end_in_its_pause_gives_the_person_the_word() -> None:
    d = overlapped()
    assert d.hear(on.PlayoutFinished("rpl_2", 900, "It is noon.")) == [
        committed("It is noon.", 900, FinishReason.STOP),
        THE_WORD,
    ]
    assert d.hear(on.FinalHeard("utt_2", "ok"))[1] == do.RequestReply("trn_3", "rpl_4", "ok")


def test_a_remark_whose_final_comes_after_the_answer_is_no_turn_either() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", "mhm"), on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.hear(on.FinalHeard("utt_2", "mhm")) == []
    assert d.state is State.LISTENING


def test_more_than_a_remark_is_answered_also_when_the_answer_is_over() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", "mhm"), on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.hear(on.FinalHeard("utt_2", "mhm thanks"))[1] == do.RequestReply("trn_3", "rpl_4", "mhm thanks")


@pytest.mark.parametrize("question", ["Shall I go on?", "要我继续吗？ "])
def test_yes_at_the_end_of_a_question_is_an_answer_to_it(question: str) -> None:
    d = Dialogue(passes_backchannels=True)
    d.ask()
    d.hear(on.ReplyDelta("rpl_2", question), on.ReplyTextEnded("rpl_2", FinishReason.STOP), on.AudioReady("rpl_2"))
    d.hear(on.SpeechStarted("utt_2"), on.CandidateHeard("utt_2", "yes"), on.PlayoutFinished("rpl_2", 900, question))
    assert d.hear(on.FinalHeard("utt_2", "yes"))[1] == do.RequestReply("trn_3", "rpl_4", "yes")


def test_who_goes_on_after_the_answer_has_the_word_like_anybody() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", "mhm"), on.PlayoutFinished("rpl_2", 900, "It is noon."))
    assert d.hear(on.SpeechResumed("utt_2")) == [THE_WORD]
    assert d.hear(on.FinalHeard("utt_2", "mhm"))[1] == do.RequestReply("trn_3", "rpl_4", "mhm")


def test_a_remark_is_not_added_to_what_is_said_after_the_answer() -> None:
    d = overlapped()
    d.hear(on.CandidateHeard("utt_2", "mhm"), on.PlayoutFinished("rpl_2", 900, "It is noon."))
    d.hear(on.SpeechStarted("utt_3"))
    assert d.hear(on.FinalHeard("utt_2", "mhm")) == []
    assert d.hear(on.FinalHeard("utt_3", "thanks"))[1] == do.RequestReply("trn_3", "rpl_4", "thanks")


def test_where_remarks_do_not_pass_the_answer_never_pauses_and_every_word_stops_it() -> None:
    d = Dialogue()
    d.be_told()
    assert d.hear(on.SpeechStarted("utt_2")) == []
    assert d.hear(on.PartialHeard("utt_2", "mhm"))[:3] == INTERRUPTED

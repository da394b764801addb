"""The laws of a conversation are worth something: faults planted into it are caught, each by the law that it breaks."""

from collections.abc import Iterator

import pytest

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.conversation import Conversation
from gateway.core.events import ConversationEvent, FinishReason
from gateway.core.floor import Actions
from gateway.core.transitions import TRANSITIONS, State
from gateway.core.turn import Reply
from tests.support import conversation_laws as laws
from tests.support.conversation_sequences import Reached, one

pytestmark = pytest.mark.core

SEED, SEQUENCES = 11, 2_000


class NoStaleGate(Conversation):
    def _is_stale(self, event: ConversationEvent) -> bool:
        return False


class ReplyKeptOnResume(Conversation):
    def _unspeculate(self, event: on.SpeechResumed, now: float) -> Actions:
        return []


class EveryCandidatePrepared(Conversation):
    def _speculate(self, event: on.CandidateHeard, now: float) -> Actions:
        return self._request(event.text, is_held=True)


class MissingDeadline(Conversation):
    def _await_final(self, event: on.EndpointReached, now: float) -> Actions:
        answered = super()._await_final(event, now)
        self._deadline = None
        return answered


class DeadEnd(Conversation):
    def _take_last_partial(self, event: on.Tick | on.StageFailed, now: float) -> Actions:
        return []


class UnheardTextCommitted(Conversation):
    def _close_turn(self, reply: Reply | None, reason: FinishReason) -> Actions:
        if reply is not None:
            reply.heard_text = reply.text
        return super()._close_turn(reply, reason)


class AbsurdOverlap(Conversation):
    def _overlap(self, event: on.SpeechStarted | on.SpeechResumed, now: float) -> Actions:
        answered = super()._overlap(event, now)
        self._deadline = now + 3600.0
        return answered


class HeldReplyAnnounced(Conversation):
    def _request(self, prompt: str, *, is_held: bool, script: str = "") -> Actions:
        requested = super()._request(prompt, is_held=is_held, script=script)
        early = do.AnnounceReplyStarted(self._open.turn_id, self._current.reply_id)
        return [*requested, early] if is_held else requested


class HeldReplyHeard(Conversation):
    def accepts(self, reply_id: str) -> bool:
        return self._reply is not None and self._reply.reply_id == reply_id


class WhateverWasHeldReleased(Conversation):
    def _answer(self, now: float) -> Actions:
        return self._release(self._reply, now) if self._reply and self._open.user_text else super()._answer(now)


class FinalCountedTwice(Conversation):
    def _consume(self, utterance_id: str) -> None:
        pass


class CancelForgotten(Conversation):
    def _withdraw_reply(self) -> Actions:
        return [action for action in super()._withdraw_reply() if not isinstance(action, do.CancelReply)]


class InterruptionForgotten(Conversation):
    def _withdraw_reply(self) -> Actions:
        return [action for action in super()._withdraw_reply() if not isinstance(action, do.AnnounceInterrupted)]


class PausedForGood(Conversation):
    def _resume_reply(self) -> Actions:
        return []


class RemarkTakesTheWord(Conversation):
    def _takes_word(self, text: str) -> bool:
        return bool(text)


class EditAddedToTheQuestion(Conversation):
    def _take_edit(self, event: on.TurnEdited, now: float) -> Actions:
        if self._state is not State.PREPARING:
            return super()._take_edit(event, now)
        return [do.RewindHistory(event.turn_id), *self._take_typed(on.TextTyped(event.text), now)]


class ApologyForAnApology(Conversation):
    def _fail_reply(self, event: on.StageFailed, now: float) -> Actions:
        if self._state is State.PREPARING and event.code != "service_timeout":
            self._current.script = ""
        return super()._fail_reply(event, now)


class TriesUncounted(Conversation):
    def _request(self, prompt: str, *, is_held: bool, script: str = "") -> Actions:
        requested, self._held_count = super()._request(prompt, is_held=is_held, script=script), 0
        return requested


class TranscriptAnswered(Conversation):
    def _take_typed(self, event: on.TextTyped, now: float) -> Actions:
        self._open_turn().add(event.text)
        return [*self._withdraw_reply(), *self._prepare(now)]


class EndOfTextForgotten(Conversation):
    def _finish_text(self, event: on.ReplyTextEnded, now: float) -> Actions:
        self._current.is_text_complete = False
        return super()._finish_text(event, now)


class LateFinalUnknown(Conversation):
    def _take_late_final(self, event: on.FinalHeard, now: float) -> Actions:
        assert event.utterance_id == self._utterance_id
        return super()._take_late_final(event, now)


class DoneAfterItsEnd(Conversation):
    def _close(self, event: on.Disconnected, now: float) -> Actions:
        answered = super()._close(event, now)
        self._listen()
        return answered


def broken_laws(make: type[Conversation] = Conversation) -> Iterator[str]:
    """The law that each of many conversations by chance breaks first; nothing of those that break none."""
    for number in range(SEQUENCES):
        try:
            one(SEED, number, Reached(), make)
        except laws.LawBroken as broken:
            yield broken.law


@pytest.mark.parametrize(
    ("faulty", "law"),
    [
        (NoStaleGate, laws.STALE_IS_DROPPED),
        (ReplyKeptOnResume, laws.RESUMED_WITHDRAWS),
        (EveryCandidatePrepared, laws.ONE_REPLY),
        (MissingDeadline, laws.DEADLINE),
        (DeadEnd, laws.TICKS),
        (UnheardTextCommitted, laws.HEARD_ALONE),
        (AbsurdOverlap, laws.DEADLINE),
        (HeldReplyAnnounced, laws.HELD_IS_SILENT),
        (HeldReplyHeard, laws.ACCEPTS),
        (WhateverWasHeldReleased, laws.FITS_QUESTION),
        (FinalCountedTwice, laws.FINAL_ONCE),
        (CancelForgotten, laws.OVER_IS_SILENT),
        (InterruptionForgotten, laws.ANNOUNCED_ENDS),
        (PausedForGood, laws.PAUSES),
        (ApologyForAnApology, laws.APOLOGISES_ONCE),
        (EditAddedToTheQuestion, laws.EDIT_IS_ANSWERED),
        (RemarkTakesTheWord, laws.REMARK_PASSES),
        (TriesUncounted, laws.TRIES),
        (TranscriptAnswered, laws.TRANSCRIBES),
        (EndOfTextForgotten, laws.SPEECH_ENDS_ONCE),
        (LateFinalUnknown, laws.TOTAL),
        (DoneAfterItsEnd, laws.CLOSED),
    ],
)
def test_a_planted_fault_is_caught_by_its_law(faulty: type[Conversation], law: str) -> None:
    assert law in broken_laws(faulty)


@pytest.mark.parametrize("state", [State.SPEAKING, State.OVERLAP])
def test_an_end_of_playout_that_is_mishandled_is_caught(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS[state], on.PlayoutFinished, "_note_heard")
    assert laws.HEARD_TO_THE_END in broken_laws()


def test_without_a_fault_no_law_is_broken() -> None:
    assert list(broken_laws()) == []

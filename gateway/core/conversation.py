"""Decide who speaks. Sees no audio, sockets or clocks.

`handle` takes what happened and answers what is to be done; transitions.py says which method decides in which state.
Laws (tests/support/conversation_laws.py): at most one reply is in flight; every requested reply ends exactly once,
committed or cancelled; a held reply is announced only after its release, and no turn has more of them than it may;
nothing of a reply that is over is accepted; every state but LISTENING and CLOSED has a deadline, never farther than its
parameter; ticks alone lead every state back to LISTENING; a final counts once; only what was heard is committed; an
answer is paused in an overlap alone, and a remark over it stops nothing and is no turn; any event in any state is
answered with a list.
"""

from collections.abc import Callable

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.backchannels import is_backchannel
from gateway.core.events import ConversationEvent, FinishReason, Stage
from gateway.core.floor import Actions, Floor
from gateway.core.transitions import IGNORED, TRANSITIONS, State
from gateway.core.turn import Reply
from gateway.core.words import count_words, joined, normalised

_QUESTION_MARKS = ("?", "？", "؟")


class Conversation(Floor):
    """The turn machine of one session."""

    def handle(self, event: ConversationEvent, now: float) -> Actions:
        """What is to be done about `event`. Total: any event in any state, late, doubled or stale."""
        if self._state is State.CLOSED:
            return []
        if self._is_stale(event):
            return [do.CountStale(type(event).__name__)]
        decision = TRANSITIONS[self._state][type(event)]
        if decision.startswith(IGNORED):
            return []
        decide: Callable[[ConversationEvent, float], Actions] = getattr(self, decision)
        return decide(event, now)

    def _is_stale(self, event: ConversationEvent) -> bool:
        """Whether it belongs to a reply or an utterance that is over, or begins an utterance that is known."""
        reply_id = getattr(event, "reply_id", None)
        if reply_id is not None:
            return self._reply is None or self._reply.reply_id != reply_id
        utterance_id = getattr(event, "utterance_id", None)
        is_over = utterance_id in self._consumed
        if is_over or utterance_id is None or isinstance(event, on.FinalHeard):
            return is_over
        is_known = utterance_id == self._utterance_id
        return is_known is isinstance(event, on.SpeechStarted)  # a start names a new one, all else the known one

    # -- the person speaks ------------------------------------------------------------------------------------------

    def _hear(self, event: on.SpeechStarted | on.SpeechResumed, now: float) -> Actions:
        """Speech, in a new turn or again in the open one: what was being prepared for that is out of date."""
        dropped = self._withdraw_reply()
        turn = self._open_turn()
        self._utterance_id, self._last_partial = event.utterance_id, ""
        if self._aside_id == event.utterance_id:
            self._aside_id = ""
        self._enter(State.USER_SPEAKING, now, self.params.utterance_timeout_s)
        return [*dropped, do.AnnounceSpeechStarted(turn.turn_id, event.utterance_id)]

    def _show_partial(self, event: on.PartialHeard, now: float) -> Actions:
        self._last_partial = event.text
        return [do.AnnouncePartial(self._open.turn_id, event.utterance_id, event.text, event.committed, event.language)]

    def _speculate(self, event: on.CandidateHeard, now: float) -> Actions:
        """Prepare the answer to what was said so far, and keep it inside; of several in a turn one is of use."""
        self._last_partial = event.text
        prompt = joined(self._open.user_text, event.text)
        is_worth_it = self.params.speculates and self.params.replies and count_words(event.text)
        if not is_worth_it or (self._reply and normalised(self._reply.prompt) == normalised(prompt)):
            return []
        is_allowed = self._held_count < self.params.speculations_per_turn
        return [*self._withdraw_reply(), *(self._request(prompt, is_held=True) if is_allowed else [])]

    def _unspeculate(self, event: on.SpeechResumed, now: float) -> Actions:
        return self._withdraw_reply()

    def _await_final(self, event: on.EndpointReached, now: float) -> Actions:
        self._enter(State.AWAITING_FINAL, now, self.params.final_timeout_s)
        return []

    def _flush(self, event: on.Tick, now: float) -> Actions:
        self._enter(State.AWAITING_FINAL, now, self.params.final_timeout_s)
        return [do.FlushRecogniser()]

    def _take_final(self, event: on.FinalHeard, now: float) -> Actions:
        """The text of the utterance is fixed. One of an earlier utterance adds to the turn, and speech goes on."""
        self._consume(event.utterance_id)
        if self._was_aside(event):
            return []
        announced = self._announce_final(event)
        self._open.add(event.text if count_words(event.text) else "")
        if event.utterance_id != self._utterance_id:
            return [*self._withdraw_reply(), announced]
        return [announced, *self._answer(now)]

    def _take_last_partial(self, event: on.Tick | on.StageFailed, now: float) -> Actions:
        """The final never came: what was shown last stands in for it."""
        return self._take_final(on.FinalHeard(self._utterance_id, self._last_partial), now)

    def _take_late_final(self, event: on.FinalHeard, now: float) -> Actions:
        """Words that arrive while nobody speaks, or while an answer to less is being prepared, are answered too."""
        self._consume(event.utterance_id)
        if not count_words(event.text) or self._was_aside(event):
            return []
        dropped = self._withdraw_reply()
        self._open_turn().add(event.text)
        return [*dropped, self._announce_final(event), *self._answer(now)]

    def _drop_utterance(self, event: on.UtteranceCleared, now: float) -> Actions:
        """What is being said is taken back; what was fixed or typed before it in this turn is answered."""
        self._consume(self._utterance_id)
        return self._answer(now)

    # -- typed ------------------------------------------------------------------------------------------------------

    def _take_typed(self, event: on.TextTyped, now: float) -> Actions:
        """A typed line is a turn of its own, or joins the one whose answer is not heard yet."""
        dropped = self._withdraw_reply()
        self._open_turn().add(event.text)
        return [*dropped, *self._answer(now)]

    def _note_typed(self, event: on.TextTyped, now: float) -> Actions:
        """Typed while speaking: both are one question, answered when the speech ends."""
        self._open.add(event.text)
        return self._withdraw_reply()

    def _take_edit(self, event: on.TurnEdited, now: float) -> Actions:
        """What was understood is put right: the answer is made again from there, and what is under way is void."""
        if not event.text.strip():
            return []
        ended = self._end_unanswered() + self._start_over()
        turn = self._open_turn()
        turn.edits = event.turn_id
        turn.add(event.text)
        told = do.AnnounceEdited(turn.turn_id, event.turn_id, turn.user_text)
        return [*ended, do.RewindHistory(event.turn_id), told, *self._answer(now)]

    def _end_unanswered(self) -> Actions:
        """Keep what was fixed or typed in a turn in which the person still speaks, before that turn is void."""
        is_unanswered = self._state in (State.USER_SPEAKING, State.AWAITING_FINAL) and self._open.user_text
        return [*self._withdraw_reply(), *self._close_turn(None, FinishReason.INTERRUPTED)] if is_unanswered else []

    # -- the answer -------------------------------------------------------------------------------------------------

    def _answer(self, now: float) -> Actions:
        """What was asked is known: release the held answer if it was made for just this, else ask anew."""
        turn = self._open
        if not turn.user_text:
            dropped, self._turn = self._withdraw_reply(), None
            self._listen()
            return dropped
        if not self.params.replies:
            self._listen()
            return [*self._withdraw_reply(), *self._close_turn(None, FinishReason.STOP)]
        if turn.reply and normalised(turn.reply.prompt) == normalised(turn.user_text):
            return self._release(turn.reply, now)
        return [*self._withdraw_reply(), *self._prepare(now)]

    def _prepare(self, now: float, script: str = "") -> Actions:
        """Ask for an answer to what the open turn says, or for somebody to say the script."""
        self._enter(State.PREPARING, now, self.params.reply_timeout_s)
        requested = self._request(self._open.user_text, is_held=False, script=script)
        return [*requested, do.AnnounceReplyStarted(self._open.turn_id, self._current.reply_id)]

    def _release(self, reply: Reply, now: float) -> Actions:
        reply.is_held, turn_id = False, self._open.turn_id
        released: Actions = [do.AnnounceReplyStarted(turn_id, reply.reply_id), do.ReleaseReply(reply.reply_id)]
        if reply.text:
            released.append(do.AnnounceToken(turn_id, reply.reply_id, reply.text))
        if reply.has_audio:
            self._enter(State.SPEAKING, now, self.params.playout_stall_s)
        else:
            self._enter(State.PREPARING, now, self.params.reply_timeout_s)
        return released

    def _say(self, event: on.ReplyDelta, now: float) -> Actions:
        reply = self._current
        if reply.is_text_complete:
            return [do.CountStale("ReplyDelta")]
        reply.said.append(event.text)
        spoken: Actions = [do.SpeakText(reply.reply_id, event.text)]
        if not reply.is_held:
            spoken.append(do.AnnounceToken(self._open.turn_id, reply.reply_id, event.text))
            if self._state is not State.OVERLAP:
                self._postpone(now)
        return spoken

    def _finish_text(self, event: on.ReplyTextEnded, now: float) -> Actions:
        reply = self._current
        if reply.is_text_complete:
            return [do.CountStale("ReplyTextEnded")]
        if not reply.text.strip():
            empty = on.StageFailed(Stage.LLM, "engine_failed", "The answer came back empty.", True, reply.reply_id)
            return self._fail_reply(empty, now)
        reply.is_text_complete, reply.finish = True, event.finish_reason
        return [do.FinishSpeech(reply.reply_id)]

    def _note_audio(self, event: on.AudioReady, now: float) -> Actions:
        self._current.has_audio = True
        return []

    def _speak(self, event: on.AudioReady, now: float) -> Actions:
        self._current.has_audio = True
        self._enter(State.SPEAKING, now, self.params.playout_stall_s)
        return []

    def _note_heard(self, event: on.PlayoutMarked | on.PlayoutFinished, now: float) -> Actions:
        reply = self._current
        if (event.heard_ms, len(event.heard_text)) > (reply.heard_ms, len(reply.heard_text)):
            reply.heard_ms, reply.heard_text = event.heard_ms, event.heard_text
            if self._state is State.SPEAKING:
                self._postpone(now)
        return []

    def _complete(self, event: on.PlayoutFinished, now: float) -> Actions:
        """All of the answer was heard. In an overlap the person keeps the word; a question makes any remark a reply."""
        self._note_heard(event, now)
        if self._current.text.rstrip().endswith(_QUESTION_MARKS):
            self._aside_id = ""
        closed = self._close_turn(self._current, self._current.finish)
        return [*closed, *self._yield_word(now)]

    def _yield_word(self, now: float) -> Actions:
        """The answer is over: to the person if they are speaking over it, else to nobody."""
        if self._state is not State.OVERLAP:
            self._listen()
            return []
        self._aside_id = ""
        self._enter(State.USER_SPEAKING, now, self.params.utterance_timeout_s)
        return [do.AnnounceSpeechStarted(self._open_turn().turn_id, self._utterance_id)]

    # -- both speak -------------------------------------------------------------------------------------------------

    def _overlap(self, event: on.SpeechStarted | on.SpeechResumed, now: float) -> Actions:
        """A sound over the answer, which waits for its words where remarks may pass."""
        self._utterance_id, self._last_partial = event.utterance_id, ""
        params = self.params
        self._enter(State.OVERLAP, now, params.backchannel_s if params.passes_backchannels else params.overlap_s)
        return self._pause_reply() if params.passes_backchannels else []

    def _weigh_words(self, event: on.PartialHeard | on.CandidateHeard, now: float) -> Actions:
        """Words over the answer: more than a remark takes the word, and after a remark (or a noise) it goes on."""
        before, self._last_partial = self._last_partial, event.text
        if isinstance(event, on.PartialHeard):
            self._language = event.language or self._language
        if self._takes_word(event.text):
            self._state = State.OVERLAP  # who speaks, does so over the answer, also when a pause had let it go on
            return self._barge_in_with(event, now)
        if self._state is not State.OVERLAP or not self.params.passes_backchannels:
            return []
        if isinstance(event, on.CandidateHeard):
            return self._end_overlap(event, now)
        if is_backchannel(event.text, self._language) and len(normalised(event.text)) > len(normalised(before)):
            self._postpone(now)
        return []

    def _takes_word(self, text: str) -> bool:
        """Whether somebody who says this over the answer wants to be heard."""
        is_remark = self.params.passes_backchannels and is_backchannel(text, self._language)
        return not is_remark and count_words(text) >= self.params.barge_in_words

    def _was_aside(self, event: on.FinalHeard) -> bool:
        """Whether this is a remark for which the answer went on: it is no turn, also when the answer is over by now."""
        return event.utterance_id == self._aside_id and is_backchannel(event.text, event.language)

    def _barge_in(self, event: ConversationEvent, now: float) -> Actions:
        """The answer stops. The person has the word if they are speaking."""
        return [*self._interrupt(), *self._yield_word(now)]

    def _barge_in_with(self, event: ConversationEvent, now: float) -> Actions:
        """The answer stops, and what stopped it counts as it does in the state that follows."""
        return [*self._barge_in(event, now), *self.handle(event, now)]

    def _end_overlap(self, event: ConversationEvent, now: float) -> Actions:
        """The overlap ended before it became a barge-in: the answer goes on, unless its final brings words."""
        self._enter(State.SPEAKING, now, self.params.playout_stall_s)
        return self._resume_reply()

    def _clear_overlap(self, event: on.UtteranceCleared, now: float) -> Actions:
        self._consume(self._utterance_id)
        return self._end_overlap(event, now)

    def _weigh_final(self, event: on.FinalHeard, now: float) -> Actions:
        """The final of what was said over the answer: words take the word, no words or a remark leave it."""
        self._language = event.language or self._language
        if self._takes_word(event.text):
            return self._barge_in_with(event, now)
        self._consume(event.utterance_id)
        if self._state is State.OVERLAP and event.utterance_id == self._utterance_id:
            return self._end_overlap(event, now)
        return []

    # -- ends -------------------------------------------------------------------------------------------------------

    def _fail_reply(self, event: on.StageFailed, now: float) -> Actions:
        """The answer failed: say so, keep what was heard, listen. A failure of listening alone leaves the answer be.

        Who was waiting for its first word hears an apology instead.
        """
        if event.reply_id is None and event.stage is Stage.ASR:
            resumed = self._end_overlap(event, now) if self._state is State.OVERLAP else []
            return [*self._tell(event, now), *resumed]
        reply = self._current
        if reply.is_held:
            return self._withdraw_reply()
        is_silent = self._state is State.PREPARING and event.stage is Stage.LLM and not reply.is_scripted
        if is_silent and self.params.apology and self.params.replies:
            return [*self._withdraw_reply(), *self._tell(event, now), *self._prepare(now, self.params.apology)]
        closed: Actions = [do.CancelReply(reply.reply_id), *self._tell(event, now)]
        return [*closed, *self._close_turn(reply, FinishReason.ERROR), *self._yield_word(now)]

    def _fail_listening(self, event: on.StageFailed, now: float) -> Actions:
        """Before the answer: a held one that failed is asked for again; without ears the turn ends with what it has."""
        if event.reply_id is not None:
            return self._withdraw_reply()  # nobody knew of it, so nobody is told
        if event.stage is not Stage.ASR:
            return self._tell(event, now)
        if self._state is State.AWAITING_FINAL:
            return [*self._tell(event, now), *self._take_last_partial(event, now)]
        self._consume(self._utterance_id)
        return [*self._tell(event, now), *self._answer(now)]

    def _tell(self, event: on.StageFailed, now: float) -> Actions:
        return [do.AnnounceError(event.code, event.stage.value, event.message, event.is_retryable)]

    def _give_up(self, event: on.Tick, now: float) -> Actions:
        text = "No answer came in time." if self._state is State.PREPARING else "The answer stopped being heard."
        stage = Stage.TTS if self._current.said else Stage.LLM
        return self._fail_reply(on.StageFailed(stage, "service_timeout", text, True, self._current.reply_id), now)

    def _change_persona(self, event: on.PersonaChanged, now: float) -> Actions:
        """Somebody else begins: what is under way is still of the one before, the opening line is not."""
        ended: Actions = [*self._start_over(), do.AdoptPersona()]
        if not event.opening_line.strip() or not self.params.replies:
            return ended
        self._open_turn()
        return [*ended, *self._prepare(now, event.opening_line)]

    def _start_over(self) -> Actions:
        """Whatever was under way is void; a turn whose answer was begun is kept with what was heard of it."""
        is_answering = self._state in (State.PREPARING, State.SPEAKING, State.OVERLAP)
        ended = self._interrupt() if is_answering else self._withdraw_reply()
        self._consume(self._utterance_id)
        self._turn = None
        self._listen()
        return ended

    def _close(self, event: on.Disconnected, now: float) -> Actions:
        ended = self._start_over()
        self._state = State.CLOSED
        return ended

    def _announce_final(self, event: on.FinalHeard) -> ConversationAction:
        text = event.text.strip()
        return do.AnnounceFinal(self._open.turn_id, event.utterance_id, text, event.language, event.segments)

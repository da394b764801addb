"""Decide who speaks. Sees no audio, sockets or clocks.

`handle` takes what happened and answers what is to be done; transitions.py says which method decides in which state.
Laws (tests/support/conversation_laws.py): at most one reply is in flight; every requested reply ends exactly once,
committed or cancelled; a held reply is announced only after its release; nothing of a reply that is over is accepted;
every state but LISTENING and CLOSED has a deadline, never farther than its parameter; ticks alone lead every state back
to LISTENING; a final counts once; only what was heard is committed; any event in any state is answered with a list.
"""

from collections import deque
from collections.abc import Callable

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.events import ConversationEvent, FinishReason, Stage
from gateway.core.params import ConversationParams
from gateway.core.transitions import IGNORED, TRANSITIONS, State
from gateway.core.turn import Reply, Turn
from gateway.core.words import count_words, joined, normalised

Actions = list[ConversationAction]

_CONSUMED_KEPT = 64  # utterances remembered so that what comes late or doubled is known; a bound, far above any delay


class Conversation:
    """The turn machine of one session."""

    def __init__(self, params: ConversationParams, new_id: Callable[[str], str]) -> None:
        self.params = params
        self._new_id = new_id
        self._state = State.LISTENING
        self._deadline: float | None = None
        self._lasts_s = 0.0
        self._turn: Turn | None = None
        self._utterance_id = ""
        self._last_partial = ""
        self._consumed: deque[str] = deque(maxlen=_CONSUMED_KEPT)

    @property
    def state(self) -> State:
        return self._state

    def deadline(self) -> float | None:
        """When a Tick is wanted, on the clock of `now`."""
        return self._deadline

    def accepts(self, reply_id: str) -> bool:
        """Whether audio of this reply may go to the client now."""
        reply = self._reply
        return reply is not None and reply.reply_id == reply_id and not reply.is_held

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

    def _hear(self, event: on.SpeechStarted, now: float) -> Actions:
        """Speech, in a new turn or again in the open one: what was being prepared for that is out of date."""
        dropped = self._withdraw_reply()
        turn = self._open_turn()
        self._utterance_id, self._last_partial = event.utterance_id, ""
        self._enter(State.USER_SPEAKING, now, self.params.utterance_timeout_s)
        return [*dropped, do.AnnounceSpeechStarted(turn.turn_id, event.utterance_id)]

    def _show_partial(self, event: on.PartialHeard, now: float) -> Actions:
        self._last_partial = event.text
        return [do.AnnouncePartial(self._open.turn_id, event.utterance_id, event.text, event.committed, event.language)]

    def _speculate(self, event: on.CandidateHeard, now: float) -> Actions:
        """Prepare the answer to what was said so far, and keep it inside."""
        self._last_partial = event.text
        prompt = joined(self._open.user_text, event.text)
        is_worth_it = self.params.speculates and self.params.replies and count_words(event.text)
        if not is_worth_it or (self._reply and normalised(self._reply.prompt) == normalised(prompt)):
            return []
        return [*self._withdraw_reply(), *self._request(prompt, is_held=True)]

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
        if not count_words(event.text):
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
        dropped = self._withdraw_reply()
        self._enter(State.PREPARING, now, self.params.reply_timeout_s)
        requested = self._request(turn.user_text, is_held=False)
        return [*dropped, *requested, do.AnnounceReplyStarted(turn.turn_id, self._current.reply_id)]

    def _request(self, prompt: str, *, is_held: bool) -> Actions:
        reply = Reply(self._new_id("rpl"), prompt, is_held)
        self._open.reply = reply
        return [do.RequestReply(self._open.turn_id, reply.reply_id, prompt, is_held)]

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
        """All of the answer was heard. In an overlap the person keeps the word."""
        self._note_heard(event, now)
        closed = self._close_turn(self._current, self._current.finish)
        return [*closed, *self._yield_word(now)]

    def _yield_word(self, now: float) -> Actions:
        """The answer is over: to the person if they are speaking over it, else to nobody."""
        if self._state is not State.OVERLAP:
            self._listen()
            return []
        self._enter(State.USER_SPEAKING, now, self.params.utterance_timeout_s)
        return [do.AnnounceSpeechStarted(self._open_turn().turn_id, self._utterance_id)]

    # -- both speak -------------------------------------------------------------------------------------------------

    def _overlap(self, event: on.SpeechStarted, now: float) -> Actions:
        self._utterance_id, self._last_partial = event.utterance_id, ""
        self._enter(State.OVERLAP, now, self.params.overlap_s)
        return []

    def _weigh_words(self, event: on.PartialHeard | on.CandidateHeard, now: float) -> Actions:
        self._last_partial = event.text
        if count_words(event.text) < self.params.barge_in_words:
            return []
        return self._barge_in_with(event, now)

    def _barge_in(self, event: ConversationEvent, now: float) -> Actions:
        """The answer stops. The person has the word if they are speaking."""
        return [*self._interrupt(), *self._yield_word(now)]

    def _barge_in_with(self, event: ConversationEvent, now: float) -> Actions:
        """The answer stops, and what stopped it counts as it does in the state that follows."""
        return [*self._barge_in(event, now), *self.handle(event, now)]

    def _end_overlap(self, event: ConversationEvent, now: float) -> Actions:
        """The overlap ended before it became a barge-in: the answer goes on, unless its final brings words."""
        self._enter(State.SPEAKING, now, self.params.playout_stall_s)
        return []

    def _clear_overlap(self, event: on.UtteranceCleared, now: float) -> Actions:
        self._consume(self._utterance_id)
        return self._end_overlap(event, now)

    def _weigh_final(self, event: on.FinalHeard, now: float) -> Actions:
        """The final of what was said over the answer: words take the word, no words leave it."""
        if count_words(event.text) >= self.params.barge_in_words:
            return self._barge_in_with(event, now)
        self._consume(event.utterance_id)
        if self._state is State.OVERLAP and event.utterance_id == self._utterance_id:
            return self._end_overlap(event, now)
        return []

    def _interrupt(self) -> Actions:
        """Stop the answer that is being heard; the turn keeps what was heard of it."""
        reply = self._current
        return [*self._withdraw_reply(), *self._close_turn(reply, FinishReason.INTERRUPTED)]

    # -- ends -------------------------------------------------------------------------------------------------------

    def _withdraw_reply(self) -> Actions:
        """Drop the reply in flight, if any, while the turn stays open. One that was announced is announced gone."""
        reply = self._reply
        if reply is None:
            return []
        self._open.reply = None
        gone: Actions = [do.CancelReply(reply.reply_id)]
        if not reply.is_held:
            heard = reply.heard_ms, reply.heard_text
            gone.append(do.AnnounceInterrupted(self._open.turn_id, reply.reply_id, *heard))
        return gone

    def _close_turn(self, reply: Reply | None, reason: FinishReason) -> Actions:
        turn, self._turn = self._open, None
        if reply is None:
            return [do.CommitTurn(turn.turn_id, None, turn.user_text, "", 0, reason)]
        heard = reply.heard_text, reply.heard_ms
        return [do.CommitTurn(turn.turn_id, reply.reply_id, turn.user_text, *heard, reason)]

    def _fail_reply(self, event: on.StageFailed, now: float) -> Actions:
        """The answer failed: say so, keep what was heard, listen. A failure of listening alone leaves the answer be."""
        if event.reply_id is None and event.stage is Stage.ASR:
            resumed = self._end_overlap(event, now) if self._state is State.OVERLAP else []
            return [*self._tell(event, now), *resumed]
        reply = self._current
        if reply.is_held:
            return self._withdraw_reply()
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

    def _start_over(self, event: on.PersonaChanged | on.Disconnected, now: float) -> Actions:
        """Whatever was under way is void; a turn whose answer was begun is kept with what was heard of it."""
        is_answering = self._state in (State.PREPARING, State.SPEAKING, State.OVERLAP)
        ended = self._interrupt() if is_answering else self._withdraw_reply()
        self._consume(self._utterance_id)
        self._turn = None
        self._listen()
        return ended

    def _close(self, event: on.Disconnected, now: float) -> Actions:
        ended = self._start_over(event, now)
        self._state = State.CLOSED
        return ended

    # -- small things -----------------------------------------------------------------------------------------------

    def _open_turn(self) -> Turn:
        """The open turn, or else a new one."""
        if self._turn is None:
            self._turn = Turn(self._new_id("trn"))
        return self._turn

    @property
    def _open(self) -> Turn:
        assert self._turn is not None, f"no turn is open in {self._state}"
        return self._turn

    @property
    def _reply(self) -> Reply | None:
        return self._turn.reply if self._turn else None

    @property
    def _current(self) -> Reply:
        assert self._reply is not None, f"no reply is in flight in {self._state}"
        return self._reply

    def _consume(self, utterance_id: str) -> None:
        """This utterance is over: whatever else comes of it is stale."""
        if utterance_id not in self._consumed:
            self._consumed.append(utterance_id)

    def _announce_final(self, event: on.FinalHeard) -> ConversationAction:
        text = event.text.strip()
        return do.AnnounceFinal(self._open.turn_id, event.utterance_id, text, event.language, event.segments)

    def _enter(self, state: State, now: float, at_most_s: float) -> None:
        self._state, self._lasts_s, self._deadline = state, at_most_s, now + at_most_s

    def _postpone(self, now: float) -> None:
        """There is progress: the state may last its time again."""
        self._deadline = now + self._lasts_s

    def _listen(self) -> None:
        self._state, self._deadline = State.LISTENING, None

"""Who has the word, for how long at most, and the one turn that is open. Knows no events; conversation.py decides.

Laws (tests/core/test_gateway_floor.py): every state that is entered has a deadline and LISTENING has none; at most one
turn is open, with at most one reply in flight, and the held ones of each turn are counted; a reply that was announced
is announced gone when it is withdrawn; one is paused once before it goes on; the utterances that are remembered as over
are bounded.
"""

from collections import deque
from collections.abc import Callable

from gateway.core import actions as do
from gateway.core.actions import ConversationAction
from gateway.core.events import FinishReason
from gateway.core.params import ConversationParams
from gateway.core.standing import Standing, StandingReply
from gateway.core.transitions import State
from gateway.core.turn import Reply, Turn

Actions = list[ConversationAction]

_CONSUMED_KEPT = 64  # utterances remembered so that what comes late or doubled is known; a bound, far above any delay
_CONSUMED_TOLD = 8  # of them, in what stands


class Floor:
    """What of one session stands, and the few moves that change it."""

    def __init__(self, params: ConversationParams, new_id: Callable[[str], str]) -> None:
        self.params = params
        self._new_id = new_id
        self._state = State.LISTENING
        self._deadline: float | None = None
        self._lasts_s = 0.0
        self._turn: Turn | None = None
        self._held_count = 0  # replies that were prepared in the open turn before its end was sure
        self._utterance_id = ""
        self._last_partial = ""
        self._language = ""
        self._aside_id = ""  # the utterance that let the answer go on
        self._consumed: deque[str] = deque(maxlen=_CONSUMED_KEPT)

    @property
    def state(self) -> State:
        return self._state

    def deadline(self) -> float | None:
        """When a Tick is wanted, on the clock of `now`."""
        return self._deadline

    @property
    def turn_id(self) -> str:
        """The open turn, if there is one."""
        return self._turn.turn_id if self._turn else ""

    def accepts(self, reply_id: str) -> bool:
        """Whether audio of this reply may go to the client: now, or after its pause."""
        reply = self._reply
        return reply is not None and reply.reply_id == reply_id and not reply.is_held

    # -- across a cut of the line, or a restart -----------------------------------------------------------------------

    def wait_anew(self, now: float) -> None:
        """The client was away, and nothing could be heard: the state may last its time again."""
        if self._deadline is not None:
            self._postpone(now)

    def stand(self) -> Standing:
        """What stands now."""
        turn, reply = self._turn or Turn(""), self._reply
        kept = None
        if reply is not None and not reply.is_held:
            about = reply.script, reply.is_text_complete, reply.finish, reply.has_audio, reply.is_paused
            kept = StandingReply(reply.reply_id, reply.prompt, *about)
        heard = self._utterance_id, self._last_partial, self._language
        consumed = tuple(self._consumed)[-_CONSUMED_TOLD:]
        return Standing(self._state, turn.turn_id, turn.user_text, turn.edits, kept, *heard, consumed)

    def take_up(self, standing: Standing, said: str, now: float) -> None:
        """Go on where another one stood; `said` is the text that was told of the answer, which waits no more."""
        self._utterance_id, self._last_partial = standing.utterance_id, standing.last_partial
        self._language, kept, params = standing.language, standing.reply, self.params
        self._consumed.extend(standing.consumed)
        if standing.turn_id:
            self._turn = Turn(standing.turn_id, standing.user_text, standing.edits)
        if kept is not None:
            text = [said] if said else []
            self._open.reply = Reply(kept.reply_id, kept.prompt, False, kept.script, text)
            self._current.is_text_complete, self._current.finish = kept.is_text_complete, kept.finish
            self._current.has_audio = kept.has_audio
            is_heard = standing.state is not State.PREPARING  # who spoke over it speaks over it again
            lasts_s = params.playout_stall_s if is_heard else params.reply_timeout_s
            self._enter(State.SPEAKING if is_heard else State.PREPARING, now, lasts_s)
        elif standing.state is State.USER_SPEAKING:
            self._enter(State.USER_SPEAKING, now, params.utterance_timeout_s)
        elif standing.state is State.AWAITING_FINAL:
            self._enter(State.AWAITING_FINAL, now, params.final_timeout_s)

    # -- states and their time --------------------------------------------------------------------------------------

    def _enter(self, state: State, now: float, at_most_s: float) -> None:
        self._state, self._lasts_s, self._deadline = state, at_most_s, now + at_most_s

    def _postpone(self, now: float) -> None:
        """There is progress: the state may last its time again."""
        self._deadline = now + self._lasts_s

    def _listen(self) -> None:
        self._state, self._deadline = State.LISTENING, None

    def _consume(self, utterance_id: str) -> None:
        """This utterance is over: whatever else comes of it is stale."""
        if utterance_id not in self._consumed:
            self._consumed.append(utterance_id)

    # -- the open turn and its reply --------------------------------------------------------------------------------

    def _open_turn(self) -> Turn:
        """The open turn, or else a new one."""
        if self._turn is None:
            self._turn, self._held_count = Turn(self._new_id("trn")), 0
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

    def _request(self, prompt: str, *, is_held: bool, script: str = "") -> Actions:
        reply = Reply(self._new_id("rpl"), prompt, is_held, script)
        self._open.reply = reply
        self._held_count += is_held
        return [do.RequestReply(self._open.turn_id, reply.reply_id, prompt, is_held, script)]

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

    def _pause_reply(self) -> Actions:
        """The answer waits, unless it does already."""
        reply = self._current
        if reply.is_paused:
            return []
        reply.is_paused = True
        return [do.PauseReply(reply.reply_id), do.AnnouncePaused(self._open.turn_id, reply.reply_id)]

    def _resume_reply(self) -> Actions:
        """An answer that waits goes on: what was said over it is put aside."""
        reply = self._current
        if not reply.is_paused:
            return []
        reply.is_paused, self._aside_id = False, self._utterance_id
        return [do.ResumeReply(reply.reply_id), do.AnnounceResumed(self._open.turn_id, reply.reply_id)]

    def _interrupt(self) -> Actions:
        """Stop the answer that is being heard; the turn keeps what was heard of it."""
        reply = self._current
        return [*self._withdraw_reply(), *self._close_turn(reply, FinishReason.INTERRUPTED)]

    def _close_turn(self, reply: Reply | None, reason: FinishReason) -> Actions:
        turn, self._turn = self._open, None
        if reply is None:
            return [do.CommitTurn(turn.turn_id, None, turn.user_text, "", 0, reason, turn.edits)]
        said = turn.user_text, reply.heard_text, reply.heard_ms
        return [do.CommitTurn(turn.turn_id, reply.reply_id, *said, reason, turn.edits, reply.is_scripted)]

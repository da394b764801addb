"""The laws of a conversation, as something that watches one: `Watched` hands events on and checks what comes back.

It keeps books of its own, from events and actions alone, and looks at nothing private. A law that does not hold raises
LawBroken with its name.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.backchannels import is_backchannel
from gateway.core.conversation import Conversation
from gateway.core.events import ConversationEvent, FinishReason
from gateway.core.params import ConversationParams
from gateway.core.transitions import State
from gateway.core.words import normalised

TOTAL = "any event in any state is answered with a list"
ONE_REPLY = "at most one reply is in flight"
ENDS_ONCE = "every requested reply ends exactly once"
OVER_IS_SILENT = "nothing of a reply that is over is said or done"
STALE_IS_DROPPED = "an event of a reply that is over changes nothing"
HELD_IS_SILENT = "a held reply is announced only after its release"
TRIES = "a turn has no more held replies than it may, and none where nobody speculates"
ANNOUNCED_ENDS = "a reply that was announced is announced over"
ACCEPTS = "audio is accepted of the reply in flight alone, and only when it is not held"
FITS_STATE = "a reply is heard in the states of answering, and held in those of listening"
RESUMED_WITHDRAWS = "speech that goes on withdraws the reply"
FITS_QUESTION = "the reply was asked for with just what was understood"
FINAL_ONCE = "the final of an utterance counts once"
HEARD_ALONE = "what is committed is what was heard"
HEARD_TO_THE_END = "a reply heard to the end is committed at once, for the reason that its text ended"
DEADLINE = "every state but LISTENING and CLOSED has a deadline, never farther than its parameter"
TICKS = "ticks alone lead every state back to LISTENING"
SPEECH_ENDS_ONCE = "no text is given to speech after its end"
PAUSES = "a reply is paused in an overlap and nowhere else"
REMARK_PASSES = "a remark over an answer stops nothing, is shown to nobody and is no turn"
EDIT_IS_ANSWERED = "what is put right is asked anew and alone, and what came after it is forgotten before"
APOLOGISES_ONCE = "for an apology or an opening line that fails nobody apologises"
TRANSCRIBES = "a conversation that only transcribes asks for no reply"
CLOSED = "a closed conversation does nothing"

_TICKS_ENOUGH = 6
_ANSWERING = (State.PREPARING, State.SPEAKING, State.OVERLAP)
_QUIET = (State.LISTENING, State.CLOSED)


class LawBroken(AssertionError):
    """A law that did not hold; `law` is one of the sentences above."""

    def __init__(self, law: str, why: tuple[object, ...]) -> None:
        super().__init__(f"{law}: {', '.join(map(str, why))}")
        self.law = law


def names() -> Callable[[str], str]:
    """An id factory that counts: trn_1, rpl_2, rpl_3, ..."""
    count = 0

    def new_id(kind: str) -> str:
        nonlocal count
        count += 1
        return f"{kind}_{count}"

    return new_id


@dataclass
class Book:
    """What the watcher knows of one reply."""

    request: do.RequestReply
    is_held: bool
    is_announced: bool = False
    is_speech_ended: bool = False
    is_paused: bool = False
    is_cancelled: bool = False
    is_committed: bool = False
    finish: FinishReason = FinishReason.STOP
    heard: tuple[int, str] = (0, "")


@dataclass
class Watched:
    """A conversation under the eyes of the law."""

    conversation: Conversation
    books: dict[str, Book] = field(default_factory=dict)
    live: str | None = None
    finals: set[str] = field(default_factory=set)
    turns_kept: set[str] = field(default_factory=set)
    tries: Counter[str] = field(default_factory=Counter)  # held replies of each turn

    def handle(self, event: ConversationEvent, now: float) -> list[ConversationAction]:
        """What the conversation answers, if that is lawful."""
        before, live_before = self.conversation.state, self.live
        self._note_event(event)
        try:
            answered = self.conversation.handle(event, now)
        except Exception as failure:
            raise LawBroken(TOTAL, (repr(failure), event, before)) from failure
        _hold(TOTAL, isinstance(answered, list), answered)
        self._check_stale(event, before, live_before, answered)
        for action in answered:
            self._check_action(action, answered)
        self._check_event(event, before, live_before, answered)
        self._check_state(now)
        return answered

    def settle(self, now: float) -> float:
        """Let time pass, and nothing else happen, until nobody speaks; the moment at which that is so."""
        for _ in range(_TICKS_ENOUGH):
            deadline = self.conversation.deadline()
            if deadline is None:
                break
            now = max(now, deadline)
            self.handle(on.Tick(), now)
        _hold(TICKS, self.conversation.state in _QUIET, self.conversation.state)
        return now

    def close(self, now: float) -> None:
        """The client leaves; whatever comes then is nothing to a closed conversation."""
        self.handle(on.Disconnected(), now)
        _hold(CLOSED, self.conversation.state is State.CLOSED, self.conversation.state)
        _hold(CLOSED, self.handle(on.SpeechStarted("utt_late"), now) == [], "it answered")

    # -- what was handed in ------------------------------------------------------------------------------------------

    def _note_event(self, event: ConversationEvent) -> None:
        book = self.books.get(getattr(event, "reply_id", None) or "")
        if book is None or self.live != book.request.reply_id or self.conversation.state is State.CLOSED:
            return
        if isinstance(event, on.PlayoutMarked | on.PlayoutFinished) and not book.is_held:
            book.heard = max(
                book.heard, (event.heard_ms, event.heard_text), key=lambda heard: (heard[0], len(heard[1]))
            )
        if isinstance(event, on.ReplyTextEnded) and not book.is_speech_ended:
            book.finish = event.finish_reason

    def _check_stale(
        self, event: ConversationEvent, before: State, live: str | None, answered: list[ConversationAction]
    ) -> None:
        reply_id = getattr(event, "reply_id", None)
        if reply_id is None or reply_id == live or before is State.CLOSED:
            return
        counted = [do.CountStale(type(event).__name__)]
        _hold(STALE_IS_DROPPED, answered == counted and self.conversation.state is before, answered)

    # -- what came out -----------------------------------------------------------------------------------------------

    def _check_action(self, action: ConversationAction, answered: list[ConversationAction]) -> None:
        match action:
            case do.RequestReply():
                self._check_request(action)
            case do.CancelReply(reply_id):
                _hold(ENDS_ONCE, self.live == reply_id, reply_id, self.live)
                self.books[reply_id].is_cancelled, self.live = True, None
                self._check_announced_over(reply_id, answered)
            case do.CommitTurn():
                self._check_commit(action, answered)
            case do.PauseReply(reply_id) | do.ResumeReply(reply_id):
                _hold(PAUSES, reply_id == self.live, action)
                is_pause = isinstance(action, do.PauseReply)
                _hold(PAUSES, self.books[reply_id].is_paused is not is_pause, action)
                self.books[reply_id].is_paused = is_pause
            case do.AnnouncePaused(reply_id=reply_id) | do.AnnounceResumed(reply_id=reply_id):
                is_pause = isinstance(action, do.AnnouncePaused)
                _hold(PAUSES, reply_id == self.live and self.books[reply_id].is_paused is is_pause, action)
            case do.AnnounceFinal(utterance_id=utterance_id):
                _hold(FINAL_ONCE, utterance_id not in self.finals, utterance_id)
                self.finals.add(utterance_id)
            case do.AnnounceInterrupted(reply_id=reply_id, heard_ms=heard_ms, heard_text=heard_text):
                book = self._book(reply_id)
                is_just_cancelled = do.CancelReply(reply_id) in answered and book.is_announced
                _hold(OVER_IS_SILENT, is_just_cancelled, action)
                _hold(HEARD_ALONE, book.heard == (heard_ms, heard_text), (action, book.heard))
            case do.ReleaseReply(reply_id) | do.SpeakText(reply_id) | do.FinishSpeech(reply_id):
                self._check_progress(action, reply_id, answered)
            case do.AnnounceReplyStarted(reply_id=reply_id) | do.AnnounceToken(reply_id=reply_id):
                self._check_progress(action, reply_id, answered)

    def _check_request(self, request: do.RequestReply) -> None:
        _hold(ONE_REPLY, self.live is None, self.live, request)
        _hold(ENDS_ONCE, request.reply_id not in self.books, request)
        params = self.conversation.params
        _hold(TRANSCRIBES, params.replies, request)
        self.tries[request.turn_id] += request.is_held
        most = params.speculations_per_turn if params.speculates else 0
        _hold(TRIES, not request.is_held or self.tries[request.turn_id] <= most, request)
        self.books[request.reply_id] = Book(request, request.is_held)
        self.live = request.reply_id

    def _check_progress(self, action: ConversationAction, reply_id: str, answered: list[ConversationAction]) -> None:
        """Work on a reply, or news of it: only of the one in flight, and news only when it is not held."""
        _hold(OVER_IS_SILENT, reply_id == self.live, action)
        book = self.books[reply_id]
        match action:
            case do.SpeakText() | do.FinishSpeech():
                _hold(SPEECH_ENDS_ONCE, not book.is_speech_ended, action)
                book.is_speech_ended = isinstance(action, do.FinishSpeech)
            case do.ReleaseReply():
                _hold(HELD_IS_SILENT, book.is_held, "released twice")
                book.is_held = False
            case _:
                is_let_out = not book.is_held or do.ReleaseReply(reply_id) in answered
                is_in_order = book.is_announced is not isinstance(action, do.AnnounceReplyStarted)
                _hold(HELD_IS_SILENT, is_let_out and is_in_order, action)
                book.is_announced = True

    def _check_announced_over(self, reply_id: str, answered: list[ConversationAction]) -> None:
        """A cancelled reply that the client knows of is interrupted or committed before anything else happens."""
        gone = [a for a in answered if isinstance(a, do.AnnounceInterrupted | do.CommitTurn) and a.reply_id == reply_id]
        _hold(ANNOUNCED_ENDS, bool(gone) is self.books[reply_id].is_announced, gone)
        _hold(ANNOUNCED_ENDS, len({type(action) for action in gone}) == len(gone), gone)

    def _check_commit(self, commit: do.CommitTurn, answered: list[ConversationAction]) -> None:
        _hold(ENDS_ONCE, commit.turn_id not in self.turns_kept, commit)
        self.turns_kept.add(commit.turn_id)
        if commit.reply_id is None:
            _hold(HEARD_ALONE, (commit.heard_ms, commit.heard_text) == (0, ""), commit)
            return
        book = self._book(commit.reply_id)
        is_over_now = self.live == commit.reply_id or do.CancelReply(commit.reply_id) in answered
        _hold(ENDS_ONCE, is_over_now and not book.is_committed, commit)
        _hold(HELD_IS_SILENT, book.is_announced, commit)
        _hold(HEARD_ALONE, book.heard == (commit.heard_ms, commit.heard_text), (commit, book.heard))
        _hold(FITS_QUESTION, normalised(book.request.user_text) == normalised(commit.user_text), (commit, book.request))
        book.is_committed, self.live = True, None

    def _book(self, reply_id: str) -> Book:
        _hold(ENDS_ONCE, reply_id in self.books, reply_id)
        return self.books[reply_id]

    # -- where that leaves everybody ---------------------------------------------------------------------------------

    def _check_event(
        self, event: ConversationEvent, before: State, live: str | None, answered: list[ConversationAction]
    ) -> None:
        was_counted = answered == [do.CountStale(type(event).__name__)]
        self._check_remark(event, before, answered)
        self._check_edit(event, answered)
        if self.conversation.state is State.OVERLAP is not before:
            _hold(PAUSES, self.books[live or ""].is_paused is self.conversation.params.passes_backchannels, before)
        if isinstance(event, on.SpeechResumed) and before is State.USER_SPEAKING and not was_counted:
            _hold(RESUMED_WITHDRAWS, self.live is None, self.live)
        if isinstance(event, on.StageFailed) and live and event.reply_id == live and self.books[live].request.script:
            again = [action for action in answered if isinstance(action, do.RequestReply)]
            _hold(APOLOGISES_ONCE, not again, again)
        if isinstance(event, on.PlayoutFinished) and event.reply_id == live and not self.books[live].is_held:
            book = self.books[live]
            kept = [action for action in answered if isinstance(action, do.CommitTurn)]
            is_kept = len(kept) == 1 and kept[0].reply_id == live and kept[0].finish_reason is book.finish
            _hold(HEARD_TO_THE_END, is_kept, answered)

    def _check_edit(self, event: ConversationEvent, answered: list[ConversationAction]) -> None:
        if not isinstance(event, on.TurnEdited) or not event.text.strip() or self.conversation.state is State.CLOSED:
            return
        asked = [action for action in answered if isinstance(action, do.RequestReply)]
        is_asked = [request.user_text for request in asked] == [event.text.strip()] * self.conversation.params.replies
        _hold(EDIT_IS_ANSWERED, is_asked, answered)
        _hold(EDIT_IS_ANSWERED, do.RewindHistory(event.turn_id) in answered, answered)
        rewound = answered.index(do.RewindHistory(event.turn_id))
        _hold(EDIT_IS_ANSWERED, not asked or rewound < answered.index(asked[0]), answered)
        kept = [at for at, action in enumerate(answered) if isinstance(action, do.CommitTurn) and not action.edits]
        _hold(EDIT_IS_ANSWERED, all(at < rewound for at in kept), answered)

    def _check_remark(self, event: ConversationEvent, before: State, answered: list[ConversationAction]) -> None:
        is_over_an_answer = before in (State.SPEAKING, State.OVERLAP) and self.conversation.params.passes_backchannels
        words = event.text if isinstance(event, on.PartialHeard | on.CandidateHeard | on.FinalHeard) else ""
        if is_over_an_answer and is_backchannel(words, "en"):
            taken = [a for a in answered if isinstance(a, do.CancelReply | do.CommitTurn | do.AnnounceFinal)]
            _hold(REMARK_PASSES, not taken, taken)

    def _check_state(self, now: float) -> None:
        state, deadline = self.conversation.state, self.conversation.deadline()
        is_heard = self.live is not None and not self.books[self.live].is_held
        _hold(ENDS_ONCE, self.live is None or state not in _QUIET, self.live, state)
        _hold(FITS_STATE, is_heard is (state in _ANSWERING), self.live, state)
        is_paused = self.live is not None and self.books[self.live].is_paused
        _hold(PAUSES, not is_paused or state is State.OVERLAP, self.live, state)
        accepted = [reply_id for reply_id in (*self.books, "rpl_unknown") if self.conversation.accepts(reply_id)]
        _hold(ACCEPTS, accepted == [self.live] * is_heard, accepted)
        if state in _QUIET:
            _hold(DEADLINE, deadline is None, deadline, state)
        else:
            is_near = deadline is not None and deadline - now <= longest_s(state, self.conversation.params) + 1e-6
            _hold(DEADLINE, is_near, deadline, state, now)


def longest_s(state: State, params: ConversationParams) -> float:
    """How far the deadline of a state may be away."""
    return {
        State.USER_SPEAKING: params.utterance_timeout_s,
        State.AWAITING_FINAL: params.final_timeout_s,
        State.PREPARING: params.reply_timeout_s,
        State.SPEAKING: params.playout_stall_s,
        State.OVERLAP: max(params.overlap_s, params.backchannel_s),
    }[state]


def _hold(law: str, holds: bool, *why: object) -> None:
    if not holds:
        raise LawBroken(law, why)

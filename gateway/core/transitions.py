"""The conversation's states, and which decision belongs to which event in which of them.

A cell is the name of a method of Conversation, or a reason after `IGNORED`. Every state has a cell for every event
(tests/core/test_gateway_transitions.py), and docs/conversation.md is drawn from this table. Not in it: CLOSED, which
absorbs everything, and events of a reply or an utterance that is over, which are counted as stale before the table is
asked.
"""

from enum import StrEnum

from gateway.core import events as on
from gateway.core.events import ConversationEvent


class State(StrEnum):
    """Who speaks now."""

    LISTENING = "listening"  # nobody
    USER_SPEAKING = "user_speaking"
    AWAITING_FINAL = "awaiting_final"  # the person stopped; what they said is not fixed yet
    PREPARING = "preparing"  # an answer is on its way
    SPEAKING = "speaking"  # Parley
    OVERLAP = "overlap"  # both: a barge-in, a remark, or only a noise
    CLOSED = "closed"


IGNORED = "ignored: "
_NO_SPEECH = IGNORED + "the utterance has ended; only its final still counts"
_NO_REPLY = IGNORED + "no answer is in flight, so it was counted as stale already"
_UNHEARD = IGNORED + "a held answer is heard by nobody"
_NO_DEADLINE = IGNORED + "the state has no deadline"

Row = dict[type[ConversationEvent], str]

_HELD_REPLY: Row = {
    on.ReplyDelta: "_say",
    on.ReplyTextEnded: "_finish_text",
    on.AudioReady: "_note_audio",
    on.PlayoutMarked: _UNHEARD,
    on.PlayoutFinished: _UNHEARD,
}
_HEARD_REPLY: Row = {
    on.ReplyDelta: "_say",
    on.ReplyTextEnded: "_finish_text",
    on.AudioReady: "_note_audio",
    on.PlayoutMarked: "_note_heard",
    on.PlayoutFinished: "_complete",
    on.StageFailed: "_fail_reply",
}
_ALWAYS: Row = {on.TurnEdited: "_take_edit", on.PersonaChanged: "_change_persona", on.Disconnected: "_close"}

TRANSITIONS: dict[State, Row] = {
    State.LISTENING: _ALWAYS
    | {
        on.SpeechStarted: "_hear",
        on.PartialHeard: _NO_SPEECH,
        on.CandidateHeard: _NO_SPEECH,
        on.SpeechResumed: "_hear",
        on.EndpointReached: _NO_SPEECH,
        on.FinalHeard: "_take_late_final",
        on.UtteranceCleared: IGNORED + "nothing is being said",
        on.TextTyped: "_take_typed",
        on.CancelAsked: IGNORED + "there is no answer to stop",
        on.ReplyDelta: _NO_REPLY,
        on.ReplyTextEnded: _NO_REPLY,
        on.AudioReady: _NO_REPLY,
        on.PlayoutMarked: _NO_REPLY,
        on.PlayoutFinished: _NO_REPLY,
        on.StageFailed: "_tell",
        on.Tick: _NO_DEADLINE,
    },
    State.USER_SPEAKING: _ALWAYS
    | _HELD_REPLY
    | {
        on.SpeechStarted: "_hear",
        on.PartialHeard: "_show_partial",
        on.CandidateHeard: "_speculate",
        on.SpeechResumed: "_unspeculate",
        on.EndpointReached: "_await_final",
        on.FinalHeard: "_take_final",
        on.UtteranceCleared: "_drop_utterance",
        on.TextTyped: "_note_typed",
        on.CancelAsked: IGNORED + "there is no answer to stop",
        on.StageFailed: "_fail_listening",
        on.Tick: "_flush",
    },
    State.AWAITING_FINAL: _ALWAYS
    | _HELD_REPLY
    | {
        on.SpeechStarted: "_hear",
        on.PartialHeard: "_show_partial",
        on.CandidateHeard: IGNORED + "the final is about to come",
        on.SpeechResumed: IGNORED + "the endpoint was final",
        on.EndpointReached: IGNORED + "the endpoint is known",
        on.FinalHeard: "_take_final",
        on.UtteranceCleared: "_drop_utterance",
        on.TextTyped: "_note_typed",
        on.CancelAsked: IGNORED + "there is no answer to stop",
        on.StageFailed: "_fail_listening",
        on.Tick: "_take_last_partial",
    },
    State.PREPARING: _ALWAYS
    | _HEARD_REPLY
    | {
        on.SpeechStarted: "_hear",
        on.PartialHeard: _NO_SPEECH,
        on.CandidateHeard: _NO_SPEECH,
        on.SpeechResumed: "_hear",
        on.EndpointReached: _NO_SPEECH,
        on.FinalHeard: "_take_late_final",
        on.UtteranceCleared: IGNORED + "nothing is being said",
        on.TextTyped: "_take_typed",
        on.CancelAsked: "_barge_in",
        on.AudioReady: "_speak",
        on.Tick: "_give_up",
    },
    State.SPEAKING: _ALWAYS
    | _HEARD_REPLY
    | {
        on.SpeechStarted: "_overlap",
        on.PartialHeard: "_weigh_words",
        on.CandidateHeard: "_weigh_words",
        on.SpeechResumed: "_overlap",
        on.EndpointReached: _NO_SPEECH,
        on.FinalHeard: "_weigh_final",
        on.UtteranceCleared: IGNORED + "nothing is being said",
        on.TextTyped: "_barge_in_with",
        on.CancelAsked: "_barge_in",
        on.Tick: "_give_up",
    },
    State.OVERLAP: _ALWAYS
    | _HEARD_REPLY
    | {
        on.SpeechStarted: "_overlap",
        on.PartialHeard: "_weigh_words",
        on.CandidateHeard: "_weigh_words",
        on.SpeechResumed: IGNORED + "the overlap goes on",
        on.EndpointReached: "_end_overlap",
        on.FinalHeard: "_weigh_final",
        on.UtteranceCleared: "_clear_overlap",
        on.TextTyped: "_barge_in_with",
        on.CancelAsked: "_barge_in",
        on.Tick: "_barge_in",
    },
}

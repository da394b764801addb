"""A dialogue to write tests with: a conversation under the eyes of the law, and the time."""

from typing import Any

from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.actions import ConversationAction
from gateway.core.conversation import Conversation
from gateway.core.events import ConversationEvent, FinishReason, Stage
from gateway.core.params import ConversationParams
from gateway.core.transitions import State
from tests.support.conversation_laws import Watched, names

ASR_FAILED = on.StageFailed(Stage.ASR, "service_unavailable", "Listening failed.", True)
ASR_ERROR = do.AnnounceError("service_unavailable", "asr", "Listening failed.", True)
INTERRUPTED: list[ConversationAction] = [
    do.CancelReply("rpl_2"),
    do.AnnounceInterrupted("trn_1", "rpl_2", 500, "It is"),
    do.CommitTurn("trn_1", "rpl_2", "what time is it", "It is", 500, FinishReason.INTERRUPTED),
]


def failed(stage: Stage, reply_id: str | None = "rpl_2") -> on.StageFailed:
    return on.StageFailed(stage, "engine_failed", "No.", False, reply_id)


def committed(heard_text: str, heard_ms: int, reason: FinishReason) -> do.CommitTurn:
    return do.CommitTurn("trn_1", "rpl_2", "what time is it", heard_text, heard_ms, reason)


class Dialogue:
    """A conversation, what happens to it, and the time. Ids count up over all kinds: trn_1, rpl_2, trn_3, ..."""

    def __init__(self, **params: Any) -> None:
        self.conversation = Conversation(ConversationParams(**params), names())
        self.watched = Watched(self.conversation)
        self.now = 100.0
        self.passed: list[State] = []  # the states in their order

    @property
    def state(self) -> State:
        return self.conversation.state

    def hear(self, *events: ConversationEvent) -> list[ConversationAction]:
        """What is answered to the last of these events."""
        answered: list[ConversationAction] = []
        for event in events:
            answered = self.watched.handle(event, self.now)
            if [self.state] != self.passed[-1:]:
                self.passed.append(self.state)
        return answered

    def wait(self, seconds: float) -> list[ConversationAction]:
        """What is answered to the tick, if one is wanted within this time."""
        self.now += seconds
        deadline = self.conversation.deadline()
        return self.hear(on.Tick()) if deadline is not None and deadline <= self.now else []

    def ask(self, text: str = "what time is it", utterance: str = "utt_1") -> list[ConversationAction]:
        """The person asks something; what the final is answered with."""
        return self.hear(on.SpeechStarted(utterance), on.EndpointReached(utterance), on.FinalHeard(utterance, text))

    def be_told(self) -> None:
        """Asked, answered, and speaking: `It is noon.` is rpl_2 of trn_1, and half of it was heard."""
        self.ask()
        self.hear(on.ReplyDelta("rpl_2", "It is noon."), on.ReplyTextEnded("rpl_2", FinishReason.STOP))
        self.hear(on.AudioReady("rpl_2"), on.PlayoutMarked("rpl_2", 500, "It is"))
        assert self.state is State.SPEAKING

    def be_told_and_interrupt(self) -> None:
        """Somebody makes a sound over the answer."""
        self.be_told()
        self.hear(on.SpeechStarted("utt_2"))
        assert self.state is State.OVERLAP

    def pause(self, text: str = "what time is it") -> list[ConversationAction]:
        """The person speaks and pauses; a held reply is prepared."""
        return self.hear(on.SpeechStarted("utt_1"), on.CandidateHeard("utt_1", text))

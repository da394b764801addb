"""What of a conversation stands at one moment, so that it can go on after its server was killed.

A held answer is not in it: nobody knew of it, and another one is prepared when the person has spoken. Neither is the
text of an answer: that is what was told of it.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.core.events import FinishReason
from gateway.core.transitions import State


@dataclass(frozen=True, slots=True)
class StandingReply:
    """An answer that was announced and is not over."""

    reply_id: str
    prompt: str
    script: str = ""
    is_text_complete: bool = False
    finish: FinishReason = FinishReason.STOP
    has_audio: bool = False
    is_paused: bool = False  # its client was told to wait


@dataclass(frozen=True, slots=True)
class Standing:
    """Who speaks, the open turn, and which utterances are over."""

    state: State = State.LISTENING
    turn_id: str = ""
    user_text: str = ""
    edits: str = ""
    reply: StandingReply | None = None
    utterance_id: str = ""
    last_partial: str = ""
    language: str = ""
    consumed: tuple[str, ...] = field(default_factory=tuple)

    def as_fields(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Standing":
        """What `as_fields` gave, also after JSON."""
        reply = fields["reply"]
        if reply is not None:
            reply = StandingReply(**reply | {"finish": FinishReason(reply["finish"])})
        plain = {"state": State(fields["state"]), "reply": reply, "consumed": tuple(fields["consumed"])}
        return cls(**fields | plain)

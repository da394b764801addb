"""One turn while it is open: what the person said in it, and the one attempt at an answer that is in flight."""

from dataclasses import dataclass, field

from gateway.core.events import FinishReason
from gateway.core.words import joined


@dataclass(slots=True)
class Reply:
    """One attempt at an answer. A held one is made on a candidate and shown to nobody."""

    reply_id: str
    prompt: str
    is_held: bool
    script: str = ""  # said word for word instead of an answer
    said: list[str] = field(default_factory=list)
    is_text_complete: bool = False
    finish: FinishReason = FinishReason.STOP
    has_audio: bool = False
    is_paused: bool = False
    heard_ms: int = 0
    heard_text: str = ""

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def is_scripted(self) -> bool:
        return bool(self.script)


@dataclass(slots=True)
class Turn:
    """What the person said, over one utterance or several, and the answer to it."""

    turn_id: str
    user_text: str = ""
    edits: str = ""  # the turn that this one corrects
    reply: Reply | None = None

    def add(self, text: str) -> None:
        """Append what an utterance (or a typed line) adds; blank text adds nothing."""
        self.user_text = joined(self.user_text, text)

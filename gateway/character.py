"""Who answers in a session, as the client wishes it, and what it remembers."""

from collections.abc import Mapping
from typing import Any

from gateway.core.actions import RequestReply
from gateway.core.apologies import apology_in
from gateway.core.events import FinishReason
from gateway.core.history import History
from gateway.core.load_ladder import Level
from gateway.core.trace import Voiced
from gateway.llm_client import Question
from gateway.personas import Persona
from gateway.preferences import Preferences
from gateway.reply import ReplyOrder
from gateway.settings import GatewaySettings
from shared.errors import InvalidMessage
from shared.wire import asr, native


class Character:
    """The persona of one session. Another one is chosen first, and adopted when the turn before is over."""

    def __init__(self, personas: Mapping[str, Persona], settings: GatewaySettings) -> None:
        self._personas = personas
        self._settings = settings
        self.wants = Preferences(personas[settings.default_persona])
        self._next = self.wants.persona
        self.history = History(self.wants.persona.system_prompt, settings.history_max_turns, settings.history_max_chars)

    @property
    def persona(self) -> Persona:
        """Who answers now."""
        return self.wants.persona

    @property
    def apology(self) -> str:
        """What it says when no answer can be made, in its own language; nothing when it does not apologise."""
        return apology_in(self.persona.language) if self._settings.apologises else ""

    @property
    def answers(self) -> bool:
        """Whether it does at all: the client may want a transcription alone, the operator no language model."""
        return self.wants.is_dialogue and self._settings.llm_enabled

    @property
    def opening_line(self) -> str:
        """What the chosen one says first, if the client wants to be greeted."""
        return self._next.opening_line if self.wants.greets else ""

    def take(self, config: native.Config) -> bool:
        """Adopt what the client wishes; whether somebody else is to answer. InvalidMessage for a persona unknown."""
        chosen = self._find(config.persona) if config.persona else self._next
        self.wants.take(config)
        is_another = chosen is not self._next
        self._next = chosen
        return is_another

    def adopt(self) -> None:
        """The chosen one answers from here on, and remembers nothing."""
        self.wants.persona = self._next
        self.history.clear(self._next.system_prompt)

    def for_recogniser(self) -> asr.Configure:
        """What the asr_service is told."""
        return self.wants.for_recogniser(self._next)

    def order(
        self,
        request: RequestReply,
        session_id: str,
        level: Level,
        begun: Voiced | None = None,
        is_written: bool = False,
    ) -> ReplyOrder:
        """What an answer of this character's is made of, at that level of load. What was begun aloud is spoken on."""
        key = f"{session_id}:{request.turn_id}:{request.reply_id}"
        question = Question(
            self.history.messages(request.user_text), self.wants.model, self._settings.reply_max_tokens, key
        )
        return ReplyOrder(
            request.turn_id,
            request.reply_id,
            question,
            self.wants.for_speech(request.reply_id, self._settings.fast_voice if level >= Level.FAST_VOICE else ""),
            request.is_held,
            request.script,
            FinishReason.ERROR if request.user_text else FinishReason.STOP,  # of a script: an apology, an opening line
            begun,
            is_written,
            is_silent=not self._settings.tts_enabled or (level is Level.TEXT_ONLY and not (begun and begun.segments)),
        )

    def as_fields(self) -> dict[str, Any]:
        """The wishes, as JSON can hold them."""
        return {"next": self._next.id, **self.wants.as_fields()}

    def take_up(self, wishes: dict[str, Any], history: dict[str, Any]) -> None:
        """Be who another one was. A persona that is there no more gives way to the default one."""
        default = self.persona
        if wishes:
            self._next = self._personas.get(wishes["next"], default)
            self.wants.take_up(wishes, self._personas.get(wishes["persona"], default))
        self.history.clear(self.persona.system_prompt)
        self.history.take_up(history)

    def _find(self, persona_id: str) -> Persona:
        try:
            return self._personas[persona_id]
        except KeyError:
            known = ", ".join(self._personas)
            raise InvalidMessage(f"There is no persona {persona_id!r}; known: {known}.", param="persona") from None

"""What one client asked for, by `config`; what it left out keeps its value."""

from dataclasses import dataclass, field
from typing import Any

from gateway.personas import Persona
from shared.wire import asr, native, tts

_PLAIN = ("sample_rate", "language", "voice", "model", "is_dialogue", "greets")


@dataclass(slots=True)
class Preferences:
    """The settings of one session."""

    persona: Persona
    sample_rate: int = asr.STREAM_RATE
    language: str | None = None
    voice: str | None = None
    model: str | None = None
    is_dialogue: bool = True
    greets: bool = False
    endpointing: asr.Endpointing | None = None
    audio_out: native.AudioOut = field(default_factory=native.AudioOut)

    def take(self, config: native.Config) -> None:
        """Adopt everything that `config` sets, but the persona: that is the session's to look up."""
        self.sample_rate = config.sample_rate or self.sample_rate
        self.language = config.language or self.language
        self.voice = config.voice or (None if config.persona else self.voice)  # a persona brings its own
        self.model = config.model or self.model
        self.is_dialogue = config.mode == "dialogue" if config.mode else self.is_dialogue
        self.greets = self.greets if config.greets is None else config.greets
        self.endpointing = config.endpointing or self.endpointing
        self.audio_out = config.audio_out or self.audio_out

    def as_fields(self) -> dict[str, Any]:
        """As JSON can hold them."""
        endpointing = self.endpointing.model_dump(exclude_none=True) if self.endpointing else None
        plain = {name: getattr(self, name) for name in _PLAIN}
        return plain | {
            "persona": self.persona.id, "endpointing": endpointing, "audio_out": self.audio_out.model_dump()
        }  # fmt: skip

    def take_up(self, fields: dict[str, Any], persona: Persona) -> None:
        """Wish what `as_fields` gave."""
        self.persona = persona
        for name in _PLAIN:
            setattr(self, name, fields[name])
        endpointing = fields["endpointing"]
        self.endpointing = None if endpointing is None else asr.Endpointing(**endpointing)
        self.audio_out = native.AudioOut(**fields["audio_out"])

    def for_recogniser(self, persona: Persona) -> asr.Configure:
        """What the asr_service is told, when `persona` answers."""
        language = self.language or persona.language
        return asr.Configure(sample_rate=self.sample_rate, language=language, endpointing=self.endpointing)

    def for_speech(self, reply_id: str, fast_voice: str = "") -> tts.Start:
        """What the tts_service is told of a reply. A fast voice speaks instead of the one that is wished for."""
        return tts.Start(
            reply_id=reply_id,
            voice=fast_voice or self.voice or self.persona.voice,
            language=self.persona.language,
            sample_rate=self.audio_out.sample_rate,
        )

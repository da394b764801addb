"""One engine of the service with its slots and voices: loaded once, asked whether it can, and then for replies."""

import logging
from typing import Any

import anyio

from shared.errors import EngineFailed, Overloaded, ParleyError, ServiceUnavailable, Unsupported
from shared.health import READY
from tts_service.core.synthesis_queue import Urgency
from tts_service.engines.base import Engine
from tts_service.known_voices import Chosen, KnownVoices
from tts_service.outbox import Lane
from tts_service.reply import Audience, Manner, Reply, TierName
from tts_service.settings import TtsSettings
from tts_service.slots import Slots

log = logging.getLogger(__name__)


class Tier:
    """Makes replies that are spoken by one engine."""

    def __init__(self, name: TierName, settings: TtsSettings, engine: Engine, slots: int, voices: KnownVoices) -> None:
        self.name = name
        self.engine = engine
        self.voices = voices
        self.slots = Slots(
            engine, slots, settings.max_streams * settings.max_replies_per_stream, settings.admission_load
        )
        self._settings = settings
        is_fast = name == "fast"
        self._default_voice = settings.default_voice if is_fast else settings.hq_default_voice
        self._default_setting = "TTS_DEFAULT_VOICE" if is_fast else "TTS_HQ_DEFAULT_VOICE"
        self.state = "The speech engine is loading."

    async def load(self) -> None:
        """Start the engine; a failure is told by `state` and does not end the service."""
        await self.voices.load()
        fields: dict[str, Any] = {"engine": self.engine.name, "tier": self.name}
        try:
            await self.slots.open()
        except EngineFailed as failure:
            log.error("the engine does not start", extra=fields)  # noqa: TRY400
            self.state = failure.message
            return
        try:
            await self._prepare_default()
        except ParleyError as failure:
            log.error("the default voice cannot speak", extra={**fields, "code": failure.code})  # noqa: TRY400
            self.state = f"{self._default_setting} cannot speak: {failure.message}"
            return
        self.state = READY
        log.info("ready", extra=fields)

    async def _prepare_default(self) -> None:
        """Have the default voice at hand before the first reply. Raises ParleyError when it cannot speak."""
        word = self._default_voice
        reference = self.voices.resolve(word).reference if word is not None else None
        if reference is not None:
            async with self.slots.slot(Urgency.FIRST) as slot:
                await self.voices.speakers.of(reference, slot)

    async def close(self) -> None:
        """End the engine's slots, within the grace."""
        with anyio.move_on_after(self._settings.shutdown_grace_s, shield=True):
            await self.slots.close()

    def check_ready(self) -> None:
        """Raises ServiceUnavailable until the engine can speak."""
        if self.state != READY:
            raise ServiceUnavailable(self.state, service="tts", retry_after_ms=1000)

    def manner(self, language: str, voice: str | None, speed: float, instruction: str | None) -> Manner:
        """How to speak. Raises InvalidMessage when there is no such voice, Unsupported when the engine cannot do it."""
        if instruction and not self.engine.capabilities.has_instruction:
            raise Unsupported("The speech engine takes no instructions.", service="tts", param="instruction")
        word = self._default_voice if voice is None else voice
        chosen = Chosen() if word is None else self.voices.resolve(word, language)
        return Manner(language, chosen.voice, speed, instruction, chosen.reference, self.name)

    def admit(self) -> None:
        """Count a reply with a listener in, until it was run. Raises Overloaded when it cannot speak one more."""
        if not self.slots.capacity.enter():
            raise Overloaded("As many replies are spoken as can be.", service="tts", retry_after_ms=1000)

    def reply(self, manner: Manner, lane: Lane, audience: Audience) -> Reply:
        """A reply to be run in a task of the caller; one with a listener was admitted."""
        return Reply(manner, lane, self.slots, self.voices.speakers, self._settings, audience)

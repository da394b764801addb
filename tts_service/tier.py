"""One engine of the service with its slots and voices: loaded once, asked whether it can, and then for replies.

A default voice that cannot speak is told by the tier's state, and fails those who ask for no voice, nobody else: it may
have been deleted by hand, and comes back with an upload.
"""

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
        self._engine_state = "The speech engine is loading."
        self._unprepared: tuple[str, str] | None = None  # the revision of a default voice, and why it is not prepared

    @property
    def state(self) -> str:
        """`ready`, or what is missing: the engine, or its default voice."""
        return self._engine_state if self._engine_state != READY else self._default_fault() or READY

    async def load(self) -> None:
        """Start the engine; a failure is told by `state` and does not end the service."""
        await self.voices.load()
        fields: dict[str, Any] = {"engine": self.engine.name, "tier": self.name}
        try:
            await self.slots.open()
        except EngineFailed as failure:
            log.error("the engine does not start", extra=fields)  # noqa: TRY400
            self._engine_state = failure.message
            return
        await self._prepare_default()
        if self._default_fault():
            log.error("the default voice cannot speak", extra={**fields, "setting": self._default_setting})
        self._engine_state = READY
        log.info("ready", extra=fields)

    def fail(self, message: str) -> None:
        """Speak never, and say why: for what `load` did not foresee."""
        self._engine_state = message

    async def _prepare_default(self) -> None:
        """Have the default voice at hand before the first reply, if it can speak."""
        if self._default_voice is None or self._default_fault():
            return
        reference = self.voices.resolve(self._default_voice).reference
        if reference is None:
            return
        try:
            async with self.slots.slot(Urgency.FIRST) as slot:
                await self.voices.speakers.of(reference, slot)
        except ParleyError as failure:
            self._unprepared = (reference.revision, failure.message)

    def _default_fault(self) -> str | None:
        """Why the default voice cannot speak now; a reply that is spoken by it mends a preparation that failed."""
        if self._default_voice is None:
            return None
        told = f"{self._default_setting} cannot speak:"
        try:
            reference = self.voices.resolve(self._default_voice).reference
        except ParleyError as failure:
            return f"{told} {failure.message}"
        if reference is None or self._unprepared is None or reference.revision in self.voices.speakers.in_memory():
            return None
        revision, why = self._unprepared
        return f"{told} {why}" if revision == reference.revision else None

    async def close(self) -> None:
        """End the engine's slots, within the grace."""
        with anyio.move_on_after(self._settings.shutdown_grace_s, shield=True):
            await self.slots.close()

    def check_ready(self) -> None:
        """Raises ServiceUnavailable until the engine can speak."""
        if self._engine_state != READY:
            raise ServiceUnavailable(self._engine_state, service="tts", retry_after_ms=1000)

    def manner(self, language: str, voice: str | None, speed: float, instruction: str | None) -> Manner:
        """How to speak. Raises InvalidMessage when there is no such voice, Unsupported when the engine cannot do it,
        ServiceUnavailable when no voice is asked for and the default one is missing."""
        if instruction and not self.engine.capabilities.has_instruction:
            raise Unsupported("The speech engine takes no instructions.", service="tts", param="instruction")
        chosen = self._default(language) if voice is None else self.voices.resolve(voice, language)
        return Manner(language, chosen.voice, speed, instruction, chosen.reference, self.name)

    def _default(self, language: str) -> Chosen:
        if self._default_voice is None:
            return Chosen()
        try:
            return self.voices.resolve(self._default_voice, language)
        except ParleyError as failure:
            told = f"{self._default_setting} cannot speak: {failure.message}"
            raise ServiceUnavailable(told, service="tts", retry_after_ms=1000) from None

    def admit(self) -> None:
        """Count a reply with a listener in, until it was run. Raises Overloaded when it cannot speak one more."""
        if not self.slots.capacity.enter():
            raise Overloaded("As many replies are spoken as can be.", service="tts", retry_after_ms=1000)

    def reply(self, manner: Manner, lane: Lane, audience: Audience) -> Reply:
        """A reply to be run in a task of the caller; one with a listener was admitted."""
        return Reply(manner, lane, self.slots, self.voices.speakers, self._settings, audience)

"""The service behind its routes: one engine, loaded while /health answers already, its slots, and who may come in."""

import logging

import anyio

from shared.errors import EngineFailed, InvalidMessage, ServiceUnavailable, Unsupported
from shared.health import READY
from tts_service.admission import Admission
from tts_service.engines.base import Engine
from tts_service.outbox import Lane
from tts_service.reply import Manner, Reply
from tts_service.settings import TtsSettings
from tts_service.slots import Slots
from tts_service.speakers import Speakers

log = logging.getLogger(__name__)


class Synthesiser:
    """Makes replies that are spoken by one engine."""

    def __init__(self, settings: TtsSettings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.admission = Admission(settings.max_streams)
        self.slots = Slots(engine, settings.slots, settings.max_streams * settings.max_replies_per_stream)
        self.speakers = Speakers()
        self._state = "The speech engine is loading."

    async def load(self) -> None:
        """Start the engine; a failure is told by `state` and does not end the service."""
        try:
            await self.slots.open()
        except EngineFailed as failure:
            log.error("the engine does not start", extra={"engine": self.engine.name})  # noqa: TRY400
            self._state = failure.message
            return
        voice = self.settings.default_voice
        if voice is not None and not self.engine.has_voice(voice):
            log.error("TTS_DEFAULT_VOICE names no voice", extra={"voice": voice})
            self._state = "TTS_DEFAULT_VOICE names no voice of the engine."
            return
        self._state = READY
        log.info("ready", extra={"engine": self.engine.name, "slots": self.settings.slots})

    async def close(self) -> None:
        """End the engine's slots, within the grace."""
        with anyio.move_on_after(self.settings.shutdown_grace_s, shield=True):
            await self.slots.close()

    async def state(self) -> str:
        """`ready`, or what is missing."""
        return self._state

    def check_ready(self) -> None:
        """Raises ServiceUnavailable until the engine can speak."""
        if self._state != READY:
            raise ServiceUnavailable(self._state, service="tts", retry_after_ms=1000)

    def manner(self, *, language: str, voice: str | None, speed: float, instruction: str | None = None) -> Manner:
        """How to speak what a client asked for. Raises InvalidMessage when there is no such voice."""
        if instruction and not self.engine.capabilities.has_instruction:
            raise Unsupported("The speech engine takes no instructions.", service="tts", param="instruction")
        if voice is not None and not self.engine.has_voice(voice):
            raise InvalidMessage(f"There is no voice called {voice!r}.", service="tts", param="voice")
        return Manner(language, voice or self.settings.default_voice, speed, instruction)

    def reply(self, manner: Manner, lane: Lane) -> Reply:
        """A reply to be run in a task of the caller."""
        return Reply(manner, lane, self.slots, self.speakers, self.settings)

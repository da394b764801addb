"""The service behind its routes: who may come in, and which of its engines speaks: the fast one, or a finer one."""

import logging

import anyio
from anyio import CapacityLimiter

from shared.errors import Unsupported
from tts_service.admission import Admission
from tts_service.encoders import ENCODED_AT_ONCE
from tts_service.engines.base import Engine
from tts_service.hq_store import HqStore
from tts_service.outbox import Lane
from tts_service.reply import Audience, Manner, Reply, TierName
from tts_service.rerenders import Rerenders
from tts_service.settings import TtsSettings
from tts_service.tier import Tier
from tts_service.tiered_voices import HqVoices, TieredVoices

log = logging.getLogger(__name__)


class Synthesiser:
    """Makes replies. What is said of its engine without more is the fast tier's."""

    def __init__(self, settings: TtsSettings, engine: Engine, hq_engine: Engine | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self.admission = Admission(settings.max_streams)
        self.codecs = CapacityLimiter(ENCODED_AT_ONCE)  # the threads that encode what is sent
        self.voices = TieredVoices(settings, engine)
        self.speakers = self.voices.speakers
        self._fast = Tier("fast", settings, engine, settings.slots, self.voices)
        self._renderings = HqStore(settings.hq_dir, settings.hq_bytes)
        self._hq: Tier | None = None
        self._rerenders: Rerenders | None = None
        if hq_engine is not None:
            hq_voices = HqVoices(settings, hq_engine, self.voices)
            self._hq = Tier("hq", settings, hq_engine, settings.hq_slots, hq_voices)
            self._rerenders = Rerenders(self._hq, settings.hq_slots, self._renderings, settings.hq_waiting)
            self.voices.also_forget.append(self._rerenders.forget)
        else:  # what an engine made at another time goes with its voice too
            self.voices.also_forget.append(self._renderings.forget)

    async def run(self) -> None:
        """Start the engines, and then work in the background until this is cancelled.

        A failure of an engine is told by the state of its tier and does not end the service.
        """
        await self._start(self._fast)
        if not self.voices.is_loaded:  # then nobody knows whose the renderings are
            if self._hq:
                self._hq.fail(self._fast.state)
            return
        await self._renderings.load(self._known_revisions)
        if self._hq and self._rerenders:
            await self._start(self._hq)
            await self._rerenders.run()

    async def _start(self, tier: Tier) -> None:
        try:
            await tier.load()
        except Exception as fault:  # an engine may raise anything, and the other tier must go on
            log.error("a tier does not start", exc_info=fault, extra={"tier": tier.name})  # noqa: TRY400
            tier.fail("The speech engine did not start, by a fault that the log tells.")

    def _known_revisions(self) -> list[str]:
        return [voice.reference.revision for voice in self.voices.brought() if voice.reference]

    async def close(self) -> None:
        """End the engines' slots, within the grace, also of who is cancelled; what else ends the caller goes on."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._fast.close)
                if self._hq:
                    tasks.start_soon(self._hq.close)

    async def state(self) -> str:
        """`ready`, or what is missing. Without the finer engine the service speaks all the same."""
        return self._fast.state

    def check_ready(self) -> None:
        """Raises ServiceUnavailable until the engine can speak."""
        self._fast.check_ready()

    def tier(self, name: TierName) -> Tier:
        """What speaks in a tier. Raises Unsupported when there is none."""
        if name == "fast":
            return self._fast
        if self._hq is None:
            raise Unsupported("There is no engine for hq speech; TTS_HQ_ENGINE names one.", service="tts", param="tier")
        return self._hq

    def rerenders(self) -> Rerenders:
        """What is spoken again by the finer engine. Raises Unsupported when there is none."""
        self.tier("hq")
        assert self._rerenders
        return self._rerenders

    def manner(
        self, *, language: str, voice: str | None, speed: float, instruction: str | None = None, tier: TierName = "fast"
    ) -> Manner:
        """How to speak what a client asked for.

        Raises InvalidMessage when there is no such voice, Unsupported when the engine cannot do it or there is no such
        tier, ServiceUnavailable when the tier's engine does not speak yet.
        """
        found = self.tier(tier)
        found.check_ready()
        return found.manner(language, voice, speed, instruction)

    def admit(self, manner: Manner) -> None:
        """Count a reply with a listener in, until it was run. Raises Overloaded when it cannot be spoken too."""
        self.tier(manner.tier).admit()

    def reply(self, manner: Manner, lane: Lane, audience: Audience = Audience.FILE) -> Reply:
        """A reply to be run in a task of the caller; one with a listener is admitted first."""
        return self.tier(manner.tier).reply(manner, lane, audience)

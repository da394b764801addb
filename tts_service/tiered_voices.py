"""The voices of a service with two engines: what people bring, and take away, is brought and gone for both."""

from collections.abc import Awaitable, Callable

from tts_service.engines.base import Engine
from tts_service.known_voices import KnownVoices
from tts_service.settings import TtsSettings


class TieredVoices(KnownVoices):
    """Those of the first engine. `also_forget` are told the revision of a recording that was deleted; `hq` are those
    of the second one, where there is one, which may speak like a recording when the first does not."""

    def __init__(self, settings: TtsSettings, engine: Engine) -> None:
        super().__init__(settings, engine)
        self.also_forget: list[Callable[[str], Awaitable[None]]] = []
        self.hq: KnownVoices | None = None

    @property
    def may_be_brought(self) -> bool:
        return super().may_be_brought or (self.hq is not None and self.hq.may_be_brought)

    async def delete(self, voice_id: str) -> None:
        """Raises as KnownVoices does."""
        voice = self.find(voice_id)
        await super().delete(voice_id)
        if voice is not None and voice.reference is not None:
            for forget in self.also_forget:
                await forget(voice.reference.revision)


class HqVoices(KnownVoices):
    """The same recordings for the second engine, and its own voices."""

    def __init__(self, settings: TtsSettings, engine: Engine, first: TieredVoices) -> None:
        super().__init__(settings, engine)
        self.own, self.folder = first.own, first.folder
        first.also_forget.append(self.speakers.forget)
        first.hq = self

    async def load(self) -> None:
        """Nothing: the first has read the folders."""
        self.is_loaded = True

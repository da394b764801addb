"""The voices of a service with two engines: what people bring, and take away, is brought and gone for both."""

from collections.abc import Iterator

from tts_service.engines.base import Engine
from tts_service.known_voices import Forget, KnownVoices
from tts_service.settings import TtsSettings


class TieredVoices(KnownVoices):
    """Those of the first engine. `also_forget` are told the revision of a recording that was deleted; `hq` are those
    of the second one, where there is one, which may speak like a recording when the first does not."""

    def __init__(self, settings: TtsSettings, engine: Engine) -> None:
        super().__init__(settings, engine)
        self.also_forget: list[Forget] = []
        self.hq: KnownVoices | None = None

    @property
    def may_be_brought(self) -> bool:
        return super().may_be_brought or (self.hq is not None and self.hq.may_be_brought)

    def words(self) -> Iterator[str]:
        """Whatever a voice of either engine is called."""
        yield from super().words()
        for voice in self.hq.of_engine() if self.hq is not None else ():
            yield from (voice.id, voice.name)

    def check_may_go(self, voice_id: str) -> None:
        """Raises as KnownVoices does, for the defaults of both engines."""
        super().check_may_go(voice_id)
        if self.hq is not None:
            self.hq.check_may_go(voice_id)

    def forgetters(self) -> list[Forget]:
        return [*super().forgetters(), *self.also_forget]


class HqVoices(KnownVoices):
    """The same recordings for the second engine, and its own voices."""

    def __init__(self, settings: TtsSettings, engine: Engine, first: TieredVoices) -> None:
        super().__init__(settings, engine)
        self.own, self.folder = first.own, first.folder
        self._default, self._default_setting = settings.hq_default_voice, "TTS_HQ_DEFAULT_VOICE"
        first.also_forget.append(self.speakers.forget)
        first.hq = self

    async def load(self) -> None:
        """Nothing: the first has read the folders."""
        self.is_loaded = True

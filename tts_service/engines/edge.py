"""The voices of the browser Edge: a service of Microsoft's that the package `edge-tts` asks as the browser would.

The text of every reply leaves the house, to a service that was made for something else and promises nothing; so this
engine runs only when `TTS_EDGE_ALLOW` says that this is wanted. Its package takes a proxy from the environment. It
streams MP3, which is decoded as it comes. It speaks from half as fast to twice as fast as usual, and never beyond.
"""

import logging
import re
from collections.abc import AsyncGenerator, Generator
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from shared.errors import EngineFailed
from shared.threads import StopToken
from tts_service.engines.adapters import library
from tts_service.engines.base import Capabilities, ClonesNothing, ClosesNothing, SynthesisRequest, Voice
from tts_service.engines.bounds import longest_s
from tts_service.engines.mp3_stream import Mp3Stream, NoMp3
from tts_service.engines.own_loop import OwnLoop
from tts_service.settings import TtsSettings

SAMPLE_RATE: Final = 24_000
MAX_CHARS: Final = 1_000
SLOWEST, FASTEST = 0.5, 2.0
CLOSE_LIMIT_S: Final = 1.0
VOICES: Final = (  # the first of a language is its usual one
    "en-US-AriaNeural", "en-US-GuyNeural", "en-GB-SoniaNeural", "zh-CN-XiaoxiaoNeural", "zh-CN-YunxiNeural",
    "zh-TW-HsiaoChenNeural", "ko-KR-SunHiNeural", "ko-KR-InJoonNeural", "ja-JP-NanamiNeural", "ja-JP-KeitaNeural",
    "de-DE-KatjaNeural", "fr-FR-DeniseNeural", "es-ES-ElviraNeural", "it-IT-ElsaNeural", "pt-BR-FranciscaNeural",
    "ru-RU-SvetlanaNeural",
)  # fmt: skip
NAME: Final = re.compile(r"[a-z]{2,3}-[A-Z]{2,4}(-[A-Za-z]+)?-[A-Za-z]+Neural")
log = logging.getLogger(__name__)


class EdgeSlot(ClonesNothing):
    """One request at a time, each over a connection of its own."""

    def __init__(self, package: Any, first_s: float, between_s: float) -> None:
        self._package = package
        self._first_s = first_s
        self._between_s = between_s
        self._loop = OwnLoop()

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks as they come. A stop closes the connection, also while the service is silent."""
        if stop.is_stopped():
            return
        rate = round((min(FASTEST, max(SLOWEST, request.speed)) - 1) * 100)
        voice = request.voice or usual_voice(request.language)
        answer = Answer(
            self._package.Communicate(request.text, voice, rate=f"{rate:+d}%").stream(),
            self._first_s,
            self._between_s,
            longest_s(request.text, request.speed),
        )
        try:
            while block := self._loop.run(answer.next, stop=stop):
                yield block
        finally:
            self._loop.finish(answer.close)

    def close(self) -> None:
        self._loop.close(checkpoint)


class Answer:
    """What the service says to one request; `next` is called until it is empty, and `close` last in any case."""

    def __init__(
        self, chunks: AsyncGenerator[dict[str, Any], None], first_s: float, between_s: float, longest_s: float
    ) -> None:
        self._chunks = chunks
        self._limit_s, self._between_s = first_s, between_s
        self._mp3 = Mp3Stream(SAMPLE_RATE)
        self._left_bytes = round(SAMPLE_RATE * longest_s) * 2
        self._has_begun = False
        self._has_ended = False

    async def next(self) -> bytes:
        """The next block; b"" at the end. Raises EngineFailed. A cancel loses the answer."""
        try:
            with anyio.fail_after(self._limit_s):
                block = await self._read_block()
        except TimeoutError:
            raise _failed("The speech service of Edge is silent for too long.") from None
        except NoMp3:
            raise _failed("The speech service of Edge sent something that is no MP3.") from None
        except EngineFailed:
            raise
        except Exception:  # what the package and its libraries raise quotes the address, and some of it the text
            raise _failed("The speech service of Edge failed, or cannot be reached.") from None
        if not block and not self._has_begun:
            raise _failed("The speech service of Edge sent no sound.")
        self._has_begun, self._limit_s = True, self._between_s
        self._left_bytes -= len(block)
        if self._left_bytes < 0:
            raise _failed("The speech service of Edge speaks for longer than the text can be.")
        return block

    async def close(self) -> None:
        """Leave the answer, wherever it is."""
        with anyio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await self._chunks.aclose()

    async def _read_block(self) -> bytes:
        while not self._has_ended:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._has_ended = True
                return self._mp3.finish()
            if chunk["type"] == "audio" and (block := self._mp3.accept(chunk["data"])):
                return block
        return b""


class EdgeEngine(ClosesNothing):
    """Slots that ask the service."""

    name = "edge"
    sample_rate = SAMPLE_RATE

    def __init__(self, settings: TtsSettings) -> None:
        self._limits = settings.upstream_first_byte_s, settings.upstream_between_bytes_s
        self._package: Any = None
        self.capabilities = Capabilities(
            languages=tuple(dict.fromkeys(voice.partition("-")[0] for voice in VOICES)),
            voices=tuple(Voice(voice, language_of(voice)) for voice in VOICES),
            max_chars=MAX_CHARS,
            streaming="chunk",
            reads_numbers=True,
        )

    def start(self) -> None:
        """Raises EngineFailed."""
        self._package = library("edge_tts", "The engine edge")
        log.warning("the text of every reply is sent to the speech service of Microsoft Edge")

    def has_voice(self, name: str) -> bool:
        """The service has some hundred more than are listed, in many languages."""
        return NAME.fullmatch(name) is not None

    def open_slot(self) -> EdgeSlot:
        return EdgeSlot(self._package, *self._limits)


def load(settings: TtsSettings) -> EdgeEngine:
    """The engine, not started. Raises EngineFailed when nobody said that text may leave the house."""
    if not settings.edge_allow:
        raise EngineFailed(
            "The engine edge sends the text of every reply to Microsoft; it runs when TTS_EDGE_ALLOW is true.",
            service="tts",
        )
    return EdgeEngine(settings)


def language_of(voice: str) -> str:
    """`en-us` of `en-US-AriaNeural`."""
    return "-".join(voice.split("-")[:2]).lower()


def usual_voice(language: str) -> str:
    """The voice of a language: of its region, else of any region; else the first of all."""
    wanted = language.lower().replace("_", "-")
    same = [voice for voice in VOICES if language_of(voice) == wanted]
    akin = [voice for voice in VOICES if voice.partition("-")[0] == wanted.partition("-")[0]]
    return (same or akin or VOICES)[0]


def _failed(message: str) -> EngineFailed:
    return EngineFailed(message, service="tts")

"""Speech that a server elsewhere makes: any that answers as OpenAI's `/audio/speech` does.

Its voices cannot be asked for in one way that all servers know, so the settings tell them; which languages it speaks
it finds out itself, and those that such servers usually speak are assumed. A voice of one's own is sent along with each
segment where the settings say that the server speaks like a recording. How the server streams is not believed but
measured: the first answer of each slot is told to the log, its first sound beside its end.
"""

import base64
import logging
from collections.abc import Generator
from typing import Any, Final
from urllib.parse import urlsplit

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, ClosesNothing, Reference, Speaker, SynthesisRequest, Voice
from tts_service.engines.bounds import longest_s
from tts_service.engines.own_loop import OwnLoop
from tts_service.engines.packed_voice import packed, unpacked
from tts_service.engines.speech_http import Answer, Limits, SpeechServer, check_key
from tts_service.settings import TtsSettings

LANGUAGES: Final = ("en", "zh", "yue", "ko", "ja", "de", "fr", "es", "it", "pt", "ru", "ar", "hi", "nl", "pl", "tr")
MAX_CHARS: Final = 4_096
REFERENCE_LIMIT_BYTES: Final = 4 * 1024 * 1024  # 30 s have less
PACKED: Final = "1"  # how a recording and its text are packed
log = logging.getLogger(__name__)


class UpstreamSlot:
    """One request at a time, over a connection that is kept."""

    def __init__(self, server: SpeechServer, settings: TtsSettings) -> None:
        self._server = server
        self._settings = settings
        self._loop = OwnLoop()
        self._client = server.client()
        self._is_measured = False

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        """Blocks as the server sends them. A stop closes the connection, also while the server is silent."""
        if stop.is_stopped():
            return
        longest = longest_s(request.text, request.speed)
        answer = Answer(self._client, self._server, self._body(request), longest)
        try:
            while block := self._loop.run(answer.next, stop=stop):
                yield block
            if not stop.is_stopped():
                self._measure(answer)
        finally:
            self._loop.finish(answer.close)

    def prepare(self, reference: Reference) -> bytes:
        """The recording and what is said in it."""
        if not self._settings.upstream_clones:
            raise Unsupported("The speech server has no voices but its own.", service="tts", param="voice")
        with reference.path.open("rb") as file:
            recording = file.read(REFERENCE_LIMIT_BYTES + 1)
        if len(recording) > REFERENCE_LIMIT_BYTES:
            raise EngineFailed("The recording of the voice is too large to be sent.", service="tts")
        return packed(recording, reference.transcript)

    def close(self) -> None:
        self._loop.close(self._client.aclose)

    def _body(self, request: SynthesisRequest) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": settings.upstream_model,
            "input": request.text,
            "response_format": settings.upstream_format,
        }
        voice = request.voice or settings.upstream_voice
        if request.speaker is not None:
            body |= _as_speaker(request.speaker)
        elif voice:
            body["voice"] = voice
        if settings.upstream_speed and request.speed != 1.0:
            body["speed"] = request.speed
        if settings.upstream_language:
            body["language"] = request.language
        if settings.upstream_instructions and request.instruction:
            body["instructions"] = request.instruction
        return body

    def _measure(self, answer: Answer) -> None:
        if not self._is_measured:
            self._is_measured = True
            times_ms = {"first_ms": round(answer.first_s * 1000), "whole_ms": round(answer.took_s * 1000)}
            log.info("the upstream's first answer", extra=times_ms)


class UpstreamEngine(ClosesNothing):
    """Slots that ask one server."""

    name = "openai"

    def __init__(self, settings: TtsSettings) -> None:
        self._settings = settings
        self._server: SpeechServer | None = None
        self.sample_rate = settings.upstream_rate
        voices = [
            name for told in (settings.upstream_voice, *settings.upstream_voices.split(",")) if (name := told.strip())
        ]
        self.capabilities = Capabilities(
            LANGUAGES,
            tuple(Voice(name, "") for name in dict.fromkeys(voices)),
            MAX_CHARS,
            "chunk",
            can_clone=settings.upstream_clones,
            has_speed=settings.upstream_speed,
            has_instruction=settings.upstream_instructions,
            version=PACKED,
        )

    def start(self) -> None:
        """Raises EngineFailed when the settings or the server's refusal of the key leave no hope.

        A server that cannot be reached now may be reached later, and is asked for each segment anew.
        """
        settings, base = self._settings, address(self._settings.upstream_base)
        key = settings.upstream_key.get_secret_value()
        if not all("!" <= sign <= "~" for sign in key):  # a header takes no others, and says which it did not take
            raise EngineFailed("TTS_UPSTREAM_KEY has spaces or signs beyond ASCII.", service="tts")
        limits = Limits(settings.upstream_connect_s, settings.upstream_first_byte_s, settings.upstream_between_bytes_s)
        is_wav = settings.upstream_format == "wav"
        server = SpeechServer(f"{base}/audio/speech", limits, settings.upstream_rate, is_wav, key)
        check_key(server, f"{base}/models")
        self._server = server

    def has_voice(self, name: str) -> bool:
        return any(voice.name == name for voice in self.capabilities.voices)

    def open_slot(self) -> UpstreamSlot:
        assert self._server is not None, "it has been started"
        return UpstreamSlot(self._server, self._settings)


def load(settings: TtsSettings) -> UpstreamEngine:
    return UpstreamEngine(settings)


def address(url: str) -> str:
    """The base of the paths, `/v1` added to a server alone. Raises EngineFailed, which does not repeat it."""
    try:
        parts = urlsplit(url.strip())
        is_plain = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_plain = is_plain and not ("@" in parts.netloc or parts.query or parts.fragment)
    except ValueError:
        is_plain = False
    if not is_plain:
        raise EngineFailed(
            "TTS_UPSTREAM_BASE must be an address such as http://127.0.0.1:9000/v1; a key has its own setting.",
            service="tts",
        )
    base = url.strip().rstrip("/")
    return base if parts.path.strip("/") else f"{base}/v1"


def _as_speaker(speaker: Speaker) -> dict[str, str]:
    recording, transcript = unpacked(speaker.prepared)
    fields = {"ref_audio": f"data:audio/wav;base64,{base64.b64encode(recording).decode()}"}
    return fields | ({"ref_text": transcript} if transcript else {})

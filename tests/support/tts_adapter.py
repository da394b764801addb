"""An adapter for hosted.py that needs no library: it hums, and does on demand what a model would do by accident.

A text of `#word` is an order: see `Hum.synthesise`. Any other is hummed, two blocks a character.
"""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Generator, Mapping

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, Reference, SynthesisRequest, Voice

SAMPLE_RATE = 16_000
BLOCK = b"\x10\x27\xf0\xd8" * 160  # 20 ms of 8 kHz
PREPARED_BYTES = 300_000  # more than a pipe holds


class Hum:
    """Engine and slot in one."""

    name = "hum"
    sample_rate = SAMPLE_RATE
    capabilities = Capabilities(("en",), (Voice("low", "en", "A hum"),), 1_000, "chunk", can_clone=True, version="7")

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._requests = 0

    def start(self) -> None:
        match self._options.get("start"):
            case "refuse":
                raise EngineFailed("There is no hum here.", service="tts")
            case "raise":
                raise ValueError("a secret text")
            case "exit":
                os._exit(3)
            case "hang":
                threading.Event().wait()

    def has_voice(self, name: str) -> bool:
        return name == "low"

    def open_slot(self) -> "Hum":
        return self

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        self._requests += 1
        match request.text:
            case "#requests":
                yield str(self._requests).encode()
            case "#arguments":
                speaker = request.speaker
                told = (request.language, request.voice, request.speed, request.instruction)
                yield repr((*told, speaker and (speaker.revision, len(speaker.prepared)))).encode()
            case "#environment":
                yield f"{os.environ.get('HF_HUB_OFFLINE')} {self._options['say']}".encode()
            case "#chatter":
                self._chatter()
                yield BLOCK
            case "#refuse":
                raise Unsupported("This hum has no such voice.", service="tts", param="voice")
            case "#raise":
                yield BLOCK
                raise ValueError("a secret text")
            case "#exit":
                yield BLOCK
                os._exit(3)
            case "#deaf":
                yield BLOCK
                threading.Event().wait()
            case "#sulk":
                yield BLOCK
                while not stop.is_stopped():
                    threading.Event().wait(0.01)
                raise EngineFailed("This hum was in the middle of it.", service="tts")
            case "#long":
                yield BLOCK * 1_000
                yield b""
                yield BLOCK
            case text:
                yield from self._hum(len(text), stop)

    def prepare(self, reference: Reference) -> bytes:
        if not reference.transcript:
            raise Unsupported("This hum must know what is said.", service="tts", param="voice")
        return reference.path.read_bytes()[:1] * PREPARED_BYTES

    def close(self) -> None:
        """Nothing is held."""

    def _hum(self, chars: int, stop: StopToken) -> Generator[bytes, None, None]:
        for _ in range(2 * chars):
            if stop.is_stopped():
                return
            yield BLOCK

    def _chatter(self) -> None:
        print("a secret text", flush=True)
        print("a secret text", flush=True, file=sys.stderr)
        logging.getLogger("library").error("a secret text")
        warnings.warn("a secret text", stacklevel=1)
        thread = threading.Thread(target=lambda: [][1])
        thread.start()
        thread.join()


def open(options: Mapping[str, str]) -> Hum:  # noqa: A001 (the name that every adapter has)
    return Hum(options)

"""A request to a server that speaks as OpenAI's `/audio/speech` does, and its answer, read block by block as it comes.

A server is asked a second time only after a kept connection that had ended before one byte came. What it answers is
believed as far as it is sound: a page, an error in JSON or a compressed file is a failure and no noise; so is more of
it than the text can be, a pause that is too long, and an end before the end. Nothing of an answer is ever told to
anybody but its status, because some servers repeat the key or the text in their errors. Redirects are not followed and
no proxy is taken from the environment, so text goes where the operator sends it and nowhere else.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx

from shared.clock import now_s
from shared.errors import EngineFailed
from tts_service.engines.wav_head import NoWav, WavHead

BLOCK_MS: Final = 20  # an answer must bring so much within each of its limits, so drops of it keep nobody waiting
CLOSE_LIMIT_S: Final = 1.0
LONGEST_RETRY_S: Final = 60
COMPRESSED: Final = frozenset({"aac", "flac", "mp4", "mpeg", "mp3", "ogg", "opus", "webm", "x-flac"})
TEXT: Final = frozenset(b"\t\r\n" + bytes(range(0x20, 0x7F)))
SAMPLED_BYTES: Final = 32  # at the beginning of speech there is silence, which is no text
KEY_REFUSED: Final = frozenset({401, 403})
BUSY: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a server may take: to be connected to, to its first sound, and from each sound to the next; seconds."""

    connect_s: float
    first_s: float
    between_s: float


@dataclass(frozen=True, slots=True)
class SpeechServer:
    """Where speech comes from: the address of a path, a key that may be empty, and what its sound is."""

    address: str
    limits: Limits
    sample_rate: int
    is_wav: bool
    key: str = field(default="", repr=False)

    def client(self) -> httpx.AsyncClient:
        """A client for one event loop."""
        return httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {}),
            timeout=httpx.Timeout(None, connect=self.limits.connect_s),
            follow_redirects=False,
            trust_env=False,
        )


class Answer:
    """What a server says to one request; `next` is called until it is empty, and `close` last in any case."""

    def __init__(
        self, client: httpx.AsyncClient, server: SpeechServer, body: Mapping[str, Any], longest_s: float
    ) -> None:
        self._client = client
        self._server = server
        self._body = body
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] = _none()
        self._wav = WavHead(server.sample_rate) if server.is_wav else None
        self._held = bytearray()
        self._block_bytes = server.sample_rate * BLOCK_MS // 1000 * 2
        self._left_bytes = round(server.sample_rate * longest_s) * 2
        self._has_begun = False
        self._began_s = 0.0
        self.first_s = 0.0  # from the request to the first sound, once that is there
        self.took_s = 0.0  # to the last block that came

    async def next(self) -> bytes:
        """The next block, whole samples; b"" at the end. Raises EngineFailed. A cancel loses the answer."""
        limits = self._server.limits
        self._began_s = self._began_s or now_s()
        try:
            with anyio.fail_after(limits.between_s if self._has_begun else limits.first_s):
                if self._response is None:
                    await self._open()
                block = await self._read_block()
        except TimeoutError:
            raise _failed("The speech server is silent for too long.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise _failed("The speech server cannot be reached.") from None
        except httpx.HTTPError:
            raise _failed("The speech server ended its answer before the end.") from None
        self.took_s = now_s() - self._began_s
        if not self._has_begun:
            if not block:
                raise _failed("The speech server sent no sound.")
            self._has_begun = True
            self.first_s = self.took_s
        return block

    async def close(self) -> None:
        """Leave the answer, wherever it is; a connection that is not at its end is closed."""
        if self._response is not None:
            with anyio.move_on_after(CLOSE_LIMIT_S, shield=True):
                await self._response.aclose()

    async def _open(self) -> None:
        request = self._client.build_request("POST", self._server.address, json=self._body)
        try:
            self._response = await self._client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            self._response = await self._client.send(request, stream=True)  # a kept connection had been closed
        _check(self._response)
        self._check_kind(self._response)
        self._pieces = self._response.aiter_raw()

    def _check_kind(self, response: httpx.Response) -> None:
        """Raises EngineFailed when the answer says that it is something else than this sound."""
        kind, _, form = response.headers.get("content-type", "").partition(";")[0].strip().lower().partition("/")
        is_raw = f"{kind}/{form}" in ("/", "application/octet-stream")
        is_plain = response.headers.get("content-encoding", "identity") == "identity"
        if not is_plain or not (is_raw or (kind == "audio" and form not in COMPRESSED)):
            raise _failed("The speech server sent something that is not the sound that was asked for.")

    async def _read_block(self) -> bytes:
        while len(self._held) < self._block_bytes:
            piece = await anext(self._pieces, None)
            if piece is None:
                return self._rest()
            sound = self._unpacked(piece)
            self._left_bytes -= len(sound)
            if self._left_bytes < 0:
                raise _failed("The speech server speaks for longer than the text can be.")
            self._held += sound
        return self._taken()

    def _unpacked(self, piece: bytes) -> bytes:
        if self._wav is None:
            if not self._has_begun and not self._held:
                _check_raw(piece)
            return piece
        try:
            return self._wav.accept(piece)
        except NoWav as found:
            raise _failed(f"The speech server sends {found}: see TTS_UPSTREAM_FORMAT and _RATE.") from None

    def _rest(self) -> bytes:
        """What is left at the end; half a sample is none."""
        if self._wav is not None and self._wav.is_cut:
            raise _failed("The speech server ended its answer before the end.")
        return self._taken()

    def _taken(self) -> bytes:
        whole = len(self._held) - len(self._held) % 2
        block = bytes(self._held[:whole])
        del self._held[:whole]
        return block


def check_key(server: SpeechServer, models: str) -> None:
    """Raises EngineFailed when the server refuses the key; whatever else there is will be seen later."""
    try:
        with httpx.Client(timeout=server.limits.connect_s, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
            with client.stream("GET", models, headers=headers) as response:
                status = response.status_code
    except httpx.HTTPError:
        return
    if status in KEY_REFUSED:
        raise _failed("The speech server refuses the key of TTS_UPSTREAM_KEY.")


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status in KEY_REFUSED:
        raise _failed("The speech server refuses the key of TTS_UPSTREAM_KEY.")
    if status in BUSY:
        told = response.headers.get("retry-after", "")
        wait_s = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else 1
        wait_ms = min(wait_s, LONGEST_RETRY_S) * 1000
        raise EngineFailed("The speech server has no room for more.", service="tts", retry_after_ms=wait_ms)
    if status != httpx.codes.OK:
        raise _failed(f"The speech server answered {status}.")


def _check_raw(first: bytes) -> None:
    """Raises EngineFailed when the first bytes are no sound: a page, a sentence, the head of a file."""
    if first.startswith(b"RIFF"):
        raise _failed("The speech server sends WAV: TTS_UPSTREAM_FORMAT must be wav.")
    if len(first) >= SAMPLED_BYTES and all(byte in TEXT for byte in first[:SAMPLED_BYTES]):
        raise _failed("The speech server sent something that is not the sound that was asked for.")


async def _none() -> AsyncIterator[bytes]:
    return
    yield b""


def _failed(message: str) -> EngineFailed:
    return EngineFailed(message, service="tts")

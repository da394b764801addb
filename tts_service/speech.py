"""`POST /v1/audio/speech`, in the form of OpenAI: a reply whose text is complete, streamed from its first sound.

An error before the first sound is an HTTP error; one after it cuts the body short, so that no client takes a part for
the whole.
"""

import struct
from typing import Final, Literal

import anyio
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from shared.errors import EngineFailed, Unsupported
from shared.wire.tts import SPEECH_RATE, TtsError
from tts_service.outbox import Outbox
from tts_service.reply import Manner
from tts_service.synthesiser import Synthesiser

INPUT_LIMIT_CHARS: Final = 4_096
UNKNOWN_LENGTH: Final = 0xFFFFFFFF  # of a WAV whose end nobody knows yet


class SpeechRequest(BaseModel):
    """OpenAI's fields, and `language`. Unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    model: str = Field("tts-1", max_length=128, description="Any name; the service speaks with the engine it has.")
    input: str = Field(min_length=1, max_length=INPUT_LIMIT_CHARS, description="What is said.")
    voice: str | None = Field(None, max_length=128, description="A voice of GET /v1/voices.")
    response_format: Literal["wav", "pcm", "mp3", "opus", "aac", "flac"] = Field(
        "wav", description=f"`wav`, or `pcm`: PCM16 mono at {SPEECH_RATE} Hz without a header."
    )
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    language: str = Field("en", max_length=16, description="BCP 47; what text in no script of its own is read as.")


def speech_routes(synthesiser: Synthesiser) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/audio/speech", response_class=Response)
    async def speech(request: SpeechRequest) -> Response:
        synthesiser.check_ready()
        if request.response_format not in ("wav", "pcm"):
            raise Unsupported(
                f"Speech comes as wav or pcm, not as {request.response_format}.", service="tts", param="response_format"
            )
        if request.stream_format != "audio":
            raise Unsupported("Speech is streamed as audio.", service="tts", param="stream_format")
        manner = synthesiser.manner(language=request.language, voice=request.voice, speed=request.speed)
        return SpokenResponse(synthesiser, manner, request.input, has_header=request.response_format == "wav")

    return router


class SpokenResponse(Response):
    """Speaks while it is sent. Its tasks end with the call, also when the client leaves."""

    def __init__(self, synthesiser: Synthesiser, manner: Manner, text: str, *, has_header: bool) -> None:
        super().__init__(media_type="audio/wav" if has_header else "audio/pcm")
        del self.headers["content-length"]
        self.headers["X-Sample-Rate"] = str(SPEECH_RATE)
        self._synthesiser, self._manner, self._text = synthesiser, manner, text
        self._first = wav_header(SPEECH_RATE) if has_header else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManySessions or the failure of the reply."""
        outbox, failure = Outbox(), None
        reply = self._synthesiser.reply(self._manner, outbox.open("speech", SPEECH_RATE))
        reply.add(self._text)
        reply.end()
        with self._synthesiser.admission.enter():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_leave_with, receive, tasks.cancel_scope, name="peer")
                tasks.start_soon(reply.run, name="reply")
                failure = await self._send_body(outbox, send)
                tasks.cancel_scope.cancel()
        if failure:
            raise EngineFailed(failure.message, service="tts")

    async def _send_body(self, outbox: Outbox, send: Send) -> TtsError | None:
        """The failure of the reply, or None when all of the body was sent."""
        has_begun = False
        while len(outbox):
            _, item = await outbox.take()
            if isinstance(item, TtsError):
                return item
            if isinstance(item, bytes):
                if not has_begun:
                    await self._begin(send)
                has_begun = True
                await send({"type": "http.response.body", "body": item, "more_body": True})
        if not has_begun:
            await self._begin(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._first:
            await send({"type": "http.response.body", "body": self._first, "more_body": True})


async def _leave_with(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def wav_header(sample_rate: int) -> bytes:
    """The 44 bytes before PCM16 mono of unknown length."""
    wave = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate * 2, 2, 16)
    length = struct.pack("<I", UNKNOWN_LENGTH)
    return b"RIFF" + length + b"WAVE" + b"fmt " + struct.pack("<I", len(wave)) + wave + b"data" + length

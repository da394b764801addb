"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`, in the form of OpenAI.

A recording becomes text, subtitles, or a stream of events; a translation is into English, and comes whole.

A request is refused before its file is received where that is possible, and what is received is bounded in length and
in time. An error before the first event is an HTTP error; one after it is an event of its own. All work ends with the
call, also when the client leaves.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import anyio
from anyio import CapacityLimiter
from fastapi import APIRouter, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from asr_service.engines.base import Engine, Task
from asr_service.hearing import Hearing
from asr_service.scheduler import DecodeScheduler
from asr_service.settings import AsrSettings
from asr_service.transcript import Recording, Said
from asr_service.transcription_wire import DELTA, END, Transcribed, TranscriptionRequest, delta, event, form_schema
from asr_service.upload import decoded
from asr_service.upload_form import UPLOAD_DEADLINE_S, received
from shared import threads
from shared.errors import ParleyError, TooManySessions, Unsupported, error_body
from shared.ids import new_id
from shared.logs import bound
from shared.metrics import ERRORS, SESSIONS

CHUNKS_AHEAD = 4  # seconds of sound that wait to be heard
log = logging.getLogger(__name__)


class Transcriptions:
    """The uploads that are being served, and what they share."""

    def __init__(self, settings: AsrSettings, scheduler: DecodeScheduler, hear: Callable[[], Hearing]) -> None:
        self._scheduler = scheduler
        self.max_file_s = settings.max_file_s
        self.upload_deadline_s = UPLOAD_DEADLINE_S
        self.decoding = CapacityLimiter(settings.max_uploads)  # threads, apart from everybody else's
        self._hear = hear
        self._limit = settings.max_uploads
        self._open = 0
        self._share: anyio.Semaphore | None = None

    @property
    def engine(self) -> Engine:
        """What hears the files; ServiceUnavailable while it is not ready."""
        return self._scheduler.engine

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Be served for the length of the block. Raises TooManySessions; ServiceUnavailable while nothing is loaded."""
        _ = self._scheduler.engine
        if self._open >= self._limit:
            raise TooManySessions(
                f"{self._limit} files are being transcribed already.", service="asr", retry_after_ms=1_000
            )
        self._open += 1
        try:
            with SESSIONS.labels("asr").track_inprogress():
                yield
        finally:
            self._open -= 1

    def task(self, wanted: TranscriptionRequest, is_translation: bool) -> Task:
        """How a file is to be read. Raises Unsupported or InvalidMessage for what cannot be had."""
        return wanted.task(self.engine, self._scheduler.recognisers.language, is_translation)

    def recording(self, task: Task) -> Recording:
        """A recording to be heard."""
        if self._share is None:  # where there are two lanes or more, one is left to those who speak live
            self._share = anyio.Semaphore(max(1, self._scheduler.lanes - 1))
        return Recording(self._scheduler, self._share, task, self._hear())


class TranscriptionResponse(Response):
    """Receives a file, hears it, and tells what was said."""

    def __init__(self, transcriptions: Transcriptions, is_translation: bool) -> None:
        super().__init__()
        self._transcriptions = transcriptions
        self._is_translation = is_translation
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ParleyError before anything is sent."""
        with bound(upload_id=new_id("upl")):
            try:
                with self._transcriptions.admitted():
                    await self._serve(scope, receive, send)
            except ClientDisconnect:
                log.info("a client left before its file was transcribed")
            except ParleyError as error:
                ERRORS.labels("asr", error.code).inc()
                if not self._has_begun:
                    raise
                await self._send_event(send, error_body(error))
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | ClientDisconnect | None = None
        async with (
            received(scope, receive, self._transcriptions.upload_deadline_s) as (file, wanted),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_leave_with, receive, tasks.cancel_scope, name="peer")
            try:
                await self._answer(file, wanted, _disconnecting(send))
            except (ParleyError, ClientDisconnect) as error:  # raised below, as itself: here it would go into a group
                failure = error
            tasks.cancel_scope.cancel()
        if failure:
            raise failure

    async def _answer(self, file: BinaryIO, wanted: TranscriptionRequest, send: Send) -> None:
        task = self._transcriptions.task(wanted, self._is_translation)
        recording, heard, text = self._transcriptions.recording(task), list[Said](), ""

        async def tell(said: list[Said]) -> None:
            nonlocal text
            for one in said:
                added = delta(text, one)
                text += added
                heard.append(one)
                if wanted.stream:
                    await self._send_event(send, {"type": DELTA, "delta": added})

        try:
            await self._hear(recording, file, tell)
        finally:
            recording.close()
        told = Transcribed(task, recording.duration_s, heard)
        log.info("a file was transcribed", extra={"audio_ms": round(told.duration_s * 1000), "utterances": len(heard)})
        if wanted.stream:
            await self._send_event(send, told.done())
            await send({"type": "http.response.body", "body": END, "more_body": False})
        else:
            body, media_type = told.body(wanted)
            await _send_whole(send, Response(body, media_type=media_type))

    async def _hear(self, recording: Recording, file: BinaryIO, tell: Callable[[list[Said]], Awaitable[None]]) -> None:
        max_file_s = self._transcriptions.max_file_s
        async with threads.iterate(
            lambda stop: decoded(file, max_file_s, stop.is_stopped), CHUNKS_AHEAD, self._transcriptions.decoding
        ) as chunks:
            async for pcm in chunks:
                await tell(await recording.add(pcm))
        await tell(await recording.finish())

    async def _send_event(self, send: Send, fields: dict[str, Any]) -> None:
        if not self._has_begun:
            self._has_begun = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event(fields), "more_body": True})


def _disconnecting(send: Send) -> Send:
    """`send`, with ClientDisconnect when nobody is there any more."""

    async def sending(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            raise ClientDisconnect from None

    return sending


async def _leave_with(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send_whole(send: Send, response: Response) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def transcription_routes(transcriptions: Transcriptions) -> APIRouter:
    """The routes of a file that is sent whole."""
    router = APIRouter()

    @router.post("/v1/audio/transcriptions", response_class=Response, openapi_extra=_described(is_translation=False))
    async def transcribe() -> Response:
        return TranscriptionResponse(transcriptions, is_translation=False)

    @router.post("/v1/audio/translations", response_class=Response, openapi_extra=_described(is_translation=True))
    async def translate() -> Response:
        engine = transcriptions.engine
        if not engine.translates:
            raise Unsupported(f"{engine.name} writes down what is said and does not translate it.", service="asr")
        return TranscriptionResponse(transcriptions, is_translation=True)

    return router


def _described(is_translation: bool) -> dict[str, Any]:
    return {"requestBody": form_schema(is_translation)}

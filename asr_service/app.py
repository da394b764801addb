"""The asr_service put together: recognisers, the streams and files that share them, and how all start and end."""

import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace

import anyio
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from asr_service import engines
from asr_service.core.endpointer import EndpointerParams
from asr_service.detectors import Detectors
from asr_service.engines.base import Engine
from asr_service.hearing import FRAME_SAMPLES, Hearing
from asr_service.recognisers import Recognisers
from asr_service.scheduler import DecodeScheduler
from asr_service.settings import AsrSettings
from asr_service.stream import Stream, refusal
from asr_service.transcriptions import Transcriptions, transcription_routes
from shared.app import create_app
from shared.errors import InternalError, Overloaded, ParleyError, TooManySessions
from shared.health import Readiness
from shared.ids import new_id
from shared.logs import bound
from shared.metrics import SESSIONS

SEND_TIMEOUT_S = 10.0
FAREWELL_S = 1.0
STREAM_PATHS = ("/v1/stream", "/ws", "/ws_asr")
log = logging.getLogger(__name__)


class SocketPeer:
    """A WebSocket as a stream sees it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> bytes | str | None:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        pcm: bytes | None = message.get("bytes")
        text: str | None = message.get("text")
        return pcm if pcm is not None else text or ""

    async def send(self, text: str) -> None:
        """Raises Overloaded when the peer reads nothing for too long: it may hold what others wait for."""
        if self._is_there:
            try:
                with suppress(WebSocketDisconnect), anyio.fail_after(SEND_TIMEOUT_S):  # `receive` ends the stream
                    await self._socket.send_text(text)
            except TimeoutError:
                raise Overloaded("The peer does not read what it is told.", service="asr") from None

    async def close(self, code: int) -> None:
        """Hang up; a peer that has left is no error, and one that reads nothing is not waited for."""
        if self._is_there:
            with suppress(WebSocketDisconnect), anyio.move_on_after(FAREWELL_S):
                await self._socket.close(code)

    @property
    def _is_there(self) -> bool:
        return WebSocketState.CONNECTED is self._socket.application_state is self._socket.client_state


class Streams:
    """The streams that are open: admits them up to a limit and ends each with what it has to be told."""

    def __init__(self, most: int, scheduler: DecodeScheduler, hear: Callable[[], Hearing]) -> None:
        self._most = most
        self._scheduler = scheduler
        self._hear = hear
        self._open = 0

    async def serve(self, socket: WebSocket) -> None:
        """One WebSocket, from its acceptance to its end."""
        await socket.accept()
        peer = SocketPeer(socket)
        with bound(stream_id=new_id("stm")):
            try:
                with self._admitted():
                    await self._stream(peer).run()
            except ParleyError as error:
                await self._hang_up(peer, error)
            except Exception:  # the border: the peer is told, the log knows more, other streams go on
                log.exception("a stream failed")
                await self._hang_up(peer, InternalError("Something went wrong on our side."))

    def _stream(self, peer: SocketPeer) -> Stream:
        return Stream(peer, self._scheduler, self._hear(), self._scheduler.recognisers.language)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._open >= self._most:
            raise TooManySessions("All streams are taken.", service="asr", retry_after_ms=1_000)
        self._open += 1
        try:
            with SESSIONS.labels("asr").track_inprogress():
                yield
        finally:
            self._open -= 1

    async def _hang_up(self, peer: SocketPeer, error: ParleyError) -> None:
        with anyio.move_on_after(FAREWELL_S):
            await peer.send(refusal(error).to_json())
        await peer.close(error.close_code)


def endpointing(settings: AsrSettings) -> EndpointerParams:
    """When an utterance ends, unless a stream asks for another."""
    return EndpointerParams(
        frame_samples=FRAME_SAMPLES,
        end_silence_ms=settings.end_silence_ms,
        short_pause_ms=settings.short_pause_ms,
        complete_pause_ms=settings.complete_pause_ms,
        stable_nochange_ms=settings.stable_nochange_ms,
        silence_rms=settings.silence_rms,
        max_utterance_ms=settings.max_utterance_ms,
    )


async def _run_or_exit(scheduler: DecodeScheduler, life: anyio.CancelScope) -> None:
    """Decode until cancelled. Without it nobody is heard, so the service ends if it ends, and is started again."""
    try:
        await scheduler.run()
    finally:
        if not life.cancel_called:
            log.critical("the decode scheduler has ended; the service ends with it")
            signal.raise_signal(signal.SIGTERM)


def build_app(settings: AsrSettings, load: Callable[[], Engine] | None = None) -> FastAPI:
    """The service; `load` replaces the engine that the settings name. Nothing is loaded before its lifespan begins."""
    detectors = Detectors(has_speech=settings.vad == "silero", turn_model=settings.turn_model_path)

    def load_all() -> Engine:
        detectors.load()
        return load() if load else engines.load(settings.engine, settings)

    def hear() -> Hearing:
        return Hearing(endpointing(settings), detectors)

    def hear_file() -> Hearing:  # nobody waits for the end of an utterance there
        return Hearing(replace(endpointing(settings), complete_pause_ms=0), detectors)

    speakers = settings.max_streams + settings.max_uploads
    recognisers = Recognisers(load_all, settings.language, own_models=settings.decoders, streams=speakers)
    scheduler = DecodeScheduler(recognisers)
    streams = Streams(settings.max_streams, scheduler, hear)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_run_or_exit, scheduler, tasks.cancel_scope, name="scheduler")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    app = create_app("Parley asr_service", Readiness({"recogniser": recognisers.state}), lifespan)
    for path in STREAM_PATHS:
        app.add_api_websocket_route(path, streams.serve)
    app.include_router(transcription_routes(Transcriptions(settings, scheduler, hear_file)))
    return app

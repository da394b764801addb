"""The HTTP side of one turn without a socket: receive it, have it answered, tell the answer.

Three forms, by what the client accepts: JSON with the speech as base64 (unless asked otherwise), server-sent events
while the answer is made (`Accept: text/event-stream`, or a field `stream=true`), or the speech alone (`Accept:
audio/wav`). The events are those of `/ws/chat`. An error before the first event is an HTTP error, one after it is an
event. All work ends when the client leaves; what it was told by then is kept.
"""

import base64
import io
import json
import logging
import wave
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, BinaryIO, Final

import anyio
from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from gateway.core.events import FinishReason
from gateway.dialects.native import error_of
from gateway.house import House
from gateway.service_calls import FAREWELL_S, LLM, TTS, ServiceCalls, check_on, is_on, stopping
from gateway.single_turn import Heard, SingleTurn, SpeechFailed, Tell, Token, Told, Voice
from gateway.tts_link import Speech
from gateway.turn_form import TurnWanted
from shared import metrics, pcm
from shared.body_limit import BodyLimit
from shared.errors import InternalError, ParleyError, TooManySessions, error_body
from shared.wire.codec import whole
from shared.wire.tts import SPEECH_RATE

RETRY_AFTER_MS: Final = 2_000
UNREAD_LIMIT_S: Final = 60.0
EVENTS: Final = "text/event-stream"
SOUND: Final = "audio/wav"
JSON: Final = "application/json"
log = logging.getLogger(__name__)

Reading = Callable[[Scope, Receive], AbstractAsyncContextManager[tuple[BinaryIO | None, TurnWanted]]]


class Desk:
    """The turns that are being answered, and where they are from."""

    def __init__(self, calls: ServiceCalls) -> None:
        self.calls = calls
        self._open = 0

    @contextmanager
    def admitted(self, most: int) -> Iterator[None]:
        """Be answered for the length of the block. Raises TooManySessions."""
        if self._open >= most:
            raise TooManySessions(
                f"{most} turns are being answered already.", service="gateway", retry_after_ms=RETRY_AFTER_MS
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class TurnAnswer(Response):
    """Reads a turn, and tells its answer; `speaks` also as speech."""

    def __init__(self, desk: Desk, reading: Reading, limit_bytes: int, *, speaks: bool) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes
        self._desk = desk
        self._reading = reading
        self._speaks = speaks
        self._has_begun = False
        self._is_telling = False  # events
        self._lock = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ParleyError before anything is sent."""
        await BodyLimit(self._serve, self._limit_bytes)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        house: House = scope["app"].state.house
        try:
            with self._desk.admitted(house.settings.max_sessions):
                async with self._reading(scope, receive) as (file, wanted):
                    await self._while_there(house, scope, receive, send, file, wanted)
        except (ClientDisconnect, TimeoutError):
            log.info("a client left before its turn was answered")
        except ParleyError as error:
            metrics.ERRORS.labels("gateway", error.code).inc()
            if not self._has_begun:
                raise
            await self._send_event(failure_event(error), send)
            await self._end(b"", send)

    async def _while_there(
        self, house: House, scope: Scope, receive: Receive, send: Send, file: BinaryIO | None, wanted: TurnWanted
    ) -> None:
        failure: ParleyError | ClientDisconnect | TimeoutError | None = None
        turn = SingleTurn(house, self._desk.calls, wanted)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_with, receive, tasks.cancel_scope, name="peer")
            try:
                await self._answer(house, turn, file, self._form_of(scope, wanted), send)
            except (ParleyError, ClientDisconnect, TimeoutError) as error:  # raised below, not as a group
                failure = error
            except anyio.get_cancelled_exc_class():
                if self._is_telling and not tasks.cancel_scope.cancel_called:  # nobody left: the gateway ends
                    with anyio.move_on_after(FAREWELL_S, shield=True):
                        await self._send_event(failure_event(stopping()), send)
                        await self._end(b"", send)
                raise
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _form_of(self, scope: Scope, wanted: TurnWanted) -> str:
        accepted = dict(scope["headers"]).get(b"accept", b"").decode("latin-1").lower()
        if wanted.stream or EVENTS in accepted:
            return EVENTS
        return SOUND if self._speaks and accepted.startswith("audio/") else JSON

    async def _answer(self, house: House, turn: SingleTurn, file: BinaryIO | None, form: str, send: Send) -> None:
        if file is None or form == SOUND:
            check_on(house, LLM)
        if form == SOUND:
            check_on(house, TTS)
        await turn.recall()
        heard = await turn.hear(file) if file is not None else None
        is_answered = is_on(house, LLM)
        speaks = self._speaks and is_answered and is_on(house, TTS)
        if form == EVENTS:
            return await self._tell_as_made(turn, heard, is_answered, speaks, send)
        made = Made()
        if is_answered:
            await turn.answer(made.take, Voice.WHOLE if speaks else Voice.NONE)
            made.failure = await turn.keep() or made.failure
        if form == SOUND:
            if made.failure is not None:
                raise made.failure
            headers = {"X-Conversation-Id": turn.conversation_id, "X-Turn-Id": turn.turn_id}
            return await self._send_whole(Response(made.wav(), media_type=SOUND, headers=headers), send)
        body = _json(answer_of(turn, heard, made, speaks))
        await self._send_whole(Response(body, media_type=JSON), send)

    async def _tell_as_made(
        self, turn: SingleTurn, heard: Heard | None, is_answered: bool, speaks: bool, send: Send
    ) -> None:
        names = {"conversation_id": turn.conversation_id, "turn_id": turn.turn_id}

        async def tell(told: Told) -> None:
            await self._send_event(event_of(told) | names, send)

        if heard is not None:
            said = {"type": "transcription", "text": heard.text, "language": turn.language, "segments": heard.segments}
            await self._send_event(said | names, send)
        if is_answered:
            lost = await self._answer_and_keep(turn, tell, Voice.LIVE if speaks else Voice.NONE)
            if lost is not None:
                await self._send_event(failure_event(lost) | names, send)
        done = {"text": turn.text, "finish_reason": turn.finish_reason.value, "timings": turn.timings.as_ms()}
        await self._send_event({"type": "reply_done"} | done | names, send)
        await self._end(b"", send)

    async def _answer_and_keep(self, turn: SingleTurn, tell: Tell, voice: Voice) -> InternalError | None:
        """However it ends, what was told of it is kept; the error that tells that it could not be."""
        ending: FinishReason | None = FinishReason.INTERRUPTED
        lost: InternalError | None = None
        try:
            await turn.answer(tell, voice)
            ending = None  # as the model says
        except ParleyError:
            ending = FinishReason.ERROR
            raise
        finally:
            if turn.text or ending is None:
                lost = await turn.keep(ending)
        return lost

    # What is sent

    async def _send_event(self, fields: dict[str, Any], send: Send) -> None:
        async with self._lock:
            if not self._has_begun:
                self._has_begun = self._is_telling = True
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
                await _put({"type": "http.response.start", "status": 200, "headers": headers}, send)
            body = f"data: {_json(fields)}\n\n".encode()
            await _put({"type": "http.response.body", "body": body, "more_body": True}, send)

    async def _send_whole(self, response: Response, send: Send) -> None:
        self._has_begun = True
        head = {"status": response.status_code, "headers": response.raw_headers}
        await _put({"type": "http.response.start", **head}, send)
        await self._end(bytes(response.body), send)

    async def _end(self, last: bytes, send: Send) -> None:
        self._is_telling = False
        await _put({"type": "http.response.body", "body": last, "more_body": False}, send)


class Made:
    """What was made of an answer that is told whole."""

    def __init__(self) -> None:
        self.audio = b""
        self.failure: ParleyError | None = None

    async def take(self, told: Told) -> None:
        """A piece of it; its text is the turn's to keep."""
        if isinstance(told, Speech):
            self.audio += told.pcm
        elif isinstance(told, SpeechFailed):
            self.failure = told.error

    def wav(self) -> bytes:
        """The speech as a file."""
        target = io.BytesIO()
        with wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(pcm.BYTES_PER_SAMPLE)
            file.setframerate(SPEECH_RATE)
            file.writeframes(self.audio)
        return target.getvalue()


def answer_of(turn: SingleTurn, heard: Heard | None, made: Made, speaks: bool) -> dict[str, Any]:
    """The JSON of a whole answer; `error` stands there only where a part of it is missing."""
    told: dict[str, Any] = {"conversation_id": turn.conversation_id, "turn_id": turn.turn_id}
    if heard is not None:
        told |= {"transcription": heard.text, "language": turn.language, "segments": heard.segments}
    told |= {"response": turn.text, "finish_reason": turn.finish_reason.value, "timings": turn.timings.as_ms()}
    if speaks:
        audio = base64.b64encode(made.wav()).decode("ascii") if made.audio else None
        ms = pcm.ms_of(pcm.samples_of(made.audio), SPEECH_RATE)
        told |= {"audio": audio, "audio_format": "wav", "sample_rate": SPEECH_RATE, "audio_ms": ms}
    return told | (error_body(made.failure) if made.failure is not None else {})


def event_of(told: Told) -> dict[str, Any]:
    """A piece of an answer as `/ws/chat` tells it."""
    match told:
        case Token(text):
            return {"type": "llm_token", "text": text}
        case Speech(audio):
            return {"type": "audio_response", "audio": base64.b64encode(audio).decode("ascii"), "tier": "fast"}
        case SpeechFailed(error):
            return failure_event(error)
    start_ms = pcm.ms_of(told.start_samples, SPEECH_RATE)
    return {"type": "segment", "text": told.text, "start_ms": start_ms}


def failure_event(error: ParleyError) -> dict[str, Any]:
    """An error as `/ws/chat` tells it."""
    told: dict[str, Any] = json.loads(error_of(error).to_json())
    return told


def _json(fields: dict[str, Any]) -> str:
    return whole(json.dumps(fields, ensure_ascii=False))


async def _put(message: Message, send: Send) -> None:
    """Raises TimeoutError where the client makes no room for it, and ClientDisconnect where it has left."""
    with anyio.fail_after(UNREAD_LIMIT_S):
        try:
            await send(message)
        except OSError:
            raise ClientDisconnect from None


async def _leave_with(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()

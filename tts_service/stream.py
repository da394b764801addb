"""`WS /v1/stream`: one connection, many replies, each in a task of its own. The messages are in shared/wire/tts.py.

The reader never waits for the peer to read, so a cancel is heard while audio is stuck; the one writer takes from the
outbox. Bad input is answered by an error, and the connection lives on. A peer is cut off that reads nothing and goes
on causing errors, or that takes nothing of what is sent for `UNREAD_LIMIT_S`: it would hold its place for ever.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, assert_never

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from fastapi import WebSocket, WebSocketDisconnect

from shared import threads
from shared.errors import InvalidMessage, Overloaded, ParleyError, Unsupported
from shared.metrics import STALE
from shared.wire.codec import Message, load_object
from shared.wire.tts import TTS_IN, Cancel, Done, End, Start, Text, TtsReady, encode_audio
from tts_service.outbox import Outbox, OutboxFull
from tts_service.packets import PACKET_RATES, OpusPackets
from tts_service.reply import Audience, Reply, tts_error
from tts_service.synthesiser import Synthesiser

CLOSE_LIMIT_S: Final = 1.0
UNREAD_LIMIT_S: Final = 20.0  # a listener that waits this long hears nothing any more
NAME_LIMIT_CHARS: Final = 64  # a longer reply_id is no valid one, and is not sent back

log = logging.getLogger(__name__)


async def serve_stream(socket: WebSocket, synthesiser: Synthesiser, unread_limit_s: float = UNREAD_LIMIT_S) -> None:
    """Serve one connection to its end, or until one send to it has waited for `unread_limit_s`."""
    await socket.accept()
    try:
        synthesiser.check_ready()
        with synthesiser.admission.enter():
            await Stream(socket, synthesiser, unread_limit_s).run()
    except ParleyError as refusal:
        await _close(socket, refusal)
    except OutboxFull:
        await _close(socket, Overloaded("The peer does not read.", service="tts"))


async def _close(socket: WebSocket, refusal: ParleyError) -> None:
    with anyio.move_on_after(CLOSE_LIMIT_S):  # the peer may be gone, or read nothing
        try:
            await socket.send_text(tts_error(refusal).to_json())
            await socket.close(refusal.close_code)
        except WebSocketDisconnect:
            log.debug("the peer left before it was refused")


class Stream:
    """One connection. Law: every `start` of a new id is answered by exactly one `done`, unless the connection ends."""

    def __init__(self, socket: WebSocket, synthesiser: Synthesiser, unread_limit_s: float) -> None:
        self._socket = socket
        self._synthesiser = synthesiser
        self._unread_limit_s = unread_limit_s
        self._outbox = Outbox()
        self._replies: dict[str, Reply] = {}  # whose `done` was not taken yet
        self._packets: dict[str, OpusPackets] = {}  # of those that are sent as Opus

    async def run(self) -> None:
        """Read and write until the peer leaves, or reads nothing for too long. Raises OutboxFull."""
        engine = self._synthesiser.engine
        voices = [voice.name for voice in engine.capabilities.voices]
        self._outbox.say(TtsReady(engine=engine.name, voices=voices))
        is_overfull = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, tasks, name="writer")
            try:
                await self._read(tasks)
            except OutboxFull:
                is_overfull = True
            tasks.cancel_scope.cancel()
        if is_overfull:
            raise OutboxFull

    async def _read(self, tasks: TaskGroup) -> None:
        while True:
            frame = await self._socket.receive()
            if frame["type"] == "websocket.disconnect":
                return
            reply_id = None
            try:
                fields = _fields(frame)
                reply_id = fields.get("reply_id")
                self._accept(TTS_IN.validate(fields), tasks)
            except ParleyError as error:
                is_name = isinstance(reply_id, str) and len(reply_id) <= NAME_LIMIT_CHARS
                self._outbox.say(tts_error(error, reply_id if is_name else None))

    def _accept(self, message: Start | Text | End | Cancel, tasks: TaskGroup) -> None:
        if isinstance(message, Start):
            self._start(message, tasks)
            return
        reply = self._replies.get(message.reply_id)
        if reply is None:  # done already, or never begun
            STALE.labels("tts", message.type).inc()
            return
        match message:
            case Text():
                reply.add(message.delta)
            case End():
                reply.end()
            case Cancel():
                reply.cancel()
            case _:
                assert_never(message)

    def _start(self, start: Start, tasks: TaskGroup) -> None:
        reply_id = start.reply_id
        if reply_id in self._outbox:
            raise InvalidMessage(f"The reply {reply_id!r} is being spoken already.", service="tts", param="reply_id")
        try:
            limit = self._synthesiser.settings.max_replies_per_stream
            if len(self._outbox) >= limit:
                raise Overloaded(f"A connection speaks at most {limit} replies at once.", service="tts")
            packets = _packets(start)
            manner = self._synthesiser.manner(
                language=start.language,
                voice=start.voice,
                speed=start.speed,
                instruction=start.instruction,
                tier=start.tier,
            )
            self._synthesiser.admit(manner)
        except ParleyError as refusal:
            self._outbox.say(tts_error(refusal, reply_id))
            self._outbox.say(Done(reply_id=reply_id, outcome="failed", total_samples=0))
            return
        reply = self._synthesiser.reply(manner, self._outbox.open(reply_id, start.sample_rate), Audience.LISTENER)
        self._replies[reply_id] = reply
        if packets is not None:
            self._packets[reply_id] = packets
        tasks.start_soon(reply.run, name=f"reply {reply_id}")

    async def _write(self, tasks: TaskGroup) -> None:
        try:
            while True:
                reply_id, item = await self._outbox.take()
                if isinstance(item, Message):
                    if isinstance(item, Done) and reply_id is not None:
                        del self._replies[reply_id]
                        await self._end_audio(reply_id, item)
                    await self._send(item.to_json())
                else:
                    assert reply_id is not None, "audio has a reply"
                    await self._send_audio(reply_id, item)
                await checkpoint()  # a socket with room does not wait, and the reader must come in between
        except WebSocketDisconnect:
            tasks.cancel_scope.cancel()
        except TimeoutError:  # to close it in form would wait behind what it does not read
            log.warning("a peer reads nothing", extra={"limit_s": self._unread_limit_s})
            tasks.cancel_scope.cancel()

    async def _send(self, frame: str | bytes) -> None:
        """Raises WebSocketDisconnect, or TimeoutError where the peer makes no room for it."""
        with anyio.fail_after(self._unread_limit_s):
            if isinstance(frame, str):
                await self._socket.send_text(frame)
            else:
                await self._socket.send_bytes(frame)

    async def _send_audio(self, reply_id: str, pcm: bytes) -> None:
        """What was taken is sent, whatever comes meanwhile: the position of the reply counts it."""
        packets = self._packets.get(reply_id)
        if packets is None:
            await self._send(encode_audio(reply_id, pcm))
            return
        for packet in await threads.call(packets.encode, pcm, limiter=self._synthesiser.codecs):
            await self._send(encode_audio(reply_id, packet))

    async def _end_audio(self, reply_id: str, done: Done) -> None:
        packets = self._packets.pop(reply_id, None)
        if packets is not None and done.outcome == "completed":
            for packet in await threads.call(packets.finish, limiter=self._synthesiser.codecs):
                await self._send(encode_audio(reply_id, packet))


def _packets(start: Start) -> OpusPackets | None:
    """What makes packets of a reply's audio, where it wants any. Raises Unsupported."""
    if start.encoding != "opus":
        return None
    if start.sample_rate not in PACKET_RATES:
        raise Unsupported("Opus has no such sample rate.", service="tts", param="sample_rate")
    return OpusPackets(start.sample_rate)


def _fields(frame: Mapping[str, Any]) -> dict[str, Any]:
    text = frame.get("text")
    if text is None:
        raise Unsupported("This stream takes text frames only.", service="tts")
    return load_object(text)

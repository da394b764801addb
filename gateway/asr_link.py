"""One session's ears: a connection to a replica of the asr_service, and to another one when that is lost.

Audio goes through unread, in the rate in which it came; what comes before the first connection waits for it. What was
sent of an utterance that has no final yet is kept, up to half a minute (core/kept_audio.py). When a connection breaks,
the next one is sent it again, and what is heard a second time is told once (core/retold_speech.py): the utterance goes
on under its id, and has one final. In mid-utterance a place to go on at is looked for during `RESCUE_S`; audio waits
meanwhile. Where there is none, or nobody was speaking and no other replica is there, the person is told at once, and
audio is dropped and counted until the service is back: the turn has ended with what was understood, and to hear it
again would answer it twice.

What is played to the person goes along with the audio (core/loudspeaker.py), so that its echo is no speech. It is told
when audio is, never waits, and is left out on a connection whose recogniser does not know such messages.

Positions that are told count from the session's first sample, whichever connection heard it.
"""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from gateway.core import events as on
from gateway.core.events import ConversationEvent, Stage, StageFailed
from gateway.core.kept_audio import Content, KeptAudio, Kind
from gateway.core.loudspeaker import Hush, Played
from gateway.core.retold_speech import RetoldSpeech
from gateway.hearing_again import Spoken, heard_of, moved, told_of
from gateway.replicas import Replicas
from shared import clock, metrics
from shared.errors import AudioOverrun, ParleyError, UnknownType
from shared.pcm import BYTES_PER_SAMPLE, samples_of
from shared.wire import asr

PIECE_BYTES = 4_096
PLAYED_BYTES = asr.PLAYING_LIMIT_CHARS // 4 * 3  # what base64 makes a whole message of
OVERRUN_S = 5.0
CLOSE_TIMEOUT_S = 1.0
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
RESCUE_S = 2.0  # in which an utterance that lost its recogniser is to go on
STEADY_S = 1.0  # a connection that lasted so long was a good one

_GONE = "Speech recognition cannot be reached; listening goes on as soon as it is back."
_LOST = "What was said last was lost; please say it again."

Listener = Callable[[asr.AsrOut | StageFailed], Awaitable[None]]


class Notes:
    """Whoever writes down what is being said; this one does not."""

    def hear(self, pcm: bytes) -> None:
        """Audio came."""

    def begin_utterance(self, fields: dict[str, Any], spoken: list[bytes | dict[str, Any]]) -> None:
        """Somebody speaks since a while; that, and what is to be heard with it."""

    def ask(self, fields: dict[str, Any]) -> None:
        """A message for the recogniser that counts from here on."""

    def owe(self, owed: list[dict[str, Any]]) -> None:
        """What was told of each utterance that has no final."""

    def fall_silent(self) -> None:
        """All has its final, or is void."""


class AsrLink:
    """Send audio, tell a listener what was heard."""

    def __init__(
        self,
        service: str | Replicas,
        config: asr.Configure,
        listener: Listener,
        connect_timeout_s: float,
        notes: Notes | None = None,
    ) -> None:
        self._notes = notes or Notes()
        self._replicas = Replicas.of("asr_service", service)
        self._config = config
        self._listener = listener
        self._connect_timeout_s = connect_timeout_s
        self._kept = KeptAudio(config.to_json())
        self._retold = RetoldSpeech()
        self._changed = anyio.Event()
        self._is_open = True  # audio is taken: from the start, and again with each connection
        self._is_ready = False  # the connection is heard
        self._has_told_played = False  # on this connection
        self._knows_played = True
        self._begins_samples = 0  # where the audio of this connection begins
        self._failures = 0  # rounds through the replicas in a row that came to nothing
        self._tried: set[str] = set()  # in this round
        self._refusal: asr.AsrError | None = None  # of the last one that would not hear
        self._rescue_until_s: float | None = None

    @property
    def heard_s(self) -> float:
        """Seconds of audio so far, in which positions count."""
        return self._kept.position_s

    async def hear(self, pcm: bytes) -> None:
        """Pass on audio; waits while the service is behind, and raises AudioOverrun when it does not catch up."""
        for at in range(0, len(pcm), PIECE_BYTES):
            await self._until_room()
            piece = pcm[at : at + PIECE_BYTES]
            self._notes.hear(piece)
            if not self._is_open:
                metrics.STALE.labels("gateway", "audio_without_asr").inc()
                continue
            lasts_s = samples_of(piece) / (self._config.sample_rate or asr.STREAM_RATE)
            if not self._kept.add_audio(piece, lasts_s, clock.now_s()):
                metrics.STALE.labels("gateway", "played_kept_too_long").inc()
            self._announce_change()

    def play(self, audio: bytes, sample_rate: int) -> None:
        """PCM16 of whole samples is sent to be played, now: behind what was sent before it."""
        for at in range(0, len(audio), PLAYED_BYTES):
            piece = Played(audio[at : at + PLAYED_BYTES], sample_rate)
            if not self._kept.loudspeaker.play(piece, clock.now_s()):
                metrics.STALE.labels("gateway", "played_too_far_ahead").inc()

    def hush(self) -> None:
        """What was sent and is not played yet never will be."""
        self._kept.loudspeaker.hush()

    def pause(self) -> None:
        """Playing waits for `resume`."""
        self._kept.loudspeaker.pause(clock.now_s())

    def resume(self) -> None:
        """Playing goes on where it paused."""
        self._kept.loudspeaker.resume(clock.now_s())

    async def configure(self, config: asr.Configure) -> None:
        """New settings, now and after each reconnect."""
        self._config = config
        if self._is_open:
            await self._tell(Kind.CONFIG, config)
        else:
            self._kept.configure(config.to_json())

    async def flush(self) -> None:
        await self._tell(Kind.FLUSH, asr.Flush())

    async def clear(self) -> None:
        await self._tell(Kind.CLEAR, asr.Clear())
        self._retold.clear()
        self._notes.fall_silent()

    def take_up(
        self,
        config: asr.Configure,
        utterance: dict[str, Any],
        spoken: list[bytes | dict[str, Any]],
        audio_bytes: int,
    ) -> None:
        """Go on where the session of a gateway was that was killed: hear again what has no final. Before `run`."""
        self._config = config
        self._kept.configure(config.to_json())
        rate = self._config.sample_rate or asr.STREAM_RATE
        if not utterance:
            return self._kept.take_up(audio_bytes / BYTES_PER_SAMPLE / rate, [])
        self._kept.configure(utterance["config"])
        rate = json.loads(utterance["config"]).get("sample_rate") or rate
        pieces: list[tuple[Kind, bytes | str, float]] = []
        for piece in spoken:
            if isinstance(piece, bytes):
                pieces.append((Kind.AUDIO, piece, samples_of(piece) / rate))
            else:
                pieces.append((Kind[piece["kind"]], piece["text"], 0.0))
                rate = json.loads(piece["text"]).get("sample_rate") or rate
        self._kept.take_up(utterance["at_s"], pieces)
        self._retold.take_up(utterance.get("owed", []))
        self._rescue_until_s = clock.now_s() + RESCUE_S
        self._note_utterance()
        self._notes.owe(self._retold.owed())

    def _note_utterance(self) -> None:
        """Write down what is being said, from its beginning."""
        config, at_s, kept = self._kept.spoken()
        spoken = [
            piece if isinstance(piece, bytes) else {"kind": kind.name, "text": piece} for kind, piece in kept
        ]  # fmt: skip
        self._notes.begin_utterance({"config": config, "at_s": at_s}, spoken)

    async def _tell(self, kind: Kind, message: asr.AsrIn) -> None:
        await self._until_room()
        if self._is_open:
            self._kept.add_message(kind, message.to_json())
            self._notes.ask({"kind": kind.name, "text": message.to_json()})
            self._announce_change()

    async def _until_room(self) -> None:
        try:
            with anyio.fail_after(self._connect_timeout_s + OVERRUN_S):
                while self._is_open and self._kept.is_full:
                    await self._changed.wait()
        except TimeoutError:
            raise AudioOverrun("Audio comes faster than it can be understood.", service="asr") from None

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # One replica after the other

    async def run(self) -> None:
        """Keep a connection until cancelled; an outage is told once, and again only after the service was back."""
        while True:
            address = self._replicas.take(self._tried)
            if address is None:
                await self._rest()
                continue
            try:
                await self._visit(address)
            finally:
                self._replicas.give(address)
            if self._replicas.conditions.keys() <= self._tried:
                await self._rest()

    async def _visit(self, address: str) -> None:
        """Be heard at one replica until that ends."""
        began_s = clock.now_s()
        connection = await self._connect(address)
        is_lost = connection is None or await self._converse(connection)
        (self._replicas.lose if is_lost else self._replicas.refuse)(address)
        if self._is_ready:
            self._retold.lose()
            if self._rescue_until_s is None:
                self._rescue_until_s = clock.now_s() + RESCUE_S
            if clock.now_s() - began_s > STEADY_S:
                self._tried.clear()
            self._is_ready = False
        self._tried.add(address)

    async def _rest(self) -> None:
        """Nobody is left to be asked in this round: wait, and before that tell an outage unless speech may go on."""
        self._tried.clear()
        if self._retold.is_unfinished and self._rescue_until_s is not None:
            left_s = self._rescue_until_s - clock.now_s()
            if left_s > 0:
                return await anyio.sleep(min(BACK_OFF_S[0], left_s))
        self._let_go()
        if self._failures == 0:
            if self._refusal is not None:
                await self._listener(self._refusal)
            await self._listener(StageFailed(Stage.ASR, "service_unavailable", _GONE, True))
        await anyio.sleep(BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)])
        self._failures += 1

    def _let_go(self) -> None:
        """Take no more, and forget what waits: it belongs to a turn that is over."""
        self._is_open, self._rescue_until_s = False, None
        self._kept.forget()
        self._retold.abandon()
        self._notes.fall_silent()
        self._announce_change()

    async def _connect(self, address: str) -> ClientConnection | None:
        try:
            with anyio.fail_after(self._connect_timeout_s):
                return await connect(f"{address}/v1/stream", compression=None, proxy=None, max_size=None)
        except (OSError, TimeoutError, WebSocketException):
            return None

    # One connection

    async def _converse(self, connection: ClientConnection) -> bool:
        """Both directions of one connection, until it ends. Whether it was lost, and not closed by the service."""
        try:
            config, begins_s = self._kept.rewind()
            self._begins_samples = round(begins_s * asr.STREAM_RATE)
            if self._retold.is_awaited:
                self._replicas.note_move()
            self._has_told_played, self._knows_played = False, True
            self._is_open = True  # before the settings leave: others that come meanwhile follow them
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send, connection, config)
                tasks.start_soon(self._await_rescue)
                await self._receive(connection)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT_S):
                await connection.close()
            connection.transport.abort()  # a service that hangs keeps no connection; nothing happens to a closed one
        return connection.protocol.close_rcvd is None

    async def _send(self, connection: ClientConnection, config: str) -> None:
        try:
            await connection.send(config)
            while True:
                frame = self._kept.next()
                if frame is None:
                    await self._changed.wait()
                    continue
                if (told := self._told(frame)) is not None:
                    await connection.send(told)
                if self._is_ready:
                    self._kept.trim()
                self._announce_change()
        except ConnectionClosed:
            return  # _receive sees it too, and ends the conversation

    def _told(self, frame: Content) -> bytes | str | None:
        """As it is sent; None: this recogniser would not understand it."""
        if isinstance(frame, bytes | str):
            return frame
        self._has_told_played = True
        if not self._knows_played:
            return None
        if isinstance(frame, Hush):
            return asr.Hush().to_json()
        return asr.Playing(audio=base64.b64encode(frame.audio).decode(), sample_rate=frame.sample_rate).to_json()

    async def _await_rescue(self) -> None:
        """Speech that this recogniser does not find in what it is sent again is lost: the turn must not wait for it."""
        await anyio.sleep(RESCUE_S)
        is_lost = self._retold.is_awaited
        self._retold.abandon()
        if is_lost:
            await self._listener(StageFailed(Stage.ASR, "service_unavailable", _LOST, True))

    async def _receive(self, connection: ClientConnection) -> None:
        try:
            async for frame in connection:
                if isinstance(frame, str):
                    await self._take(asr.ASR_OUT.decode(frame))
        except (ConnectionClosed, ParleyError):
            return  # closed, or it speaks something else: either way a new connection is due

    async def _take(self, message: asr.AsrOut) -> None:
        """A stream that becomes ready ends an outage. Why others would not hear is told when none does."""
        if isinstance(message, asr.AsrError):
            if message.code == UnknownType.code and self._has_told_played:
                self._knows_played = False
                return
            if not self._is_ready:
                self._refusal = message
                return
        elif isinstance(message, asr.AsrReady):
            self._is_ready, self._failures, self._refusal = True, 0, None
        else:
            return await self._take_heard(message)
        await self._listener(message)

    async def _take_heard(self, said: Spoken) -> None:
        message = moved(said, self._begins_samples)
        if isinstance(message, asr.SpeechStarted):
            self._kept.hold(message.at_samples / asr.STREAM_RATE)
            self._kept.trim()
            self._note_utterance()
        elif isinstance(message, asr.Final):
            self._kept.finish(message.end_samples / asr.STREAM_RATE, is_flush=message.reason == "flush")
        told = self._retold.take(heard_of(message))
        if self._retold.is_unfinished:
            self._notes.owe(self._retold.owed())
        else:
            self._notes.fall_silent()
        for one in told:
            self._rescue_until_s = None
            await self._listener(told_of(one, message))


def event_of(message: asr.AsrOut) -> ConversationEvent | None:
    """What a message of the recogniser means for the conversation; None for what only the link needs."""
    match message:
        case asr.SpeechStarted():
            return on.SpeechStarted(message.utterance_id)
        case asr.Partial():
            return on.PartialHeard(message.utterance_id, message.text, message.committed, message.language)
        case asr.Candidate():
            return on.CandidateHeard(message.utterance_id, message.text)
        case asr.Resumed():
            return on.SpeechResumed(message.utterance_id)
        case asr.Endpoint():
            return on.EndpointReached(message.utterance_id)
        case asr.Final():
            segments = tuple(on.SegmentHeard(one.start, one.end, one.text) for one in message.segments)
            return on.FinalHeard(message.utterance_id, message.text, message.language, segments)
        case asr.AsrReady() | asr.AsrError():  # an error of the recogniser costs no turn: its final comes all the same
            return None

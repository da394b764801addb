"""One stream: PCM16 and a few messages in; where somebody speaks and what they said, out.

Audio goes from the socket through the resampler and the frame cutter into an inbox of two seconds, frame by frame to
the endpointer, and while somebody speaks to the utterance, whose readings the stabiliser turns into partials. A frame
is judged only after what came before it was read, so the same audio gives the same messages, however it was cut and
however slow the machine, while a recogniser is free. A stream that falls behind stops reading its socket: the sender's
queue fills, and it is the sender who knows what to do about it; nothing is dropped here.

Per utterance: `speech_started`, then `partial`s, `candidate` and `resumed` in turns, then `endpoint` and exactly one
`final`, its text that of the candidate if nothing was said after it. Bad input gets a typed error, and the stream lives
on. Two tasks, `listen` and the caller's own, and nothing outlives them.
"""

import logging
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol, assert_never

import anyio
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from asr_service.core import endpointer as core
from asr_service.core.frame_cutter import FrameCutter
from asr_service.core.stabiliser import Hypothesis, Stabiliser
from asr_service.engines.base import Engine
from asr_service.hearing import FRAME_SAMPLES, Hearing, count
from asr_service.recognisers import Recognisers
from asr_service.resampler import Resampler
from asr_service.utterance import Utterance
from shared.errors import EngineFailed, ParleyError, Unsupported
from shared.metrics import ERRORS
from shared.pcm import BYTES_PER_SAMPLE, checked, ms_of
from shared.wire.asr import (
    ASR_IN,
    STREAM_RATE,
    AsrError,
    AsrOut,
    AsrReady,
    Candidate,
    Clear,
    Configure,
    Endpoint,
    Final,
    Flush,
    Partial,
    Resumed,
    Segment,
    SpeechStarted,
)
from shared.wire.codec import check_frame

INBOX_FRAMES = 2 * STREAM_RATE // FRAME_SAMPLES  # two seconds

# What two readings in a row agree on is committed, so they must not follow too closely: readings of 100 ms apart make
# the same mistake twice. Finals took committed words back in 43 of 56 sentences then, in 19 with 300 ms.
PARTIAL_SAMPLES = STREAM_RATE * 3 // 10

Item = bytes | Configure | Flush | Clear | ParleyError  # bytes: one frame
log = logging.getLogger(__name__)


class Peer(Protocol):
    """The other end of the socket."""

    async def receive(self) -> bytes | str | None:
        """The next frame, or None when the peer has left."""

    async def send(self, text: str) -> None:
        """Send a text frame; wait while the peer does not read. A peer that has left is no error."""


class Stream:
    """Hears one peer; `run` is its life. `language` and `params` are what the stream does unless its peer asks."""

    def __init__(
        self, peer: Peer, recognisers: Recognisers, engine: Engine, language: str, params: core.EndpointerParams
    ) -> None:
        self._peer = peer
        self._recognisers = recognisers
        self._engine = engine
        self._language = language
        self._resampler = Resampler(STREAM_RATE)
        self._cutter = FrameCutter(FRAME_SAMPLES * BYTES_PER_SAMPLE)
        self._hearing = Hearing(recognisers, params)
        self._stabiliser = Stabiliser()
        self._has_candidate = False  # the peer was told that the utterance may be over
        self._partial_from_samples = 0  # a reading that reaches here is told

    async def run(self) -> None:
        """Serve the peer until it leaves. Cancelled in mid-utterance, the recogniser goes back to the others."""
        send, receive = anyio.create_memory_object_stream[Item](INBOX_FRAMES)
        try:
            async with send, receive, anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, send, tasks.cancel_scope, name="listen")
                await self._send(AsrReady(engine=self._engine.name, languages=list(self._engine.languages)))
                await self._attend(receive)
        finally:
            self._forget()

    # Socket → inbox

    async def _listen(self, inbox: MemoryObjectSendStream[Item], life: CancelScope) -> None:
        """Read the socket as fast as the inbox takes it; a peer that has left ends the stream."""
        while (raw := await self._peer.receive()) is not None:
            try:
                for item in self._items(raw):
                    await inbox.send(item)
            except ParleyError as error:
                await inbox.send(error)
        life.cancel()

    def _items(self, raw: bytes | str) -> Iterator[Item]:
        """What a socket's frame means, in order; ParleyError for what means nothing."""
        if isinstance(raw, bytes):
            yield from self._cutter.add(self._resampler.add(checked(check_frame(raw))))
            return
        message = ASR_IN.decode(raw)
        has_new_rate = isinstance(message, Configure) and message.sample_rate not in (None, self._resampler.sample_rate)
        if has_new_rate or isinstance(message, Flush):
            yield from self._cutter.add(self._resampler.finish())
        if isinstance(message, Configure) and message.sample_rate and has_new_rate:
            self._resampler = Resampler(message.sample_rate)
        yield message

    # Inbox → endpointer → utterance

    async def _attend(self, inbox: MemoryObjectReceiveStream[Item]) -> None:
        async for item in inbox:
            match item:
                case bytes():
                    await self._hear(item)
                case Configure():
                    await self._configure(item)
                case Flush():
                    await self._flush()
                case Clear():
                    self._hearing.flush()
                    self._forget()
                case ParleyError():
                    await self._tell(item)
                case _:
                    assert_never(item)

    async def _hear(self, frame: bytes) -> None:
        await self._perform(self._hearing.hear(frame))
        utterance = self._hearing.utterance
        if utterance is not None and await self._decoded(utterance.read()):
            if utterance.text and utterance.heard_until_samples >= self._partial_from_samples:
                await self._show(utterance)
            await self._note()

    async def _configure(self, message: Configure) -> None:
        if message.endpointing is not None:
            asked = message.endpointing.model_dump(exclude_none=True)
            self._hearing.configure(replace(self._hearing.params, **asked))
        if message.language is None:
            return
        if message.language.split("-")[0].lower() in self._engine.languages:
            self._language = message.language
        else:
            known = ", ".join(self._engine.languages)
            await self._tell(
                Unsupported(
                    f"Speech is understood in {known} alone here; type instead.", service="asr", param="language"
                )
            )

    async def _flush(self) -> None:
        actions = self._hearing.flush()
        if self._hearing.utterance is None:
            position = self._hearing.position_samples
            utterance = Utterance(self._recognisers, self._language, position)
            await self._send_final(utterance, core.Endpoint(position, position, core.EndpointReason.FLUSH))
        else:
            await self._perform(actions)

    async def _perform(self, actions: Iterable[core.Action]) -> None:
        for action in actions:
            match action:
                case core.SpeechStarted():
                    await self._begin(action)
                case core.Candidate():
                    await self._propose(action)
                case core.Resumed():
                    await self._resume(action)
                case core.Endpoint():
                    await self._end(action)
                case _:
                    assert_never(action)

    async def _begin(self, started: core.SpeechStarted) -> None:
        utterance = self._hearing.begin(started, self._language)
        self._partial_from_samples = 0
        await self._send(SpeechStarted(utterance_id=utterance.id, at_samples=started.at_samples))

    async def _propose(self, candidate: core.Candidate) -> None:
        utterance = self._hearing.current
        if not await self._decoded(utterance.conclude(can_wait=False)):
            return  # nobody can read it now; the final will wait
        self._has_candidate = True
        text = utterance.text
        if text.startswith(self._stabiliser.committed):  # else a partial would be half of each reading
            await self._show(utterance)
        await self._send(Candidate(utterance_id=utterance.id, text=text, at_samples=candidate.at_samples))
        await self._note()

    async def _resume(self, resumed: core.Resumed) -> None:
        utterance = self._hearing.current
        utterance.resume()
        if self._has_candidate:
            await self._send(Resumed(utterance_id=utterance.id, at_samples=resumed.at_samples))
        self._has_candidate = False

    async def _end(self, ended: core.Endpoint) -> None:
        utterance = self._hearing.current
        await self._send(Endpoint(utterance_id=utterance.id, at_samples=ended.at_samples, reason=ended.reason.value))
        await self._decoded(utterance.conclude(can_wait=True))
        await self._send_final(utterance, ended)
        self._forget()

    # Utterance → peer

    async def _show(self, utterance: Utterance) -> None:
        """Tell the peer how the utterance reads now, if it is news."""
        self._partial_from_samples = utterance.heard_until_samples + PARTIAL_SAMPLES
        partial = self._stabiliser.add(Hypothesis(utterance.text, utterance.language))
        if partial is not None:
            await self._send(
                Partial(
                    utterance_id=utterance.id,
                    text=partial.text,
                    committed=partial.committed,
                    language=utterance.language,
                    at_samples=utterance.heard_until_samples,
                )
            )

    async def _note(self) -> None:
        """Tell the endpointer how the utterance reads now; its text may end it."""
        await self._perform(self._hearing.note())

    async def _send_final(self, utterance: Utterance, ended: core.Endpoint) -> None:
        final = self._stabiliser.finish(utterance.text)
        spans = utterance.spans
        await self._send(
            Final(
                utterance_id=utterance.id,
                text=final.text,
                language=utterance.language,
                segments=[
                    Segment(start=span.start_samples / STREAM_RATE, end=span.end_samples / STREAM_RATE, text=span.text)
                    for span in spans
                ],
                start_samples=ended.start_samples,
                end_samples=ended.at_samples,
                reason=ended.reason.value,
            )
        )
        count(utterance, ended)
        log.info(
            "an utterance ended",
            extra={
                "utterance_id": utterance.id,
                "reason": ended.reason.value,
                "audio_ms": ms_of(ended.at_samples - ended.start_samples, STREAM_RATE),
                "decode_ms": round(utterance.decode_s * 1000),
                "text_chars": len(final.text),
                "is_revised": final.revised,
            },
        )

    async def _decoded(self, step: Awaitable[bool]) -> bool:
        """What `step` says; False when its engine fails, which the peer is told."""
        try:
            return await step
        except EngineFailed as error:
            log.exception("the recogniser failed", exc_info=error.__cause__)
            await self._tell(error)
            return False

    async def _tell(self, error: ParleyError) -> None:
        await self._send(refusal(error))

    async def _send(self, message: AsrOut) -> None:
        """Cancelled here, the message may be lost; its peer has left by then."""
        await self._peer.send(message.to_json())

    def _forget(self) -> None:
        """No utterance is being spoken any more."""
        self._hearing.forget()
        self._has_candidate = False
        self._stabiliser.reset()


def refusal(error: ParleyError) -> AsrError:
    """What a peer is told of an error; it is counted."""
    ERRORS.labels("asr", error.code).inc()
    return AsrError(code=error.code, message=error.message, retryable=error.retryable)

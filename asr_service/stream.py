"""One stream: PCM16 and a few messages in; where somebody speaks and what they said, out.

Audio goes from the socket through the resampler and the frame cutter into an inbox of two seconds, frame by frame to
the endpointer, and while somebody speaks to the utterance, which is decoded when the scheduler has time; what it reads
goes through the stabiliser and becomes partials.

A frame waits for the readings before it, so the same audio gives the same messages however it was cut, but never longer
than `PATIENCE_S` after it was due: where decoding is slower than that, speech is heard on, and a reading counts when it
comes. A stream that falls behind all the same stops reading its socket: the sender's queue fills, and it is the sender
who knows what to do about it; nothing is dropped here.

Per utterance: `speech_started`, then `partial`s, `candidate` and `resumed` in turns, then `endpoint` and exactly one
`final`, its text that of the candidate if nothing was said after it. Bad input gets a typed error, and the stream lives
on. What a peer says is being played to the talker is laid beside what is heard, and its echo is no speech. What a peer
has said when it leaves is still heard to its end. Two tasks, `listen` and the caller's own, and nothing
outlives them.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

import anyio

from asr_service.core import endpointer as core
from asr_service.core.decode_queue import Urgency
from asr_service.core.frame_cutter import FrameCutter
from asr_service.core.pace import Pace
from asr_service.core.stabiliser import Hypothesis, Stabiliser
from asr_service.hearing import FRAME_SAMPLES, Hearing, count
from asr_service.inbox import Inbox
from asr_service.recognisers import task_in
from asr_service.resampler import Resampler
from asr_service.scheduler import DecodeScheduler
from asr_service.utterance import Reading, Utterance
from shared.clock import now_s
from shared.errors import ParleyError, Unsupported
from shared.metrics import ERRORS
from shared.pcm import BYTES_PER_SAMPLE, checked, from_base64, ms_of
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
    Hush,
    Partial,
    Playing,
    Resumed,
    Segment,
    SpeechStarted,
)
from shared.wire.codec import check_frame

FRAME_S = FRAME_SAMPLES / STREAM_RATE
INBOX_FRAMES = round(2 / FRAME_S)  # two seconds
PATIENCE_S = 0.15  # a frame waits so long for a reading: a decode that stalls is not to stop the hearing
PARTING_S = 2.0  # what a peer said before it left is heard to its end in this time, or not at all

# What two readings in a row agree on is committed, so they must not follow too closely: readings of 100 ms apart make
# the same mistake twice. Finals took committed words back in 43 of 56 sentences then, in 19 with 300 ms.
PARTIAL_SAMPLES = STREAM_RATE * 3 // 10


@dataclass(frozen=True, slots=True)
class Sound:
    """What is played to the talker, PCM16."""

    pcm: bytes
    sample_rate: int


Item = bytes | Configure | Flush | Clear | Sound | Hush | ParleyError | None  # bytes: a frame; None: the peer has left
log = logging.getLogger(__name__)


class Peer(Protocol):
    """The other end of the socket."""

    async def receive(self) -> bytes | str | None:
        """The next frame, or None when the peer has left."""

    async def send(self, text: str) -> None:
        """Send a text frame; wait while the peer does not read. A peer that has left is no error."""


class Stream:
    """Hears one peer by `hearing`; `run` is its life. `language` is listened for unless the peer asks for another."""

    def __init__(self, peer: Peer, scheduler: DecodeScheduler, hearing: Hearing, language: str) -> None:
        self._peer = peer
        self._scheduler = scheduler
        self._task = task_in(language)
        self._resampler = Resampler(STREAM_RATE)
        self._cutter = FrameCutter(FRAME_SAMPLES * BYTES_PER_SAMPLE)
        self._pace = Pace()
        self._inbox: Inbox[Item] = Inbox(INBOX_FRAMES, self._wake)
        self._hearing = hearing
        self._stabiliser = Stabiliser()
        self._proposed: core.Candidate | None = None  # the pause that may be the end
        self._has_candidate = False  # the peer was told of it
        self._partial_from_samples = 0  # a reading that reaches here is told
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Serve the peer until it leaves. Cancelled in mid-utterance, the recogniser goes back to the others.

        Raises what ends the stream alone: ServiceUnavailable without an engine, what the peer's `send` raises.
        """
        engine, failure = self._scheduler.engine, None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, tasks.cancel_scope, name="listen")
                try:
                    await self._send(AsrReady(engine=engine.name, languages=list(engine.languages)))
                    await self._attend()
                except ParleyError as error:  # raised below, as itself: here it would go into a group
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            self._forget()
        if failure is not None:
            raise failure

    # Socket → inbox

    async def _listen(self, life: anyio.CancelScope) -> None:
        """Read the socket as fast as the inbox takes it, until the peer leaves; what it said is then heard out."""
        while (raw := await self._peer.receive()) is not None:
            try:
                for item in self._items(raw):
                    await self._put(item)
            except ParleyError as error:
                await self._put(error)
        with anyio.move_on_after(PARTING_S):
            await self._put(None)
            await anyio.sleep_forever()
        life.cancel()

    async def _put(self, item: Item) -> None:
        sound_s = FRAME_S if isinstance(item, bytes) else 0.0
        await self._inbox.put(item, self._pace.due_s(now_s(), sound_s))

    def _items(self, raw: bytes | str) -> Iterator[Item]:
        """What a socket's frame means, in order; ParleyError for what means nothing."""
        if isinstance(raw, bytes):
            yield from self._cutter.add(self._resampler.add(checked(check_frame(raw))))
            return
        message = ASR_IN.decode(raw)
        if isinstance(message, Playing):
            yield Sound(from_base64(message.audio), message.sample_rate)
            return
        has_new_rate = isinstance(message, Configure) and message.sample_rate not in (None, self._resampler.sample_rate)
        if has_new_rate or isinstance(message, Flush):
            yield from self._cutter.add(self._resampler.finish())
        if isinstance(message, Configure) and message.sample_rate and has_new_rate:
            self._resampler = Resampler(message.sample_rate)
        yield message

    # Inbox → endpointer → utterance

    async def _attend(self) -> None:
        """Take what comes next, readings before what came after them, until the peer has left."""
        while True:
            changed, due_s = self._changed, self._inbox.due_s
            utterance = self._hearing.utterance
            if utterance is not None and (news := utterance.take_news()) is not None:
                await self._take(utterance, news)
            elif due_s is None:
                await changed.wait()
            elif utterance is not None and utterance.is_reading and now_s() < due_s + PATIENCE_S:
                with anyio.move_on_after(due_s + PATIENCE_S - now_s()):
                    await changed.wait()
            elif not await self._handle(self._inbox.take()):
                return

    async def _handle(self, item: Item) -> bool:
        """Do what it means; whether the peer is still there."""
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
            case Sound():
                self._hearing.play(item.pcm, item.sample_rate)
            case Hush():
                self._hearing.hush()
            case ParleyError():
                await self._tell(item)
            case None:
                await self._perform(self._hearing.flush())
            case _:
                assert_never(item)
        return item is not None

    async def _hear(self, frame: bytes) -> None:
        await self._perform(self._hearing.hear(frame))
        utterance = self._hearing.utterance
        if utterance is not None and (self._hearing.is_speaking or utterance.is_incremental):
            utterance.follow()

    async def _configure(self, message: Configure) -> None:
        if message.endpointing is not None:
            asked = message.endpointing.model_dump(exclude_none=True)
            self._hearing.configure(replace(self._hearing.params, **asked))
        if message.language is None:
            return
        if self._scheduler.recognisers.understands(message.language):
            self._task = task_in(message.language)
        else:
            known = ", ".join(self._scheduler.engine.languages)
            await self._tell(
                Unsupported(
                    f"Speech is understood in {known} alone here; type instead.", service="asr", param="language"
                )
            )

    async def _flush(self) -> None:
        actions = self._hearing.flush()
        if not actions:
            position = self._hearing.position_samples
            utterance = self._utterance(core.SpeechStarted(position, position))
            await self._send_final(utterance, core.Endpoint(position, position, core.EndpointReason.FLUSH))
        else:
            await self._perform(actions)

    async def _perform(self, actions: Iterable[core.Action]) -> None:
        for action in actions:
            match action:
                case core.SpeechStarted():
                    await self._begin(action)
                case core.Candidate():
                    self._proposed = action
                    self._hearing.current.conclude(Urgency.CANDIDATE)
                    await self._perform(await self._hearing.judge())
                case core.Resumed():
                    await self._resume(action)
                case core.Endpoint():
                    await self._end(action)
                case _:
                    assert_never(action)

    async def _begin(self, started: core.SpeechStarted) -> None:
        utterance = self._hearing.begin(started, self._utterance)
        self._partial_from_samples = 0
        await self._send(SpeechStarted(utterance_id=utterance.id, at_samples=started.at_samples))

    async def _resume(self, resumed: core.Resumed) -> None:
        utterance = self._hearing.current
        utterance.resume()
        if self._has_candidate:
            await self._send(Resumed(utterance_id=utterance.id, at_samples=resumed.at_samples))
        self._proposed, self._has_candidate = None, False

    async def _end(self, ended: core.Endpoint) -> None:
        utterance = self._hearing.current
        await self._send(Endpoint(utterance_id=utterance.id, at_samples=ended.at_samples, reason=ended.reason.value))
        utterance.conclude(Urgency.FINAL)
        await utterance.ended()
        if (news := utterance.take_news()) is not None and news.failure is not None:
            await self._tell(news.failure)
        await self._send_final(utterance, ended)
        self._forget()

    def _utterance(self, started: core.SpeechStarted) -> Utterance:
        return Utterance(self._scheduler, self._task, started, self._wake)

    # Utterance → peer

    async def _take(self, utterance: Utterance, news: Reading) -> None:
        """Tell the peer of a reading, and the endpointer, as the text may end the utterance."""
        if news.failure is not None:
            await self._tell(news.failure)
            return
        if news.is_end and self._proposed is not None:
            await self._propose(utterance, self._proposed)
        elif news.text and news.until_samples >= self._partial_from_samples:
            await self._show(utterance)
        await self._perform(self._hearing.note())

    async def _propose(self, utterance: Utterance, candidate: core.Candidate) -> None:
        self._has_candidate = True
        text = utterance.text
        if text.startswith(self._stabiliser.committed):  # else a partial would be half of each reading
            await self._show(utterance)
        await self._send(Candidate(utterance_id=utterance.id, text=text, at_samples=candidate.at_samples))

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

    async def _tell(self, error: ParleyError) -> None:
        await self._send(refusal(error))

    async def _send(self, message: AsrOut) -> None:
        """Cancelled here, the message may be lost; its peer has left by then."""
        await self._peer.send(message.to_json())

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _forget(self) -> None:
        """No utterance is being spoken any more."""
        self._hearing.forget()
        self._proposed, self._has_candidate = None, False
        self._stabiliser.reset()


def refusal(error: ParleyError) -> AsrError:
    """What a peer is told of an error; it is counted."""
    ERRORS.labels("asr", error.code).inc()
    return AsrError(code=error.code, message=error.message, retryable=error.retryable)

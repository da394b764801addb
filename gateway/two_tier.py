"""Keep the sound of answers: first as it was sent, then, where a finer engine speaks it again, in that one's place.

Both happen behind the turn, when it is in the store. What is spoken again is the text that was heard, no word more, and
only while the house does without nothing. Laws: nobody waits for any of it; what waits is bounded, in answers and in
bytes, and what finds no room is not kept, and counted; sound, offsets and tier change in one step; whatever fails, what
was kept before stays; whoever is told of a better sound finds it.
"""

import io
import logging
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.aligned_offsets import aligned_offsets
from gateway.core.load_ladder import Level
from gateway.load import HouseLoad
from gateway.rerender_client import NotRendered, Rendered, RerenderClient, Wanted
from gateway.turn_audio import KeptAudio, TurnAudio
from shared import clock, threads
from shared.pcm import BYTES_PER_SAMPLE, ms_of, samples_of
from shared.wire import native
from shared.wire.codec import Message

WAITING_REPLIES: Final = 64
WAITING_BYTES: Final = 64 * 1024 * 1024
WAITING_RERENDERS: Final = 256
RERENDERS_AT_ONCE: Final = 2
KEEP_TIMEOUT_S: Final = 8.0  # above the time that SQLite itself waits for a lock
LAST_SOUNDS_S: Final = 3.0  # for sound that waits when the gateway ends
WAV: Final = "audio/wav"

Count = Callable[[str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeardReply:
    """An answer that ended: what was heard of it, in words and in sound. Its segments are those that it was sent in.

    Without `pcm` there was sound that is not at hand any more. `tell` must bear to be called when nobody is there.
    """

    turn_id: str
    reply_id: str
    text: str = field(repr=False)
    segments: tuple[tuple[str, int], ...] = field(repr=False)  # each with the millisecond at which it begins
    pcm: bytes = field(repr=False)
    sample_rate: int
    voice: str | None
    language: str
    tell: Callable[[Message], None] = field(repr=False)


class TwoTier:
    """The sound of a gateway's answers on its way into the store.

    Without `finer` nothing is spoken again. `count` is told what became of each sound: fast, hq (it is kept), full (no
    room to wait), gone (its turn was forgotten, or has better sound), loaded (the house does with less), lost (the
    store failed), fault (ours), left (it waited when the gateway ended), and what NotRendered names.
    """

    def __init__(self, audio: TurnAudio, load: HouseLoad, finer: RerenderClient | None, count: Count) -> None:
        self._audio = audio
        self._load = load
        self._finer = finer
        self._count = count
        self._send, self._receive = anyio.create_memory_object_stream[HeardReply](WAITING_REPLIES)
        self._again, self._wanted = anyio.create_memory_object_stream[HeardReply](WAITING_RERENDERS)
        self._waiting_bytes = 0
        self._under_way = 0
        self._all_kept = anyio.Event()

    def keep(self, reply: HeardReply) -> None:
        """Have the sound of an answer kept, whose turn is in the store. One too many is not kept."""
        if self._waiting_bytes + len(reply.pcm) > WAITING_BYTES:
            return self._count("full")
        try:
            self._send.send_nowait(reply)
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return self._count("full")
        self._waiting_bytes += len(reply.pcm)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["TwoTier"]:
        """Sound is kept inside the block. What waits at its end is kept still, what is to be spoken again is left."""
        async with AsyncExitStack() as stack:
            if self._finer is not None:
                await stack.enter_async_context(self._finer.opened())
            stack.callback(self._count_left)
            stack.enter_context(self._send)
            stack.enter_context(self._again)
            stack.enter_context(self._wanted)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._keep_all, name="keep sound")
            for _ in range(RERENDERS_AT_ONCE if self._finer is not None else 0):
                tasks.start_soon(self._rerender_all, self._wanted.clone(), name="rerender")
            try:
                yield self
            finally:
                self._send.close()
                with anyio.move_on_after(LAST_SOUNDS_S, shield=True):
                    await self._all_kept.wait()
                tasks.cancel_scope.cancel()

    def _count_left(self) -> None:
        waiting = (self._send, self._again)
        for _ in range(sum(one.statistics().current_buffer_used for one in waiting) + self._under_way):
            self._count("left")

    # Sound as it was sent

    async def _keep_all(self) -> None:
        with self._receive:
            async for reply in self._receive:
                await self._guarded(self._keep, reply)
                self._waiting_bytes -= len(reply.pcm)
        self._all_kept.set()

    async def _keep(self, reply: HeardReply) -> None:
        if reply.pcm and not await self._put(reply.turn_id, await threads.call(_as_sent, reply)):
            return self._count("gone")
        if reply.pcm:
            self._count("fast")
        if self._finer is None or not reply.text.strip():
            return
        try:
            self._again.send_nowait(replace(reply, pcm=b""))
        except anyio.WouldBlock:
            self._count("full")

    async def _put(self, turn_id: str, audio: KeptAudio) -> bool:
        with anyio.fail_after(KEEP_TIMEOUT_S):
            return await self._audio.put(turn_id, audio)

    # Sound of the finer engine

    async def _rerender_all(self, wanted: MemoryObjectReceiveStream[HeardReply]) -> None:
        with wanted:
            async for reply in wanted:
                await self._guarded(self._rerender, reply)

    async def _rerender(self, reply: HeardReply) -> None:
        assert self._finer is not None, "nothing is spoken again without a finer engine"
        if self._load.level is not Level.FULL:
            return self._count("loaded")
        try:
            made = await self._finer.make(Wanted(reply.reply_id, reply.text, reply.voice, reply.language))
        except NotRendered as why:
            return self._count(why.outcome)
        if not await self._put(reply.turn_id, _as_rendered(reply, made)):
            return self._count("gone")
        self._count("hq")
        reply.tell(native.HqAudio(reply_id=reply.reply_id, url=f"/v1/turns/{reply.turn_id}/audio"))

    async def _guarded(self, work: Callable[[HeardReply], Awaitable[None]], reply: HeardReply) -> None:
        self._under_way += 1  # and so it stays where a cancel ends it
        try:
            await work(reply)
        except (SQLAlchemyError, OSError):  # also a store that hangs
            log.exception("the sound of an answer could not be kept", extra={"turn_id": reply.turn_id})
            self._count("lost")
        except Exception:  # the border of one answer: a fault of ours must not end what is done for the others
            log.exception("the sound of an answer could not be kept", extra={"turn_id": reply.turn_id})
            self._count("fault")
        self._under_way -= 1


def _as_sent(reply: HeardReply) -> KeptAudio:
    """For a thread."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(BYTES_PER_SAMPLE)
        file.setframerate(reply.sample_rate)
        file.writeframes(reply.pcm)
    duration_ms = ms_of(samples_of(reply.pcm), reply.sample_rate)
    offsets_ms = tuple(start_ms for _, start_ms in reply.segments)
    return KeptAudio(target.getvalue(), WAV, reply.sample_rate, duration_ms, offsets_ms, "fast", clock.today())


def _as_rendered(reply: HeardReply, made: Rendered) -> KeptAudio:
    """Its offsets are those of the segments that the answer was sent in, however it was cut this time."""
    texts = [text for text, _ in reply.segments]
    starts = aligned_offsets(texts, made.segments, made.total_samples)
    offsets_ms = tuple(ms_of(start, made.sample_rate) for start in starts)
    duration_ms = ms_of(made.total_samples, made.sample_rate)
    return KeptAudio(made.wav, WAV, made.sample_rate, duration_ms, offsets_ms, "hq", clock.today())

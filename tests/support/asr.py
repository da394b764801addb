"""A stream of the asr_service in memory: recognisers on fake engines, and a peer that says when it reads."""

import json
import math
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.lowlevel import checkpoint

from asr_service.core.endpointer import EndpointerParams
from asr_service.detectors import Detectors
from asr_service.engines.base import Engine
from asr_service.hearing import Hearing
from asr_service.recognisers import Recognisers
from asr_service.scheduler import DecodeScheduler
from asr_service.stream import Stream
from shared.health import READY
from shared.wire.asr import ASR_OUT, AsrError, AsrOut, Final
from shared.wire.codec import Message

M = TypeVar("M", bound=AsrOut)
BARRIER = "that is all"


class MemoryPeer:
    """The other end of a stream; what it is told is kept in `told`."""

    def __init__(self) -> None:
        self.told: list[AsrOut] = []
        self.taken = 0  # frames that the stream has read
        self._changed = anyio.Event()
        self._reads = anyio.Event()
        self._reads.set()
        self._to_stream, self._inbound = anyio.create_memory_object_stream[bytes | str | None](math.inf)

    def say(self, *frames: bytes | str | Message) -> None:
        for frame in frames:
            self._to_stream.send_nowait(frame.to_json() if isinstance(frame, Message) else frame)

    def leave(self) -> None:
        self._to_stream.send_nowait(None)

    def stop_reading(self) -> None:
        """Whatever the stream sends has to wait."""
        self._reads = anyio.Event()

    def read_on(self) -> None:
        self._reads.set()

    async def until(self, kind: type[M], count: int = 1) -> M:
        """The `count`th message of this kind; the test's own timeout is the limit."""
        while len(found := [message for message in self.told if isinstance(message, kind)]) < count:
            await self.next()
        return found[count - 1]

    async def next(self) -> None:
        """Until the peer is told one thing more."""
        await self._changed.wait()

    async def until_flushed(self) -> None:
        """The final that answers a flush."""
        while not any(isinstance(message, Final) and message.reason == "flush" for message in self.told):
            await self.next()

    async def receive(self) -> bytes | str | None:
        frame = await self._inbound.receive()
        self.taken += 1
        return frame

    async def send(self, text: str) -> None:
        await self._reads.wait()
        self.told.append(ASR_OUT.decode(text))
        self._changed.set()
        self._changed = anyio.Event()

    def close(self) -> None:
        self._to_stream.close()
        self._inbound.close()


class Gate:
    """Stops the threads that come to it while it is shut, as a decode that stalls does."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        self.reached.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            self._open.wait()


@asynccontextmanager
async def running(engine: Engine, capacity: int = 1, language: str = "en") -> AsyncIterator[DecodeScheduler]:
    """A scheduler that is ready."""
    scheduler = DecodeScheduler(Recognisers(lambda: engine, language, own_models=capacity, streams=capacity))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scheduler.run)
        await reaches(scheduler.recognisers, READY)
        yield scheduler
        tasks.cancel_scope.cancel()


async def reaches(recognisers: Recognisers, state: str) -> None:
    """Until the recognisers say so; the test's own timeout is the limit."""
    while await recognisers.state() != state:
        await checkpoint()


@asynccontextmanager
async def stream(
    scheduler: DecodeScheduler,
    language: str = "en",
    params: EndpointerParams | None = None,
    detectors: Detectors | None = None,
    peer: MemoryPeer | None = None,
) -> AsyncIterator[MemoryPeer]:
    """A stream that runs until the block is left, and has then left nothing behind."""
    peer = peer or MemoryPeer()
    served = Stream(peer, scheduler, Hearing(params or EndpointerParams(), detectors or Detectors()), language)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(served.run)
        try:
            yield peer
        finally:
            peer.leave()
    peer.close()


async def told_after(scheduler: DecodeScheduler, frames: Iterable[bytes | str | Message]) -> list[AsrOut]:
    """Everything that a peer is told that says `frames` and nothing more, `ready` aside."""
    async with stream(scheduler) as peer:
        peer.say(*frames, json.dumps({"type": BARRIER}))  # no such type: an error, in order behind all the rest
        while not (peer.told and isinstance(peer.told[-1], AsrError) and BARRIER in peer.told[-1].message):
            await peer.next()
    return peer.told[1:-1]


def plain(told: Iterable[AsrOut]) -> list[dict[str, object]]:
    """Messages to compare: with their types, and each utterance_id replaced by its number in the stream."""
    numbers: dict[object, int] = {}
    found = []
    for message in told:
        fields: dict[str, object] = {"type": message.type, **message.model_dump()}
        if "utterance_id" in fields:
            fields["utterance_id"] = numbers.setdefault(fields["utterance_id"], len(numbers))
        found.append(fields)
    return found

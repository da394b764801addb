"""Replies that nobody wants any more, by the hundred, on the whole service with espeak-ng: nothing of them stays."""

import gc
import threading
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from shared.threads import StopToken
from shared.wire.tts import Cancel, Done, Start, Text, TtsReady
from tests.support.tts_peer import SENTENCE, Peer, dones, peer_of, report
from tts_service.app import build_app
from tts_service.core.segmenter import Segmenter
from tts_service.outbox import Lane, Outbox
from tts_service.reply import Reply
from tts_service.settings import TtsSettings
from tts_service.slots import Slots

pytestmark = [pytest.mark.service, pytest.mark.anyio]

ABANDONED = 200
OF_A_REPLY = (Reply, Lane, Segmenter, StopToken)
MOST_LEFT_BYTES = 400 * ABANDONED  # less than a single block of each


@asynccontextmanager
async def speaking() -> AsyncIterator[FastAPI]:
    app = build_app(TtsSettings(slots=2))
    with anyio.fail_after(50):
        async with app.router.lifespan_context(app):
            assert await report(app) == "ready"
            yield app


class Newborn:
    """The objects that were made since and live still."""

    def __init__(self) -> None:
        self._older = self._living(*OF_A_REPLY, Outbox, Slots)

    def __call__(self, *kinds: type) -> list[object]:
        older = {id(found) for found in self._older}
        return [found for found in self._living(*kinds) if id(found) not in older]

    def _living(self, *kinds: type) -> list[object]:
        gc.collect()
        return [found for found in gc.get_objects() if isinstance(found, kinds)]


def children() -> set[str]:
    """The processes that this one started and has not reaped."""
    found = Path("/proc/self/task").glob("*/children")
    return {pid for path in found for pid in path.read_text(encoding="ascii").split()}


async def abandon(peer: Peer, name: str, *, after_audio: bool) -> None:
    """Begin a long reply, and cancel it before or after its first sound."""
    peer.send(Start(reply_id=name, sample_rate=16_000), Text(reply_id=name, delta=SENTENCE * 20))
    if after_audio:
        while not isinstance(await peer.receive(), tuple):
            pass
    peer.send(Cancel(reply_id=name))
    received = await peer.until_done(name)
    assert dones(received) == {name: "cancelled"}


async def test_two_hundred_cancelled_replies_leave_no_thread_no_place_in_the_queue_and_no_memory() -> None:
    living = Newborn()
    async with speaking() as app, peer_of(app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        for place in range(4):
            await abandon(peer, f"warm {place}".replace(" ", "_"), after_audio=place % 2 == 0)
        threads, processes = threading.active_count(), children()
        tracemalloc.start()
        try:
            gc.collect()
            before_bytes, _ = tracemalloc.get_traced_memory()
            for place in range(ABANDONED):
                await abandon(peer, f"r{place}", after_audio=place % 2 == 0)
            assert living(*OF_A_REPLY) == []
            after_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after_bytes - before_bytes < MOST_LEFT_BYTES
        assert threading.active_count() <= threads
        assert children() == processes
        check_slots(living)
        assert [len(found) for found in living(Outbox) if isinstance(found, Outbox)] == [0]


def check_slots(living: Newborn) -> None:
    found = [slots for slots in living(Slots) if isinstance(slots, Slots)]
    assert [(slots.free(), slots.waiting(), slots.capacity.live) for slots in found] == [(2, 0, 0)]


async def test_connections_that_are_left_in_the_middle_of_replies_leave_nothing() -> None:
    living = Newborn()
    async with speaking() as app:
        for place in range(30):
            async with peer_of(app) as peer:
                assert isinstance(await peer.receive(), TtsReady)
                for name in ("a", "b", "c"):
                    peer.send(Start(reply_id=name), Text(reply_id=name, delta=SENTENCE * 20))
                if place % 3:
                    while not isinstance(await peer.receive(), tuple):
                        pass
        while living(*OF_A_REPLY, Outbox):
            await checkpoint()
        check_slots(living)


async def test_no_sound_follows_a_cancel() -> None:
    async with speaking() as app, peer_of(app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        for place in range(20):
            await abandon(peer, f"r{place}", after_audio=True)
        peer.send(Start(reply_id="last"), Cancel(reply_id="last"))
        assert await peer.receive() == Done(reply_id="last", outcome="cancelled", total_samples=0)

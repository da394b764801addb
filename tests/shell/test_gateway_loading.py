"""A client learns which services are being loaded, and when each is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint

from gateway.core.replica_choice import Condition
from gateway.loading import tell_loading
from gateway.replicas import Replicas
from gateway.watch import ServiceWatch
from shared.wire import native

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

VOICE = "ws://127.0.0.1:9"


class Told:
    """What a client was told."""

    def __init__(self) -> None:
        self.news: list[tuple[str, float | None]] = []

    def take(self, message: native.Loading) -> None:
        self.news.append((message.service, message.progress))

    async def until(self, count: int) -> None:
        while len(self.news) < count:
            await checkpoint()


@asynccontextmanager
async def telling(replicas: Replicas) -> AsyncIterator[Told]:
    told = Told()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell_loading, ServiceWatch([replicas]), told.take, 0.0)
        yield told
        tasks.cancel_scope.cancel()


async def test_what_is_loading_is_told_once_and_again_when_it_is_there() -> None:
    voices = Replicas("tts_service", VOICE)
    voices.see(VOICE, Condition.LOADING)
    async with telling(voices) as told:
        await told.until(1)
        for _ in range(20):
            await checkpoint()
        voices.see(VOICE, Condition.READY)
        await told.until(2)
        voices.see(VOICE, Condition.LOADING)
        await told.until(3)

    assert told.news == [("tts", None), ("tts", 1.0), ("tts", None)]


@pytest.mark.parametrize("condition", [Condition.READY, Condition.SILENT])
async def test_nothing_is_told_of_what_is_ready_or_away(condition: Condition) -> None:
    voices = Replicas("tts_service", VOICE)
    voices.see(VOICE, condition)
    async with telling(voices) as told:
        for _ in range(20):
            await checkpoint()

    assert told.news == []

"""Recognisers are opened when they are needed, shared, and replaced when they fail."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from asr_service.engines.base import Engine, Recogniser
from asr_service.engines.fake import DEFAULT_SCRIPT, FakeEngine, FakeRecogniser
from asr_service.recognisers import Recognisers
from shared.errors import ServiceUnavailable
from shared.health import READY
from tests.support.asr import reaches, running

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

LOADING = "The recogniser is loading."


class ClosingRecogniser(FakeRecogniser):
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class CountingEngine(FakeEngine):
    """Opens `limit` recognisers, then breaks."""

    def __init__(self, limit: int = 100) -> None:
        super().__init__()
        self.opened: list[ClosingRecogniser] = []
        self._limit = limit

    def open(self) -> FakeRecogniser:
        if len(self.opened) == self._limit:
            raise MemoryError
        self.opened.append(ClosingRecogniser(DEFAULT_SCRIPT, lambda: None))
        return self.opened[-1]


@asynccontextmanager
async def loading(load: Callable[[], Engine], language: str = "en") -> AsyncIterator[Recognisers]:
    recognisers = Recognisers(load, language, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recognisers.run)
        yield recognisers
        tasks.cancel_scope.cancel()


async def is_opened(recognisers: Recognisers, count: int) -> None:
    """Until so many have been opened; the test's own timeout is the limit."""
    while recognisers.opened != count:
        await checkpoint()


async def test_what_is_missing_is_said_while_the_engine_loads() -> None:
    may_load = threading.Event()

    def load() -> Engine:
        may_load.wait()
        return FakeEngine()

    async with loading(load) as recognisers:
        assert await recognisers.state() == LOADING
        with pytest.raises(ServiceUnavailable, match=LOADING):
            _ = recognisers.engine
        may_load.set()
        await reaches(recognisers, READY)
        assert recognisers.engine.name == "fake"


async def test_an_engine_that_cannot_be_loaded_is_no_crash() -> None:
    def load() -> Engine:
        raise ImportError("no such library")

    async with loading(load) as recognisers:
        await reaches(recognisers, "The recogniser could not be loaded.")
        with pytest.raises(ServiceUnavailable):
            _ = recognisers.engine


async def test_an_engine_that_cannot_open_a_recogniser_is_no_crash() -> None:
    async with loading(lambda: CountingEngine(limit=0)) as recognisers:
        await reaches(recognisers, "The recogniser could not be opened.")


async def test_a_language_that_the_engine_does_not_understand_gives_way_to_one_that_it_does() -> None:
    async with loading(FakeEngine, "tlh") as recognisers:
        await reaches(recognisers, READY)
        assert recognisers.language == "en"


async def test_a_region_of_a_language_is_understood() -> None:
    async with loading(FakeEngine, "en-GB") as recognisers:
        await reaches(recognisers, READY)


async def test_another_one_is_opened_when_the_last_is_taken_up_to_the_limit() -> None:
    async with running(CountingEngine(), capacity=2) as recognisers:
        assert recognisers.opened == 1

        first = recognisers.take_nowait()
        await is_opened(recognisers, 2)
        second = recognisers.take_nowait()
        await wait_all_tasks_blocked()

        assert first is not None
        assert second is not None
        assert recognisers.opened == 2
        assert recognisers.take_nowait() is None


async def test_none_is_opened_while_one_is_idle() -> None:
    async with running(CountingEngine(), capacity=3) as recognisers:
        first = recognisers.take_nowait()
        assert first is not None
        await is_opened(recognisers, 2)
        recognisers.give_back(first)
        await recognisers.take()
        await wait_all_tasks_blocked()

        assert (recognisers.opened, recognisers.idle) == (2, 1)


async def test_who_waits_is_served_before_who_only_asks() -> None:
    got: list[Recogniser] = []

    async with running(CountingEngine()) as recognisers:

        async def wait() -> None:
            got.append(await recognisers.take())

        one = await recognisers.take()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            recognisers.give_back(one)

            assert recognisers.take_nowait() is None
        assert got == [one]


async def test_one_that_failed_is_closed_and_replaced() -> None:
    engine = CountingEngine()
    async with running(engine) as recognisers:
        recognisers.discard(await recognisers.take())

        assert engine.opened[0].is_closed
        assert await recognisers.take() is engine.opened[1]


async def test_those_that_are_there_serve_on_when_no_more_can_be_opened() -> None:
    async with running(CountingEngine(limit=1), capacity=2) as recognisers:
        one = await recognisers.take()
        await wait_all_tasks_blocked()
        recognisers.give_back(one)

        assert await recognisers.take() is one
        assert await recognisers.state() == READY


async def test_the_end_closes_the_idle_ones_and_those_that_come_back_later() -> None:
    engine = CountingEngine()
    async with running(engine, capacity=2) as recognisers:
        one = await recognisers.take()
        await is_opened(recognisers, 2)
    assert [recogniser.is_closed for recogniser in engine.opened] == [False, True]

    recognisers.give_back(one)
    assert engine.opened[0].is_closed
    with pytest.raises(ServiceUnavailable, match="has stopped"):
        _ = recognisers.engine

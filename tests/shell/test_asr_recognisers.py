"""Recognisers are opened when they are needed, shared, and replaced when they fail."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from asr_service.engines.base import Engine, Recogniser, Task
from asr_service.engines.fake import DEFAULT_SCRIPT, FakeEngine, FakeRecogniser
from asr_service.recognisers import Recognisers
from shared.errors import ServiceUnavailable
from shared.health import READY
from tests.support.asr import reaches

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

LOADING = "The recogniser is loading."


class ClosingRecogniser(FakeRecogniser):
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class CountingEngine(FakeEngine):
    """Opens `limit` recognisers, each a model of its own, then breaks."""

    shares_model = False

    def __init__(self, limit: int = 100) -> None:
        super().__init__()
        self.warmed = 0
        self.opened: list[ClosingRecogniser] = []
        self._limit = limit

    def open(self) -> FakeRecogniser:
        if len(self.opened) == self._limit:
            raise MemoryError
        self.opened.append(ClosingRecogniser(DEFAULT_SCRIPT))
        return self.opened[-1]

    def warm_up(self, recogniser: Recogniser, task: Task) -> None:
        self.warmed += 1


class SharingEngine(CountingEngine):
    """Opens recognisers of one model."""

    shares_model = True


class KnowingEngine(FakeEngine):
    """Has to be told what is spoken."""

    detects = False


@asynccontextmanager
async def loading(
    load: Callable[[], Engine], language: str = "en", own_models: int = 1, streams: int = 1
) -> AsyncIterator[Recognisers]:
    recognisers = Recognisers(load, language, own_models, streams)
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


async def test_what_is_spoken_is_found_out_only_where_the_engine_can() -> None:
    async with loading(FakeEngine, "auto") as recognisers:
        await reaches(recognisers, READY)
        assert recognisers.language == "auto"
    async with loading(KnowingEngine, "auto") as recognisers:
        await reaches(recognisers, READY)
        assert recognisers.language == "en"


async def test_a_region_of_a_language_is_understood() -> None:
    async with loading(FakeEngine, "en-GB") as recognisers:
        await reaches(recognisers, READY)


async def taken(recognisers: Recognisers) -> Recogniser:
    """The next that can be taken; the test's own timeout is the limit."""
    await recognisers.is_ready.wait()
    while (recogniser := recognisers.take_nowait()) is None:
        await checkpoint()
    return recogniser


async def test_another_one_is_opened_when_the_last_is_taken_up_to_the_limit() -> None:
    async with loading(CountingEngine, own_models=2) as recognisers:
        first = await taken(recognisers)
        second = await taken(recognisers)
        await wait_all_tasks_blocked()

        assert first is not second
        assert recognisers.opened == 2
        assert recognisers.take_nowait() is None


async def test_where_all_share_one_model_the_limit_is_that_of_streams() -> None:
    async with loading(SharingEngine, own_models=1, streams=3) as recognisers:
        for _ in range(3):
            await taken(recognisers)
        await wait_all_tasks_blocked()

        assert recognisers.opened == recognisers.capacity == 3


async def test_a_model_is_warmed_up_once_and_each_recogniser_that_has_one_of_its_own() -> None:
    for engine, warmed in ((SharingEngine(), 1), (CountingEngine(), 2)):
        async with loading(lambda engine=engine: engine, own_models=2, streams=2) as recognisers:  # type: ignore[misc]
            await taken(recognisers)
            await taken(recognisers)
        assert engine.warmed == warmed


async def test_none_is_opened_while_one_is_idle() -> None:
    async with loading(CountingEngine, own_models=3) as recognisers:
        first = await taken(recognisers)
        await is_opened(recognisers, 2)
        recognisers.give_back(first)
        await taken(recognisers)
        await wait_all_tasks_blocked()

        assert (recognisers.opened, recognisers.idle) == (2, 1)


async def test_who_waits_is_told_when_one_comes_back_and_when_one_was_opened() -> None:
    async with loading(CountingEngine, own_models=2) as recognisers:
        told: list[int] = []
        first = await taken(recognisers)
        recognisers.on_idle = lambda: told.append(recognisers.idle)
        await is_opened(recognisers, 2)
        assert told == [1]

        recognisers.give_back(first)
        assert told == [1, 2]


async def test_one_that_failed_is_closed_and_replaced() -> None:
    engine = CountingEngine()
    async with loading(lambda: engine) as recognisers:
        recognisers.discard(await taken(recognisers))

        assert engine.opened[0].is_closed
        assert await taken(recognisers) is engine.opened[1]


async def test_those_that_are_there_serve_on_when_no_more_can_be_opened() -> None:
    async with loading(lambda: CountingEngine(limit=1), own_models=2) as recognisers:
        one = await taken(recognisers)
        await wait_all_tasks_blocked()
        recognisers.give_back(one)

        assert await taken(recognisers) is one
        assert await recognisers.state() == READY


async def test_the_end_closes_the_idle_ones_and_those_that_come_back_later() -> None:
    engine = CountingEngine()
    async with loading(lambda: engine, own_models=2) as recognisers:
        one = await taken(recognisers)
        await is_opened(recognisers, 2)
    assert [recogniser.is_closed for recogniser in engine.opened] == [False, True]

    recognisers.give_back(one)
    assert engine.opened[0].is_closed
    with pytest.raises(ServiceUnavailable, match="has stopped"):
        _ = recognisers.engine

"""What an engine does wrong harms what it was asked for, and nothing else."""

from collections.abc import Callable, Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from asr_service import recognisers as pool
from asr_service.core.decode_queue import Urgency
from asr_service.core.endpointer import SpeechStarted
from asr_service.engines.base import Result, Step, Task
from asr_service.engines.fake import DEFAULT_SCRIPT, FakeEngine, FakeRecogniser
from asr_service.recognisers import Recognisers, task_in
from asr_service.scheduler import DecodeScheduler
from asr_service.utterance import LONGEST_STEP_BYTES, Utterance
from shared.errors import EngineFailed
from shared.health import READY
from tests.support.asr import reaches, running
from tests.support.speech import tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class OddEngine(FakeEngine):
    """Does one call wrong, as `fault` says; the others right."""

    most_joined = 4

    def __init__(self, fault: Callable[[Sequence[Step]], object]) -> None:
        super().__init__()
        self.fault: Callable[[Sequence[Step]], object] | None = None
        self._kept = fault

    def arm(self) -> None:
        self.fault = self._kept

    def is_incremental(self, language: str) -> bool:
        return False

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        fault, self.fault = self.fault, None
        return fault(steps) if fault else super().read(steps)  # type: ignore[return-value]


def ended(scheduler: DecodeScheduler, heard_ms: int = 400) -> Utterance:
    one = Utterance(scheduler, Task("en"), SpeechStarted(0, 0))
    one.add([tone(heard_ms)])
    one.conclude(Urgency.FINAL)
    return one


def raises(_: Sequence[Step]) -> object:
    raise OSError("the library broke")


FAULTS: dict[str, Callable[[Sequence[Step]], object]] = {
    "it raises": raises,
    "too few results": lambda steps: [],
    "no list": lambda steps: None,
    "no result": lambda steps: [None for _ in steps],
    "no text": lambda steps: [Result(None) for _ in steps],  # type: ignore[arg-type]
    "no spans": lambda steps: [Result("one", ("from here to there",)) for _ in steps],  # type: ignore[arg-type]
    "a failure": lambda steps: [OSError("the library broke") for _ in steps],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_that_goes_wrong_fails_its_utterance_and_no_other(fault: str) -> None:
    engine = OddEngine(FAULTS[fault])
    async with running(engine, capacity=2) as scheduler:
        engine.arm()
        first = ended(scheduler)
        await first.ended()
        news = first.take_news()
        second = ended(scheduler)
        await second.ended()
        first.close()
        second.close()

    assert news is not None
    assert isinstance(news.failure, EngineFailed)
    assert "library" not in news.failure.message
    assert second.text == "one"


async def test_of_those_that_are_read_together_only_the_one_at_fault_fails() -> None:
    class Joining(OddEngine):
        def joins(self, first: Step, other: Step) -> bool:
            return True

    def one_fails(steps: Sequence[Step]) -> list[Result | Exception]:
        return [OSError("broke"), *(step.run() for step in steps[1:])]

    engine = Joining(one_fails)
    async with running(engine, capacity=3) as scheduler:
        engine.arm()
        several = [ended(scheduler) for _ in range(3)]
        for one in several:
            await one.ended()
            one.close()

    assert [one.text for one in several] == ["", "one", "one"]


async def test_whether_two_go_together_may_go_wrong() -> None:
    class Undecided(OddEngine):
        def joins(self, first: Step, other: Step) -> bool:
            raise OSError("broke")

    async with running(Undecided(raises), capacity=2) as scheduler:
        several = [ended(scheduler) for _ in range(2)]
        for one in several:
            await one.ended()
            one.close()

    assert [one.text for one in several] == ["one", "one"]


class Stubborn(FakeRecogniser):
    def close(self) -> None:
        raise OSError("it does not close")


class FailingEngine(FakeEngine):
    """Opens recognisers that cannot be closed; the calls of `open` whose number is in `fails` fail."""

    def __init__(self, shares_model: bool, fails: set[int], on_step: Callable[[], None] = lambda: None) -> None:
        super().__init__(on_step=on_step)
        self.shares_model = shares_model
        self._fails = fails
        self.opened = 0

    def open(self) -> FakeRecogniser:
        self.opened += 1
        if self.opened in self._fails:
            raise MemoryError
        return Stubborn(DEFAULT_SCRIPT, self._on_step)


@pytest.mark.parametrize("shares_model", [True, False])
async def test_a_recogniser_that_cannot_be_had_now_can_be_had_later(
    shares_model: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "RETRY_S", 0.001)
    steps = 0

    def fail_once() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:  # the first warms up
            raise OSError("broke")

    engine = FailingEngine(shares_model, {2}, fail_once)
    async with running(engine) as scheduler:
        first = ended(scheduler)
        await first.ended()
        first.close()
        await reaches(scheduler.recognisers, READY)
        while scheduler.recognisers.idle == 0:
            await checkpoint()
        second = ended(scheduler)
        await second.ended()
        second.close()

    assert (first.text, second.text) == ("", "one")
    assert engine.opened == 3


async def test_one_of_a_shared_model_that_cannot_be_opened_is_none() -> None:
    async with running(FailingEngine(True, {2}), capacity=2) as scheduler:
        assert scheduler.recognisers.take_nowait() is not None
        assert scheduler.recognisers.take_nowait() is None
        assert scheduler.recognisers.take_nowait() is not None


async def test_an_engine_that_cannot_be_loaded_at_first_is_loaded_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_S", 0.001)
    tries = 0

    def load() -> FakeEngine:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("the server is not there yet")
        return FakeEngine()

    recognisers = Recognisers(load, "en", own_models=1, streams=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recognisers.run)
        await reaches(recognisers, READY)
        tasks.cancel_scope.cancel()

    assert tries == 3


async def test_who_has_left_is_not_decoded_on() -> None:
    sizes: list[int] = []

    class Steps(FakeEngine):
        def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
            sizes.extend(len(step.pcm) for step in steps)
            return super().read(steps)

    async with running(Steps()) as scheduler:
        sizes.clear()
        one = ended(scheduler, heard_ms=5_000)
        while not sizes:
            await checkpoint()
        one.close()
        while scheduler.recognisers.idle == 0:
            await checkpoint()
        assert not one.is_reading

    assert sizes == [LONGEST_STEP_BYTES]


async def test_the_engine_is_closed_at_the_end() -> None:
    class Closing(FakeEngine):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    engine = Closing()
    async with running(engine):
        assert not engine.is_closed
    assert engine.is_closed


def test_any_kind_of_auto_is_whatever_is_spoken() -> None:
    assert [task_in(language).language for language in ("auto", "AUTO", "auto-XX", "en-GB")] == ["", "", "", "en-GB"]

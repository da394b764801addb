"""An utterance and the scheduler: what a step takes, when text is news, and what becomes of the recogniser."""

from collections.abc import Sequence

import pytest
from anyio import to_thread, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from prometheus_client import REGISTRY

from asr_service.core.decode_queue import Urgency
from asr_service.core.endpointer import SpeechStarted
from asr_service.engines.base import Engine, Result, Span, Step, Task, Word
from asr_service.engines.fake import DEFAULT_SCRIPT, FakeEngine, FakeRecogniser, Line
from asr_service.scheduler import DecodeScheduler
from asr_service.utterance import LONGEST_STEP_BYTES, Reading, Utterance
from tests.support.asr import Gate, running
from tests.support.speech import cut, tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

MS = 16  # samples


class WindowEngine(FakeEngine):
    """Reads the whole stretch each time, two calls at a time; keeps what the calls were."""

    lanes = 2
    most_joined = 4

    def __init__(self, gate: Gate | None = None, script: tuple[Line, ...] = DEFAULT_SCRIPT) -> None:
        super().__init__(script)
        self.gate = gate or Gate()
        self.calls: list[list[Step]] = []

    def is_incremental(self, language: str) -> bool:
        return False

    def joins(self, first: Step, other: Step) -> bool:
        return len(first.pcm) == len(other.pcm)

    def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
        self.gate.pass_through()
        self.calls.append(list(steps))
        return super().read(steps)

    @property
    def sizes_ms(self) -> list[list[int]]:
        """How much each step of each call heard."""
        return [[len(step.pcm) // 2 // MS for step in call] for call in self.calls]


def utterance(scheduler: DecodeScheduler, *, heard_ms: int = 0, from_samples: int = 0) -> Utterance:
    one = Utterance(scheduler, Task("en"), SpeechStarted(from_samples, from_samples))
    one.add([tone(heard_ms)])
    return one


async def read(one: Utterance) -> Reading:
    """The next news; the test's own timeout is the limit."""
    while (news := one.take_news()) is None:
        await checkpoint()
    return news


def stale() -> float:
    return REGISTRY.get_sample_value("parley_stale_dropped_total", {"service": "asr", "what": "window"}) or 0.0


async def test_a_reading_is_news_once() -> None:
    async with running(WindowEngine()) as scheduler:
        one = utterance(scheduler, heard_ms=400, from_samples=80)
        one.follow()
        news = await read(one)
        one.close()

    assert news == Reading("one", 80 + 400 * MS, is_end=False)
    assert one.take_news() is None


async def test_no_reading_is_asked_for_before_one_is_due() -> None:
    async with running(WindowEngine()) as scheduler:
        one = utterance(scheduler, heard_ms=340)
        one.follow()
        assert not one.is_reading
        one.close()


async def test_what_waits_when_the_turn_comes_is_read_and_the_older_windows_are_stale() -> None:
    engine = WindowEngine()
    async with running(engine, capacity=3) as scheduler:
        engine.calls.clear()
        engine.gate.shut()
        busy = [utterance(scheduler, heard_ms=ms) for ms in (400, 500)]
        for one in busy:
            one.follow()
        await to_thread.run_sync(engine.gate.reached.wait)
        await wait_all_tasks_blocked()

        before = stale()
        third = utterance(scheduler, heard_ms=360)
        third.follow()
        for _ in range(2):
            third.add([tone(1_000)])
            third.follow()
        assert stale() == before + 2
        engine.gate.open()
        assert (await read(third)).until_samples == 2_360 * MS
        for one in (*busy, third):
            one.close()

    assert [2_360] in engine.sizes_ms


async def test_equal_windows_of_several_speakers_are_read_in_one_call() -> None:
    engine = WindowEngine()
    async with running(engine, capacity=6) as scheduler:
        engine.calls.clear()
        engine.gate.shut()
        first, second = (utterance(scheduler, heard_ms=ms) for ms in (900, 950))
        for one in (first, second):
            one.follow()
        await to_thread.run_sync(engine.gate.reached.wait)
        await wait_all_tasks_blocked()
        others = [utterance(scheduler, heard_ms=ms) for ms in (400, 500, 400, 400)]
        for one in others:
            one.follow()
        engine.gate.open()
        assert [(await read(one)).text for one in others] == ["one"] * 4
        for one in (first, second, *others):
            one.close()

    assert sorted(engine.sizes_ms) == [[400, 400, 400], [500], [900], [950]]


async def test_a_decode_that_stalls_leaves_a_lane_to_everybody_else() -> None:
    engine = WindowEngine()
    async with running(engine, capacity=3) as scheduler:
        engine.gate.shut()
        stalled = utterance(scheduler, heard_ms=400)
        stalled.follow()
        await to_thread.run_sync(engine.gate.reached.wait)

        gate, engine.gate = engine.gate, Gate()  # one that is open for all others
        for number in range(3):
            other = utterance(scheduler, heard_ms=500)
            other.follow()
            assert (await read(other)).text == "one", number
            other.close()
        gate.open()
        stalled.close()


async def test_the_end_is_read_before_the_partials_of_others() -> None:
    engine = WindowEngine()
    engine.lanes = 1
    async with running(engine, capacity=4) as scheduler:
        engine.calls.clear()
        engine.gate.shut()
        ones = [utterance(scheduler, heard_ms=ms) for ms in (400, 500, 600, 700)]
        ones[0].follow()
        await to_thread.run_sync(engine.gate.reached.wait)
        ones[1].follow()
        ones[2].conclude(Urgency.CANDIDATE)
        ones[3].conclude(Urgency.FINAL)
        engine.gate.open()
        for one in ones:
            await read(one)
            one.close()

    assert engine.sizes_ms == [[400], [700], [600], [500]]


async def test_the_end_is_read_up_to_the_pause_and_once() -> None:
    engine = WindowEngine()
    async with running(engine) as scheduler:
        engine.calls.clear()
        one = utterance(scheduler, heard_ms=400)
        one.conclude(Urgency.CANDIDATE)
        one.add([tone(600)])
        assert await read(one) == Reading("one", 400 * MS, is_end=True)
        one.conclude(Urgency.FINAL)
        await one.ended()
        one.follow()
        assert (one.text, one.is_reading) == ("one", False)
        one.close()

    assert engine.sizes_ms == [[400]]
    assert one.spans == (Span(0, 400 * MS, "one"),)


async def test_who_speaks_on_after_a_pause_is_read_on() -> None:
    engine = WindowEngine()
    async with running(engine) as scheduler:
        one = utterance(scheduler, heard_ms=400)
        one.conclude(Urgency.CANDIDATE)
        await read(one)
        one.resume()
        one.add([tone(700)])
        one.conclude(Urgency.FINAL)
        await one.ended()

        assert one.text == "one two three"
        one.close()


@pytest.mark.parametrize(("text", "is_settled"), [("what is the time", True), ("what is the", False)])
async def test_a_whole_sentence_is_settled_when_somebody_speaks_on(text: str, is_settled: bool) -> None:
    engine = WindowEngine(script=(Line(100, text),))
    async with running(engine) as scheduler:
        engine.calls.clear()
        one = utterance(scheduler, heard_ms=400)
        one.conclude(Urgency.CANDIDATE)
        await read(one)
        for _ in range(2):
            one.resume()
            one.add([tone(600)])
            one.follow()
            await read(one)
        one.close()

    assert [step.settles for (step,) in engine.calls] == [False, is_settled, False]


async def test_an_end_that_somebody_spoke_on_after_is_no_end() -> None:
    engine = WindowEngine()
    async with running(engine) as scheduler:
        engine.gate.shut()
        one = utterance(scheduler, heard_ms=400)
        one.conclude(Urgency.CANDIDATE)
        await to_thread.run_sync(engine.gate.reached.wait)
        one.resume()
        one.add([tone(300)])
        one.conclude(Urgency.CANDIDATE)
        engine.gate.open()
        first, second = await read(one), await read(one)
        one.close()

    assert (first.is_end, second.is_end) == (False, True)
    assert (first.text, second.text) == ("one", "one two")


async def test_an_end_that_waits_is_withdrawn_when_somebody_speaks_on() -> None:
    engine = WindowEngine()
    engine.lanes = 1
    async with running(engine, capacity=2) as scheduler:
        engine.gate.shut()
        other, one = utterance(scheduler, heard_ms=400), utterance(scheduler, heard_ms=500)
        other.follow()
        await to_thread.run_sync(engine.gate.reached.wait)
        one.conclude(Urgency.CANDIDATE)
        assert one.is_reading
        one.resume()
        assert not one.is_reading
        engine.gate.open()
        await read(other)
        other.close()
        one.close()


async def test_an_incremental_recogniser_catches_up_by_steps_that_a_cancel_can_wait_for() -> None:
    sizes: list[int] = []

    class Steps(FakeEngine):
        def read(self, steps: Sequence[Step]) -> list[Result | Exception]:
            sizes.extend(len(step.pcm) for step in steps)
            return super().read(steps)

    async with running(Steps()) as scheduler:
        sizes.clear()
        one = utterance(scheduler, heard_ms=2_500)
        one.conclude(Urgency.FINAL)
        await one.ended()
        one.close()

    assert sizes == [LONGEST_STEP_BYTES, LONGEST_STEP_BYTES, LONGEST_STEP_BYTES // 2]
    assert one.text == "one two three"


async def test_a_recogniser_in_a_step_goes_back_when_the_step_is_done() -> None:
    engine = WindowEngine()
    async with running(engine) as scheduler:
        engine.gate.shut()
        one = utterance(scheduler, heard_ms=400)
        one.follow()
        await to_thread.run_sync(engine.gate.reached.wait)
        one.close()
        assert scheduler.recognisers.idle == 0
        engine.gate.open()
        await read(one)
        assert scheduler.recognisers.idle == 1


async def test_spans_and_words_count_in_samples_of_the_stream() -> None:
    class Wordy(FakeEngine):
        def open(self) -> FakeRecogniser:
            return WordyRecogniser(DEFAULT_SCRIPT)

    class WordyRecogniser(FakeRecogniser):
        def finish(self) -> Result:
            return Result("one", (Span(10, 20, "one", (Word(11, 19, "one"),)),))

    engine: Engine = Wordy()
    async with running(engine) as scheduler:
        one = utterance(scheduler, heard_ms=400, from_samples=1_000)
        one.conclude(Urgency.FINAL)
        await one.ended()
        one.close()

    assert one.spans == (Span(1_010, 1_020, "one", (Word(1_011, 1_019, "one"),)),)


async def test_what_partials_cost_is_the_median_of_the_last_ones() -> None:
    async with running(WindowEngine()) as scheduler:
        assert scheduler.cost_s == 0.0
        one = utterance(scheduler)
        for pcm in cut(tone(4_000), 32_000):
            one.add([pcm])
            one.follow()
            await read(one)
        one.close()

        assert scheduler.cost_s > 0.0

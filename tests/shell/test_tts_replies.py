"""A reply being spoken, its lane and the polish of its audio, on the fake engine."""

import threading
from collections.abc import Generator

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.threads import StopToken
from shared.wire.tts import Done, SegmentStarted, TtsError
from tests.support.tts_stage import audio_samples, segments, stage, tone_samples
from tts_service.audio import silence
from tts_service.engines.base import SynthesisRequest
from tts_service.engines.fake import FAILS, SAMPLE_RATE, FakeEngine, FakeSlot
from tts_service.reply import TEXT_LIMIT_CHARS

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_each_segment_is_announced_before_its_audio_and_done_comes_last() -> None:
    async with stage() as on:
        on.say("a", "Hello there. How are you?")
        items = await on.until_done()
    first, second = segments(items)
    assert (first.text, first.index, first.start_samples) == ("Hello there.", 0, 0)
    assert (second.text, second.index) == ("How are you?", 1)
    before_second = audio_samples(items[: items.index(second)])
    assert before_second == second.start_samples
    pause = second.start_samples - tone_samples(first.text)
    assert 0 < pause < SAMPLE_RATE
    assert items[-1] == Done(reply_id="a", outcome="completed", total_samples=audio_samples(items))
    assert audio_samples(items) == tone_samples(first.text) + pause + tone_samples(second.text)


async def test_positions_count_at_the_rate_that_was_asked_for() -> None:
    async with stage() as on:
        on.say("a", "Hello there. How are you?", rate=48_000)
        items = await on.until_done()
    first, second = segments(items)
    assert second.start_samples == pytest.approx(3 * (tone_samples(first.text) + SAMPLE_RATE * 0.25), rel=0.1)
    assert isinstance(items[-1], Done)
    assert items[-1].total_samples == audio_samples(items)


async def test_the_first_segment_is_spoken_before_the_text_has_ended() -> None:
    async with stage() as on:
        reply = on.start("a")
        reply.add("Well, this is only the begin")
        _, segment = await on.outbox.take()
        _, pcm = await on.outbox.take()
        assert isinstance(segment, SegmentStarted)
        assert segment.text == "Well,"
        assert isinstance(pcm, bytes)


async def test_a_finished_sentence_is_spoken_when_no_text_follows_it() -> None:
    async with stage() as on:
        reply = on.start("a", idle_flush_ms=1)
        reply.add("Yes.")
        _, segment = await on.outbox.take()
        assert isinstance(segment, SegmentStarted)
        assert segment.text == "Yes."
        reply.add(" And more.")
        reply.end()
        items = await on.until_done()
    assert [segment.text for segment in segments(items)] == ["And more."]


async def test_text_after_the_end_is_not_spoken() -> None:
    async with stage() as on:
        reply = on.say("a", "One.")
        reply.add("Two.")
        reply.end()
        assert [segment.text for segment in segments(await on.until_done())] == ["One."]


@pytest.mark.parametrize("text", ["🙂", "...", "```\ncode\n```", "***"])
async def test_a_segment_that_cannot_be_said_is_announced_without_audio(text: str) -> None:
    async with stage() as on:
        on.say("a", text)
        items = await on.until_done()
        assert on.engine.requests == []
    assert [segment.text for segment in segments(items)] == [text]
    assert items[-1] == Done(reply_id="a", outcome="completed", total_samples=0)


async def test_markdown_is_not_said_but_stays_in_the_segment() -> None:
    async with stage() as on:
        on.say("a", "This is **bold**.")
        items = await on.until_done()
        assert on.texts() == ["This is bold."]
    assert segments(items)[0].text == "This is **bold**."


async def test_an_empty_reply_is_done_at_once() -> None:
    async with stage() as on:
        on.say("a", "")
        assert await on.until_done() == [Done(reply_id="a", outcome="completed", total_samples=0)]


async def test_a_segment_without_sound_leaves_no_pause_of_its_own() -> None:
    async with stage() as on:
        on.say("a", "One.\n🙂\n🙂\nTwo.")
        with_faces = await on.until_done()
        on.say("b", "One.\nTwo.")
        without = await on.until_done("b")
    assert audio_samples(with_faces) == audio_samples(without)


async def test_a_cancel_stops_the_engine_and_is_answered_by_done_alone() -> None:
    async with stage() as on:
        on.engine.hold()
        reply = on.say("a", "Hello there. How are you?")
        on.engine.let(10)
        sent = [await on.outbox.take(), await on.outbox.take()]
        assert isinstance(sent[-1][1], bytes)
        reply.cancel()
        rest = await on.until_done()
        assert on.engine.running == 0
        assert on.engine.blocks_made <= 10
    assert rest == [Done(reply_id="a", outcome="cancelled", total_samples=len(sent[-1][1]) // 2)]


class StubbornEngine(FakeEngine):
    """Does not look at its stop token until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.is_deaf = threading.Event()
        self.released = threading.Event()

    def open_slot(self) -> "StubbornSlot":
        self.open_slots += 1
        return StubbornSlot(self)


class StubbornSlot(FakeSlot):
    def __init__(self, engine: StubbornEngine) -> None:
        super().__init__(engine)
        self._stubborn = engine

    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        blocks = super().synthesise(request, stop)
        yield from (next(blocks) for _ in range(8))
        self._stubborn.is_deaf.set()
        self._stubborn.released.wait(10)
        yield from blocks


async def test_a_cancel_is_not_answered_before_the_engine_has_stopped() -> None:
    engine = StubbornEngine()
    async with stage(engine) as on:
        reply = on.say("a", "Hello there.")
        await on.outbox.take()
        while not engine.is_deaf.is_set():
            await checkpoint()
        reply.cancel()
        await wait_all_tasks_blocked()
        with anyio.move_on_after(0) as nothing:
            await on.outbox.take()
        assert nothing.cancelled_caught
        assert on.slots.free() == 0
        engine.released.set()
        assert await on.until_done() == [Done(reply_id="a", outcome="cancelled", total_samples=0)]
        assert on.slots.free() == 1


async def test_a_cancel_while_waiting_for_a_slot_is_answered_at_once() -> None:
    async with stage() as on:
        on.engine.hold()
        on.say("a", "Hello there.")
        await on.until_requests(1)
        waiting = on.say("b", "Hello there.")
        await wait_all_tasks_blocked()
        assert on.slots.waiting() == 1
        waiting.cancel()
        assert await on.until_done("b") == [Done(reply_id="b", outcome="cancelled", total_samples=0)]
        assert on.slots.waiting() == 0


async def test_a_cancel_of_what_is_made_but_not_sent_takes_it_back() -> None:
    async with stage() as on:
        reply = on.say("a", "Hello there.")
        _, segment = await on.outbox.take()
        _, frame = await on.outbox.take()
        assert isinstance(segment, SegmentStarted)
        assert isinstance(frame, bytes)
        while on.slots.free() == 0:
            await checkpoint()
        await wait_all_tasks_blocked()  # `done completed` waits behind the audio
        reply.cancel()
        assert await on.until_done() == [Done(reply_id="a", outcome="cancelled", total_samples=len(frame) // 2)]


async def test_a_cancel_before_the_reply_has_begun_speaks_nothing() -> None:
    async with stage() as on:
        reply = on.say("a", "Hello there.")
        reply.cancel()
        reply.cancel()
        assert await on.until_done() == [Done(reply_id="a", outcome="cancelled", total_samples=0)]
        assert on.engine.requests == []


async def test_an_engine_that_fails_fails_its_reply_and_no_other() -> None:
    async with stage() as on:
        on.say("a", f"This goes {FAILS}.")
        items = await on.until_done()
        on.say("b", "Fine.")
        assert (await on.until_done("b"))[-1] == Done(
            reply_id="b", outcome="completed", total_samples=tone_samples("Fine.")
        )
    error, done = items[-2:]
    assert isinstance(error, TtsError)
    assert (error.reply_id, error.code, error.retryable) == ("a", "engine_failed", True)
    assert done == Done(reply_id="a", outcome="failed", total_samples=audio_samples(items))


class FaultyEngine(FakeEngine):
    """Raises what no engine should."""

    def open_slot(self) -> "FaultySlot":
        self.open_slots += 1
        return FaultySlot(self)


class FaultySlot(FakeSlot):
    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        raise ZeroDivisionError(request.text)
        yield b""


async def test_a_fault_of_an_adapter_is_told_without_its_text() -> None:
    async with stage(FaultyEngine()) as on:
        on.say("a", "Secret.")
        error, done = await on.until_done()
    assert isinstance(error, TtsError)
    assert error.code == "internal_error"
    assert "Secret" not in error.message
    assert done == Done(reply_id="a", outcome="failed", total_samples=0)


class SilentEngine(FakeEngine):
    def open_slot(self) -> "SilentSlot":
        self.open_slots += 1
        return SilentSlot(self)


class SilentSlot(FakeSlot):
    def synthesise(self, request: SynthesisRequest, stop: StopToken) -> Generator[bytes, None, None]:
        yield silence(500, SAMPLE_RATE)


async def test_a_segment_that_the_engine_says_nothing_of_is_announced_without_audio() -> None:
    async with stage(SilentEngine()) as on:
        on.say("a", "Hm.")
        items = await on.until_done()
    assert [segment.text for segment in segments(items)] == ["Hm."]
    assert items[-1] == Done(reply_id="a", outcome="completed", total_samples=0)


async def test_a_text_at_the_limit_is_taken_and_one_above_it_fails_the_reply() -> None:
    async with stage() as on:
        on.engine.hold()
        reply = on.start("a")
        reply.add("." * TEXT_LIMIT_CHARS)
        reply.add(".")
        error, done = [item for item in await on.until_done() if not isinstance(item, SegmentStarted)]
    assert isinstance(error, TtsError)
    assert error.code == "message_too_large"
    assert done == Done(reply_id="a", outcome="failed", total_samples=0)

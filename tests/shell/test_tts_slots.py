"""The engine's slots, and the lanes of what waits to be sent: who is next."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.errors import Overloaded
from shared.wire.tts import Done, SegmentStarted, TtsError
from tts_service.audio import silence
from tts_service.core.synthesis_queue import MOST_PASSES, Urgency
from tts_service.engines.fake import FakeEngine
from tts_service.outbox import CONTROL_LIMIT, FIRST_FRAME_MS, FRAME_MS, Bell, Lane, Outbox, OutboxFull
from tts_service.slots import Slots

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@asynccontextmanager
async def opened(count: int = 1, max_waiting: int = 16) -> AsyncIterator[Slots]:
    slots = Slots(FakeEngine(), count, max_waiting)
    await slots.open()
    with anyio.fail_after(20):
        yield slots
    assert slots.free() == count, "a slot was lost"
    assert slots.waiting() == 0
    await slots.close()


async def use(slots: Slots, urgency: Urgency, order: list[str], name: str, due_s: float = 0.0) -> None:
    async with slots.slot(urgency, due_s):
        order.append(name)
        await checkpoint()


async def use_spare(slots: Slots, order: list[str], name: str) -> None:
    """Work in the background until another wants the slot."""
    async with slots.spare_slot() as (_, scope):
        with scope:
            order.append(name)
            await anyio.sleep_forever()
    order.append(f"{name} yields")


async def test_a_later_segment_waits_for_a_few_first_ones_only() -> None:
    order: list[str] = []
    async with opened() as slots, anyio.create_task_group() as tasks, slots.slot(Urgency.FIRST):
        tasks.start_soon(use, slots, Urgency.LATER, order, "later")
        for place in range(MOST_PASSES + 3):
            tasks.start_soon(use, slots, Urgency.FIRST, order, f"first {place}")
        await wait_all_tasks_blocked()
    assert order.index("later") == MOST_PASSES
    assert [name for name in order if name != "later"] == [f"first {place}" for place in range(MOST_PASSES + 3)]


async def test_of_the_later_segments_goes_first_whose_listener_runs_out_first() -> None:
    order: list[str] = []
    async with opened() as slots, anyio.create_task_group() as tasks, slots.slot(Urgency.FIRST):
        for due_s in (3.0, 1.0, 2.0):
            tasks.start_soon(use, slots, Urgency.LATER, order, f"{due_s:.0f}", due_s)
        await wait_all_tasks_blocked()
    assert order == ["1", "2", "3"]


async def test_a_slot_that_is_granted_in_the_moment_of_a_cancel_goes_to_the_next() -> None:
    order: list[str] = []
    async with opened() as slots, anyio.create_task_group() as tasks, anyio.create_task_group() as doomed:
        async with slots.slot(Urgency.FIRST):
            doomed.start_soon(use, slots, Urgency.FIRST, order, "doomed")
            await wait_all_tasks_blocked()
            tasks.start_soon(use, slots, Urgency.FIRST, order, "next")
            await wait_all_tasks_blocked()
        doomed.cancel_scope.cancel()  # granted a moment ago, and not awake yet
    assert order[-1] == "next"


async def test_too_many_that_wait_are_refused() -> None:
    order: list[str] = []
    async with opened(max_waiting=1) as slots, anyio.create_task_group() as tasks, slots.slot(Urgency.FIRST):
        tasks.start_soon(use, slots, Urgency.FIRST, order, "waits")
        await wait_all_tasks_blocked()
        with pytest.raises(Overloaded):
            async with slots.slot(Urgency.FIRST):
                order.append("never")
    assert order == ["waits"]


async def test_background_work_waits_for_all_others_and_yields_the_only_slot_to_them() -> None:
    order: list[str] = []
    async with opened() as slots, anyio.create_task_group() as tasks:
        async with slots.slot(Urgency.FIRST):
            tasks.start_soon(use_spare, slots, order, "spare")
            await wait_all_tasks_blocked()
            tasks.start_soon(use, slots, Urgency.FILE, order, "file")
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        assert order == ["file", "spare"]
        await use(slots, Urgency.FIRST, order, "live")
    assert order == ["file", "spare", "spare yields", "live"]


async def test_background_work_keeps_its_slot_while_another_one_is_free() -> None:
    order: list[str] = []
    async with opened(count=2) as slots, anyio.create_task_group() as tasks:
        tasks.start_soon(use_spare, slots, order, "one")
        tasks.start_soon(use_spare, slots, order, "two")
        await wait_all_tasks_blocked()
        await use(slots, Urgency.FIRST, order, "live")
        assert order == ["one", "live"]
        assert slots.free() == 1
        tasks.cancel_scope.cancel()


def lane(rate: int = 10_000) -> Lane:
    return Lane("a", rate, Bell())


async def test_the_first_frame_is_short_and_later_ones_are_longer() -> None:
    one = lane()
    one.put_audio(silence(250, one.sample_rate))
    taken = [one.take() for _ in range(4)]
    assert [len(frame) // 2 // 10 for frame in taken if isinstance(frame, bytes)] == [
        FIRST_FRAME_MS, FRAME_MS, FRAME_MS, 250 - FIRST_FRAME_MS - 2 * FRAME_MS,
    ]  # fmt: skip
    assert not one.has_items()
    assert one.waiting_ms == 0


async def test_a_cut_forgets_what_waits_and_keeps_the_position_of_what_was_sent() -> None:
    one = lane()
    one.put_audio(silence(250, one.sample_rate))
    one.take()
    assert one.position_samples == 2_500
    one.cut()
    assert (one.position_samples, one.waiting_ms, one.has_items()) == (FIRST_FRAME_MS * 10, 0, False)
    one.put_audio(silence(250, one.sample_rate))
    one.put(SegmentStarted(reply_id="a", index=1, text="Too late.", start_samples=0))
    assert (one.position_samples, one.waiting_ms, one.has_items()) == (FIRST_FRAME_MS * 10, 0, False)
    one.put(Done(reply_id="a", outcome="cancelled", total_samples=0))
    assert one.has_items()


async def test_a_listener_is_ahead_of_by_what_was_made_until_it_is_taken() -> None:
    one = lane()
    one.put_audio(silence(250, one.sample_rate))
    assert one.ahead_ms == 250
    with anyio.move_on_after(0) as waiting:
        await one.play(249)
    assert waiting.cancelled_caught
    await one.play(250)
    one.take()
    await one.play(250 - FIRST_FRAME_MS)  # as long as that frame is heard
    assert one.ahead_ms <= 250 - FIRST_FRAME_MS


async def test_replies_take_turns_and_control_goes_first() -> None:
    outbox = Outbox()
    for name in "ab":
        outbox.open(name, 10_000).put_audio(silence(240, 10_000))
    owners = [(await outbox.take())[0] for _ in range(3)]
    outbox.say(Done(reply_id="x", outcome="failed", total_samples=0))
    owners += [(await outbox.take())[0] for _ in range(3)]
    assert owners == ["a", "b", "a", None, "b", "a"]


async def test_a_full_control_lane_is_refused() -> None:
    outbox = Outbox()
    for _ in range(CONTROL_LIMIT):
        outbox.say(TtsError(code="invalid_json", message=""))
    with pytest.raises(OutboxFull):
        outbox.say(TtsError(code="invalid_json", message=""))

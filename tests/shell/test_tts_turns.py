"""Replies and the slots of an engine: whose segment is made next, and how far ahead of the listener."""

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.clock import now_s
from shared.wire.tts import Done
from tests.support.tts_stage import audio_samples, segments, stage, tone_samples
from tts_service.engines.fake import BLOCKS_PER_CHAR
from tts_service.reply import Audience

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_the_first_segment_of_a_reply_goes_before_the_later_ones_of_another() -> None:
    async with stage() as on:
        on.engine.hold()
        on.say("a", "Alpha one. Alpha two.")
        await on.until_requests(1)
        on.say("b", "Beta.")
        await wait_all_tasks_blocked()
        on.engine.let(len("Alpha one.") * BLOCKS_PER_CHAR)
        await on.until_requests(2)
        await wait_all_tasks_blocked()  # the second segment of a waits, and then
        on.say("c", "Gamma.")
        await wait_all_tasks_blocked()
        on.engine.let()
        await on.until_requests(4)
        assert on.texts() == ["Alpha one.", "Beta.", "Gamma.", "Alpha two."]


async def test_a_file_goes_after_whatever_somebody_listens_to() -> None:
    async with stage() as on:
        on.engine.hold()
        on.say("a", "Alpha one. Alpha two.")
        await on.until_requests(1)
        on.say("file", "File one.", audience=Audience.FILE)
        await wait_all_tasks_blocked()
        on.say("b", "Beta.")
        await wait_all_tasks_blocked()
        on.engine.let(len("Alpha one.") * BLOCKS_PER_CHAR)
        await on.until_requests(2)
        await wait_all_tasks_blocked()
        on.engine.let()
        await on.until_requests(4)
        assert on.texts() == ["Alpha one.", "Beta.", "Alpha two.", "File one."]


async def test_no_segment_is_made_while_enough_audio_waits_and_no_slot_is_held() -> None:
    async with stage() as on:
        on.say("a", "Alpha one. Alpha two. Alpha three.", lead_ms=0, audience=Audience.FILE)
        await on.until_requests(1)
        await on.until_nothing_is_made()
        assert on.texts() == ["Alpha one."]
        assert on.slots.free() == 1
        items = await on.until_done()
        assert on.texts() == ["Alpha one.", "Alpha two.", "Alpha three."]
    assert isinstance(items[-1], Done)
    assert items[-1].outcome == "completed"


async def test_a_live_reply_is_not_made_faster_than_it_is_heard_however_fast_it_is_read() -> None:
    async with stage() as on:
        on.say("a", "Alpha one. Alpha two.", lead_ms=200)
        await on.until_requests(1)
        await on.until_nothing_is_made()
        assert on.texts() == ["Alpha one."], "nobody has begun to hear its 400 ms"
        began_s = now_s()
        items = await on.until_done()
        assert now_s() - began_s >= 0.2
        assert on.texts() == ["Alpha one.", "Alpha two."]
    assert isinstance(items[-1], Done)
    assert items[-1].outcome == "completed"


async def test_how_fast_the_engine_was_is_remembered() -> None:
    async with stage() as on:
        assert on.slots.capacity.rtf is None
        on.say("a", "Hello.")
        await on.until_done()
        assert on.slots.capacity.rtf
        assert on.slots.capacity.rtf > 0


async def test_what_nobody_waits_for_yields_the_only_slot_and_is_made_anew() -> None:
    async with stage() as on:
        on.engine.hold()
        on.say("quality", "Alpha one. Alpha two.", audience=Audience.NOBODY)
        await on.until_requests(1)
        on.engine.let(5)
        while on.engine.blocks_made < 5:
            await checkpoint()
        on.say("live", "Beta.")
        await on.until_requests(2)
        on.engine.let()
        items = await on.until_done("live")
        assert audio_samples(items) == tone_samples("Beta.")
        again = await on.until_done("quality")
        assert on.texts() == ["Alpha one.", "Beta.", "Alpha one.", "Alpha two."]
    assert [segment.text for segment in segments(again)] == ["Alpha one.", "Alpha two."]
    assert segments(again)[1].start_samples > tone_samples("Alpha one.")
    assert again[-1] == Done(reply_id="quality", outcome="completed", total_samples=audio_samples(again))

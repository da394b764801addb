"""`WS /v1/stream` from its peer's side: replies, their order, cancels, and a peer that reads slowly."""

from itertools import pairwise

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.wire.tts import TTS_OUT, Cancel, Done, End, SegmentStarted, Start, Text, TtsReady
from tests.support.tts_peer import SENTENCE, audio_of, connected, dones, peer_of, report, service
from tts_service.engines.fake import FakeEngine

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_the_service_greets_with_its_engine_and_voices() -> None:
    async with service(FakeEngine()) as app:
        await report(app)
        async with peer_of(app) as peer:
            assert await peer.receive() == TtsReady(engine="fake", voices=["tone"])


async def test_a_reply_is_segments_each_with_its_audio_and_then_done() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", "Hello there. How are you?")
        received = await peer.until_done("a")
    kinds = [type(item).__name__ for item in received]
    assert kinds[0] == "SegmentStarted"
    assert kinds[-1] == "Done"
    first, second = (item for item in received if isinstance(item, SegmentStarted))
    assert second.start_samples == len(audio_of(received[: received.index(second)], "a")) // 2
    assert first.reply_id == second.reply_id == "a"
    assert received[-1] == Done(reply_id="a", outcome="completed", total_samples=len(audio_of(received, "a")) // 2)


async def test_the_first_segment_comes_before_the_end_of_the_text() -> None:
    async with connected(FakeEngine()) as peer:
        peer.send(Start(reply_id="a"), Text(reply_id="a", delta="Oh yes, this text goes"))
        segment, audio = await peer.receive(), await peer.receive()
        assert isinstance(segment, SegmentStarted)
        assert segment.text == "Oh yes,"
        assert isinstance(audio, tuple)


async def test_text_may_be_cut_anywhere() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("whole", SENTENCE * 3)
        peer.send(Start(reply_id="cut", sample_rate=16_000))
        peer.send(*(Text(reply_id="cut", delta=character) for character in SENTENCE * 3), End(reply_id="cut"))
        received = await peer.until_done("whole", "cut")
    assert audio_of(received, "cut") == audio_of(received, "whole")


async def test_two_replies_are_spoken_at_once_on_one_connection() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0, slots=2) as peer:
        engine.hold()
        peer.say("a", SENTENCE)
        peer.say("b", SENTENCE)
        while engine.running < 2:
            await checkpoint()
        engine.let()
        while engine.running:
            await checkpoint()
        received = await peer.until_done("a", "b")
    owners = [item[0] for item in received if isinstance(item, tuple)]
    assert dones(received) == {"a": "completed", "b": "completed"}
    assert audio_of(received, "a") == audio_of(received, "b")
    assert all(one != next_one for one, next_one in pairwise(owners[2:10])), "the frames take turns"


async def test_a_cancel_leaves_the_other_reply_alone() -> None:
    engine = FakeEngine()
    async with connected(engine, slots=2) as peer:
        engine.hold()
        peer.say("a", SENTENCE)
        peer.say("b", SENTENCE)
        while engine.running < 2:
            await checkpoint()
        peer.send(Cancel(reply_id="a"))
        assert await peer.receive() == Done(reply_id="a", outcome="cancelled", total_samples=0)
        engine.let()
        received = await peer.until_done("b")
    assert dones(received) == {"b": "completed"}
    assert not audio_of(received, "a")


async def test_an_id_is_free_again_after_its_done() -> None:
    async with connected(FakeEngine()) as peer:
        for _ in range(2):
            peer.say("a", "Hello.")
            assert dones(await peer.until_done("a")) == {"a": "completed"}


async def test_a_peer_that_reads_nothing_costs_a_bounded_lead_and_no_slot_and_can_still_cancel() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0, lead_ms=2_000) as peer:
        peer.say("slow", SENTENCE * 100)
        while len(engine.requests) < 2:
            await checkpoint()
        while engine.running:
            await checkpoint()
        await wait_all_tasks_blocked()
        made = len(engine.requests)
        assert made == 2, "a clause, which is under the lead, and the sentence that goes over it"
        peer.send(Cancel(reply_id="slow"))
        await wait_all_tasks_blocked()
        received = await peer.until_done("slow")
    assert len(engine.requests) == made
    assert sum(isinstance(item, tuple) for item in received) <= 1, "only what was being sent comes out"
    assert dones(received) == {"slow": "cancelled"}


async def test_a_cancel_is_heard_while_a_fast_socket_takes_frame_after_frame() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0) as peer:
        peer.say("a", SENTENCE * 3)
        while not engine.requests or engine.running:
            await checkpoint()
        await wait_all_tasks_blocked()
        peer.has_endless_room = True
        await peer.receive()  # what was stuck: the writer goes on, and after it the reader
        peer.send(Cancel(reply_id="a"))
        await wait_all_tasks_blocked()
        last = TTS_OUT.decode(peer.overflow[-1]["text"])
    assert isinstance(last, Done)
    assert last.outcome == "cancelled"
    assert len(peer.overflow) < 5


async def test_a_slow_peer_does_not_keep_another_connection_waiting() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0, slots=1) as slow:
        slow.say("slow", SENTENCE * 50)
        while len(engine.requests) < 2 or engine.running:
            await checkpoint()
        async with peer_of(slow.app) as quick:
            quick.say("quick", SENTENCE)
            assert dones(await quick.until_done("quick")) == {"quick": "completed"}


async def test_a_peer_that_leaves_stops_its_engine() -> None:
    engine = FakeEngine()
    async with connected(engine) as peer:
        engine.hold()
        peer.say("a", SENTENCE)
        while not engine.running:
            await checkpoint()
    assert engine.running == 0


async def test_a_lost_connection_ends_its_replies() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0) as peer:
        peer.say("a", SENTENCE * 20)
        await peer.receive()
        peer.hang_up()
        while peer.is_open():
            await checkpoint()
    assert engine.running == 0


async def test_voice_language_and_speed_reach_the_engine() -> None:
    engine = FakeEngine()
    async with connected(engine) as peer:
        peer.say("a", "Hello.", voice="tone", language="ko", speed=1.5)
        await peer.until_done("a")
    request = engine.requests[0]
    assert (request.voice, request.language, request.speed) == ("tone", "ko", 1.5)


async def test_a_reply_without_a_voice_has_the_default_one() -> None:
    engine = FakeEngine()
    async with connected(engine, default_voice="tone") as peer:
        peer.say("a", "Hello.")
        await peer.until_done("a")
    assert engine.requests[0].voice == "tone"

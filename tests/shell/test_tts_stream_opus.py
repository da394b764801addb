"""`WS /v1/stream` where the audio is Opus: packets in place of PCM16, and all else as ever."""

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.wire.tts import Cancel, Done, SegmentStarted, Start, TtsError
from tests.support.sounds import pitch_hz, unpacked
from tests.support.tts_peer import SENTENCE, Received, audio_of, connected, dones
from tts_service.engines.fake import FAILS, FakeEngine
from tts_service.packets import PACKET_MS, PACKET_RATES

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

TEXT = "Hello there. How are you?"


def packets_of(received: list[Received], reply_id: str) -> list[bytes]:
    return [item[1] for item in received if isinstance(item, tuple) and item[0] == reply_id]


@pytest.mark.parametrize("rate", PACKET_RATES)
async def test_a_reply_in_packets_is_as_long_as_its_samples_and_sounds_as_it_was_said(rate: int) -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", TEXT, encoding="opus", sample_rate=rate)
        received = await peer.until_done("a")
    packets, done = packets_of(received, "a"), received[-1]
    assert isinstance(done, Done)
    assert done.outcome == "completed"
    said_ms = done.total_samples * 1000 / rate
    assert said_ms <= len(packets) * PACKET_MS < said_ms + 2 * PACKET_MS
    heard, heard_rate = unpacked(packets)
    assert heard.size / heard_rate == pytest.approx(len(packets) * PACKET_MS / 1000)
    assert pitch_hz(heard, heard_rate) == pytest.approx(250, abs=3)


async def test_segments_and_positions_are_those_of_the_samples() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("pcm", TEXT)
        peer.say("packets", TEXT, encoding="opus")
        received = await peer.until_done("pcm", "packets")
    told = {
        name: [
            item.model_dump(exclude={"reply_id"})
            for item in received
            if isinstance(item, SegmentStarted | Done) and item.reply_id == name
        ]
        for name in ("pcm", "packets")
    }
    assert told["packets"] == told["pcm"]
    assert len(told["pcm"]) == 3


async def test_a_segment_is_told_before_the_packets_with_its_sound() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", TEXT, encoding="opus")
        received = await peer.until_done("a")
    assert isinstance(received[0], SegmentStarted)
    second = next(item for item in received[1:] if isinstance(item, SegmentStarted))
    before = len(packets_of(received[: received.index(second)], "a"))
    assert second.start_samples / 320 - 1 <= before <= second.start_samples / 320


async def test_the_first_packet_comes_while_the_rest_is_made() -> None:
    engine = FakeEngine()
    async with connected(engine) as peer:
        engine.hold()
        peer.say("a", SENTENCE, encoding="opus")
        engine.let(10)
        assert isinstance(await peer.receive(), SegmentStarted)
        assert isinstance(await peer.receive(), tuple)
        assert engine.running == 1
        engine.let()


async def test_after_a_cancel_only_what_was_being_sent_comes_and_then_done() -> None:
    engine = FakeEngine()
    async with connected(engine, room=0) as peer:
        peer.say("a", SENTENCE * 10, encoding="opus")
        while not engine.requests or engine.running:
            await checkpoint()
        await wait_all_tasks_blocked()
        peer.send(Cancel(reply_id="a"))
        await wait_all_tasks_blocked()
        received = await peer.until_done("a")
    assert len(packets_of(received, "a")) <= 5, "a tenth of a second"
    assert dones(received) == {"a": "cancelled"}
    assert isinstance(received[-1], Done)


async def test_a_cancel_before_the_first_sound_sends_none() -> None:
    engine = FakeEngine()
    async with connected(engine) as peer:
        engine.hold()
        peer.say("a", SENTENCE, encoding="opus")
        while not engine.running:
            await checkpoint()
        peer.send(Cancel(reply_id="a"))
        assert await peer.receive() == Done(reply_id="a", outcome="cancelled", total_samples=0)


async def test_a_failed_reply_ends_with_its_error_and_an_id_is_free_again_in_another_encoding() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", f"Hello there.\n{FAILS}.", encoding="opus")
        failed = await peer.until_done("a")
        peer.say("a", "Hello.")
        spoken = await peer.until_done("a")
    assert [type(item).__name__ for item in failed[-2:]] == ["TtsError", "Done"]
    assert packets_of(failed, "a")
    done = spoken[-1]
    assert isinstance(done, Done)
    assert len(audio_of(spoken, "a")) == 2 * done.total_samples


async def test_a_rate_that_opus_has_not_is_refused() -> None:
    async with connected(FakeEngine()) as peer:
        peer.send(Start(reply_id="a", sample_rate=22_050, encoding="opus"))
        error, done = await peer.receive(), await peer.receive()
    assert isinstance(error, TtsError)
    assert (error.code, error.reply_id) == ("unsupported", "a")
    assert done == Done(reply_id="a", outcome="failed", total_samples=0)


async def test_an_encoding_that_nobody_knows_is_refused() -> None:
    async with connected(FakeEngine()) as peer:
        peer.send('{"type": "start", "reply_id": "a", "encoding": "morse"}')
        error = await peer.receive()
    assert isinstance(error, TtsError)
    assert error.code == "invalid_message"

"""Streams that share recognisers, wait for a decode that stalls, and leave in the middle of one."""

import pytest
from anyio import to_thread, wait_all_tasks_blocked

from asr_service.core.endpointer import EndpointerParams
from asr_service.detectors import Detectors
from asr_service.engines.fake import FakeEngine, Line
from asr_service.hearing import Hearing
from asr_service.stream import Stream
from shared.errors import Overloaded
from shared.wire.asr import AsrOut, Endpoint, Final, Flush, Partial, SpeechStarted
from tests.support.asr import Gate, MemoryPeer, running, stream, told_after
from tests.support.speech import silence, tone

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

MS = 16  # samples
WORDS = (Line(200 * MS, "one"), Line(400 * MS, "one two"), Line(700 * MS, "one two three"))
UTTERANCE = silence(500) + tone(1_000) + silence(1_000)


def finals(told: list[AsrOut]) -> list[str]:
    return [message.text for message in told if isinstance(message, Final)]


async def test_people_who_speak_at_once_share_one_recogniser_and_lose_nothing() -> None:
    async with (
        running(FakeEngine(WORDS)) as scheduler,
        stream(scheduler) as first,
        stream(scheduler) as second,
    ):
        first.say(tone(300))
        await first.until(Partial)
        second.say(UTTERANCE)
        await second.until(Endpoint)
        await wait_all_tasks_blocked()

        assert [message.type for message in second.told] == ["ready", "speech_started", "endpoint"], (
            "nobody could read it yet"
        )
        first.say(tone(200), silence(1_000))
        assert (await first.until(Final)).text == "one two"
        assert (await second.until(Final)).text == "one two three"


async def test_a_talker_gets_the_recogniser_as_soon_as_another_has_ended() -> None:
    async with (
        running(FakeEngine(WORDS)) as scheduler,
        stream(scheduler) as first,
        stream(scheduler) as second,
    ):
        first.say(tone(300))
        await first.until(Partial)
        second.say(tone(500))
        await second.until(SpeechStarted)
        first.say(Flush())
        await first.until(Final)

        assert (await second.until(Partial)).text.startswith("one")


async def test_a_peer_that_leaves_in_mid_utterance_leaves_its_recogniser_behind() -> None:
    async with running(FakeEngine(WORDS)) as scheduler:
        async with stream(scheduler) as peer:
            peer.say(tone(300))
            await peer.until(Partial)

            assert scheduler.recognisers.idle == 0

        assert scheduler.recognisers.idle == scheduler.recognisers.opened == 1
        assert finals(await told_after(scheduler, [UTTERANCE])) == ["one two three"]


async def test_a_peer_that_leaves_while_it_waits_for_a_recogniser_takes_none() -> None:
    async with running(FakeEngine(WORDS)) as scheduler, stream(scheduler) as first:
        first.say(tone(300))
        await first.until(Partial)
        async with stream(scheduler) as second:
            second.say(tone(300), Flush())
            await second.until(Endpoint)
        first.say(Flush())
        await first.until(Final)

        assert scheduler.recognisers.idle == scheduler.recognisers.opened == 1


async def test_a_peer_that_leaves_while_a_step_runs_waits_for_the_step() -> None:
    gate = Gate()
    async with running(FakeEngine(WORDS, on_step=gate.pass_through)) as scheduler:
        gate.shut()
        async with stream(scheduler) as peer:
            peer.say(tone(300))
            await to_thread.run_sync(gate.reached.wait)
            peer.leave()
            await wait_all_tasks_blocked()

            assert scheduler.recognisers.idle == 0, "a recogniser in use is nobody else's"
            gate.open()
        assert scheduler.recognisers.idle == 1


async def test_speech_is_heard_on_while_a_decode_stalls() -> None:
    gate = Gate()
    async with running(FakeEngine(WORDS, on_step=gate.pass_through)) as scheduler:
        gate.shut()
        async with stream(scheduler) as peer:
            peer.say(tone(300))
            await to_thread.run_sync(gate.reached.wait)
            peer.say(tone(200), silence(1_000))
            ended = await peer.until(Endpoint)
            assert not finals(peer.told)
            gate.open()
            final = await peer.until(Final)

    assert (ended.at_samples, final.text) == (500 * MS, "one two")


async def test_who_speaks_after_a_burst_is_heard_on_while_a_decode_stalls() -> None:
    gate = Gate()
    async with running(FakeEngine(WORDS, on_step=gate.pass_through)) as scheduler:
        gate.shut()
        async with stream(scheduler) as peer:
            peer.say(silence(60_000), tone(300))
            await to_thread.run_sync(gate.reached.wait)
            peer.say(tone(200), silence(1_000))
            await peer.until(Endpoint)  # within seconds: the test's own timeout is shorter than the burst
            gate.open()
            assert (await peer.until(Final)).text == "one two"


async def test_what_is_wrong_with_all_of_it_ends_a_stream_as_itself() -> None:
    class LastPeer(MemoryPeer):
        async def send(self, text: str) -> None:
            raise Overloaded("The peer does not read what it is told.")

    async with running(FakeEngine(WORDS)) as scheduler:
        peer = LastPeer()
        with pytest.raises(Overloaded):
            await Stream(peer, scheduler, Hearing(EndpointerParams(), Detectors()), "en").run()
        peer.close()


async def test_what_a_peer_said_before_it_left_is_heard_to_its_end() -> None:
    async with running(FakeEngine(WORDS)) as scheduler, stream(scheduler) as peer:
        peer.say(tone(500))

    assert finals(peer.told) == ["one two"]

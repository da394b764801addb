"""`WS /v1/stream` from its peer's side: what is refused, dropped or failed, and what goes on all the same."""

import json
import threading

import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.errors import EngineFailed
from shared.metrics import STALE
from shared.wire.tts import Cancel, Done, End, SegmentStarted, Start, Text, TtsError
from tests.support.tts_peer import LOADING, connected, dones, peer_of, report, service
from tts_service.engines.fake import FAILS, FakeEngine
from tts_service.outbox import CONTROL_LIMIT

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def test_a_peer_that_is_lost_while_it_is_refused_is_no_trouble() -> None:
    async with connected(FakeEngine(), max_streams=1) as peer, peer_of(peer.app, room=0) as other:
        other.hang_up()
        while other.is_open():
            await checkpoint()


async def test_a_peer_that_causes_errors_and_reads_nothing_is_cut_off() -> None:
    async with connected(FakeEngine(), room=0) as peer:
        peer.send(*(["nonsense"] * (CONTROL_LIMIT + 3)))
        await wait_all_tasks_blocked()
        assert await peer.closed() == 1013


@pytest.mark.parametrize("deltas", [["Hello \ud83d there."], ["Hello \ud83d", "\ude00 there."], ["\ude00"], ["\ud83d"]])
async def test_half_a_character_in_a_text_ends_neither_its_reply_nor_another(deltas: list[str]) -> None:
    async with connected(FakeEngine()) as peer:
        peer.send(Start(reply_id="a"), Start(reply_id="b"))
        peer.send(*(json.dumps({"type": "text", "reply_id": "a", "delta": delta}) for delta in deltas))
        peer.send(End(reply_id="a"), Text(reply_id="b", delta="Hello."), End(reply_id="b"))
        received = await peer.until_done("a", "b")
    assert dones(received) == {"a": "completed", "b": "completed"}
    assert "".join(item.text for item in received if isinstance(item, SegmentStarted)).encode()


@pytest.mark.parametrize(
    ("frame", "code", "reply_id"),
    [
        ("no json", "invalid_json", None),
        ("[1, 2]", "invalid_json", None),
        ('{"type": "sing"}', "unknown_type", None),
        ('{"no": "type"}', "unknown_type", None),
        ('{"type": "text", "reply_id": "a"}', "invalid_message", "a"),
        ('{"type": "start", "reply_id": "a", "speed": 9}', "invalid_message", "a"),
        ('{"type": "start", "reply_id": ""}', "invalid_message", ""),
        ('{"type": "start", "reply_id": 5}', "invalid_message", None),
        ('{"type": "start", "reply_id": "\\ud83d"}', "invalid_message", "\ufffd"),
        ('{"type": "start", "reply_id": "\\ud83d", "speed": 9}', "invalid_message", "\ufffd"),
        ('{"type": "\\ud83d"}', "unknown_type", None),
        ('{"type": "start", "reply_id": "' + "a" * 65 + '"}', "invalid_message", None),
        ('{"type": "start", "reply_id": "a", "sample_rate": 1}', "invalid_message", "a"),
        (json.dumps({"type": "text", "reply_id": "a", "delta": "x" * 1_100_000}), "message_too_large", None),
        (b"\x00\x01", "unsupported", None),
    ],
)
async def test_bad_input_gets_a_typed_error_and_the_connection_lives_on(
    frame: str | bytes, code: str, reply_id: str | None
) -> None:
    async with connected(FakeEngine()) as peer:
        peer.send(frame)
        error = await peer.receive()
        assert isinstance(error, TtsError)
        assert (error.code, error.reply_id, error.retryable) == (code, reply_id, False)
        peer.say("b", "Hello.")
        assert dones(await peer.until_done("b")) == {"b": "completed"}


async def test_a_second_start_of_a_living_reply_is_an_error_and_the_first_goes_on() -> None:
    engine = FakeEngine()
    async with connected(engine) as peer:
        engine.hold()
        peer.say("a", "Hello.")
        peer.send(Start(reply_id="a"))
        error = await peer.receive()
        assert isinstance(error, TtsError)
        assert (error.code, error.reply_id) == ("invalid_message", "a")
        engine.let()
        assert dones(await peer.until_done("a")) == {"a": "completed"}


async def test_an_unknown_voice_is_named_and_its_reply_fails() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", "Hello.", voice="nobody")
        error, done = await peer.receive(), await peer.receive()
        assert isinstance(error, TtsError)
        assert (error.code, error.reply_id) == ("invalid_message", "a")
        assert "'nobody'" in error.message
        assert done == Done(reply_id="a", outcome="failed", total_samples=0)


async def test_one_reply_too_many_is_refused_and_the_others_go_on() -> None:
    engine = FakeEngine()
    async with connected(engine, max_replies_per_stream=2) as peer:
        engine.hold()
        for name in ("a", "b", "c"):
            peer.say(name, "Hello.")
        error, done = await peer.receive(), await peer.receive()
        assert isinstance(error, TtsError)
        assert (error.code, error.reply_id, error.retryable) == ("overloaded", "c", True)
        assert done == Done(reply_id="c", outcome="failed", total_samples=0)
        engine.let()
        assert dones(await peer.until_done("a", "b")) == {"a": "completed", "b": "completed"}


async def test_a_failing_engine_fails_one_reply_and_the_next_is_spoken() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", f"It goes {FAILS}.")
        received = await peer.until_done("a")
        error = next(item for item in received if isinstance(item, TtsError))
        assert (error.code, error.retryable) == ("engine_failed", True)
        assert dones(received) == {"a": "failed"}
        peer.say("b", "Hello.")
        assert dones(await peer.until_done("b")) == {"b": "completed"}


async def test_a_reply_more_than_the_engine_is_fast_enough_for_is_refused() -> None:
    engine = FakeEngine()
    async with connected(engine, slots=1, admission_load=1e-9) as peer:
        peer.say("a", "Hello.")
        await peer.until_done("a")  # and now it is known how fast it is
        engine.hold()
        peer.say("b", "Hello.")
        peer.send(Start(reply_id="c"))
        error, done = await peer.receive(), await peer.receive()
        assert isinstance(error, TtsError)
        assert (error.code, error.reply_id, error.retryable) == ("overloaded", "c", True)
        assert done == Done(reply_id="c", outcome="failed", total_samples=0)
        engine.let()
        assert dones(await peer.until_done("b")) == {"b": "completed"}
        peer.say("c", "Hello.")
        assert dones(await peer.until_done("c")) == {"c": "completed"}


async def test_messages_for_a_reply_that_is_over_are_dropped_and_counted() -> None:
    def dropped() -> int:
        return sum(round(STALE.labels("tts", what)._value.get()) for what in ("text", "end", "cancel"))

    before = dropped()
    async with connected(FakeEngine()) as peer:
        peer.send(Text(reply_id="gone", delta="Hi."), End(reply_id="gone"), Cancel(reply_id="gone"))
        peer.say("a", "Hello.")
        received = await peer.until_done("a")
    assert dropped() - before == 3
    assert not [item for item in received if isinstance(item, TtsError)]


async def test_a_connection_too_many_is_refused() -> None:
    async with connected(FakeEngine(), max_streams=1) as peer:
        async with peer_of(peer.app) as other:
            refusal = await other.receive()
            assert isinstance(refusal, TtsError)
            assert (refusal.code, refusal.retryable) == ("too_many_sessions", True)
            assert await other.closed() == 1013
        peer.say("a", "Hello.")
        assert dones(await peer.until_done("a")) == {"a": "completed"}


class BrokenEngine(FakeEngine):
    def start(self) -> None:
        raise EngineFailed("The tone has no voice today.", service="tts")


async def test_a_service_that_cannot_speak_says_why() -> None:
    sentence = "The tone has no voice today."
    async with service(BrokenEngine()) as app:
        assert await report(app) == sentence
        async with peer_of(app) as peer:
            refusal = await peer.receive()
            assert isinstance(refusal, TtsError)
            assert (refusal.code, refusal.message, refusal.retryable) == ("service_unavailable", sentence, True)
            assert await peer.closed() == 1013


async def test_without_its_default_voice_those_who_ask_for_one_are_spoken_to() -> None:
    missing = "TTS_DEFAULT_VOICE cannot speak: There is no voice called 'nobody'."
    async with service(FakeEngine(), default_voice="nobody") as app:
        assert await report(app) == missing
        async with peer_of(app) as peer:
            await peer.receive()
            peer.say("a", "Hello.")
            error, done = await peer.receive(), await peer.receive()
            assert isinstance(error, TtsError)
            assert (error.code, error.message, error.reply_id) == ("service_unavailable", missing, "a")
            assert done == Done(reply_id="a", outcome="failed", total_samples=0)
            peer.say("b", "Hello.", voice="tone")
            assert dones(await peer.until_done("b")) == {"b": "completed"}


class SlowLoader(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.may_load = threading.Event()

    def start(self) -> None:
        self.may_load.wait(10)


async def test_a_service_that_loads_refuses_for_now() -> None:
    engine = SlowLoader()
    async with service(engine) as app:
        async with peer_of(app) as peer:
            refusal = await peer.receive()
            assert isinstance(refusal, TtsError)
            assert (refusal.code, refusal.message, refusal.retryable) == ("service_unavailable", LOADING, True)
        engine.may_load.set()
        assert await report(app) == "ready"

"""An engine in a process of its own keeps the contract of every engine, whatever becomes of the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from shared.errors import EngineFailed, Unsupported
from shared.metrics import ENGINE_RESTARTS
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import Case, children
from tests.support.tts_adapter import BLOCK, PREPARED_BYTES, SAMPLE_RATE
from tts_service.engines import pipe
from tts_service.engines.base import Reference, Speaker, SynthesisRequest
from tts_service.engines.hosted import HostedEngine, HostedSlot, Limits
from tts_service.engines.recent import SPEAKERS_HELD, Recent

pytestmark = pytest.mark.contract

ADAPTER = "tests.support.tts_adapter"
LONG = "hm" * 2_000  # far more than a pipe holds
GONE = "The speech engine ended in the middle of a segment."
globals().update(contract.suite())


def hum(limits: Limits | None = None, **options: str) -> HostedEngine:
    return HostedEngine("hum", sys.executable, ADAPTER, options, limits)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module")
def engine() -> Iterator[HostedEngine]:
    with closing(hum()) as engine:
        engine.start()
        yield engine


@pytest.fixture
def own() -> Iterator[HostedSlot]:
    """A slot of its own, for what ends it."""
    with closing(hum(say="hello").open_slot()) as slot:
        yield slot


def say(slot: HostedSlot, text: str, speaker: Speaker | None = None) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, speaker=speaker), StopToken()))


def restarts() -> float:
    return float(ENGINE_RESTARTS.labels("tts", "hum")._value.get())


def test_what_an_engine_tells_of_itself_arrives(engine: HostedEngine) -> None:
    assert engine.sample_rate == SAMPLE_RATE
    assert engine.capabilities.can_clone
    assert engine.capabilities.version == "7"
    assert engine.has_voice("low")


def test_the_first_slot_has_the_child_that_the_engine_was_started_with() -> None:
    with closing(hum()) as engine:
        before = children()
        engine.start()
        (first,) = children() - before
        with closing(engine.open_slot()) as slot, closing(engine.open_slot()) as other:
            assert slot.pid == first != other.pid
        assert children() == before


def test_an_engine_that_is_started_and_closed_leaves_nothing() -> None:
    before = children()
    with closing(hum()) as engine:
        engine.start()
        engine.start()
    assert children() == before


def test_every_part_of_a_request_arrives(own: HostedSlot) -> None:
    request = SynthesisRequest("#arguments", "ko", "low", 1.5, Speaker("r", b"12345"), "kindly")
    made = b"".join(own.synthesise(request, StopToken()))
    assert made.decode() == repr(("ko", "low", 1.5, "kindly", ("r", 5)))


def test_options_and_an_environment_without_a_network_arrive(own: HostedSlot) -> None:
    assert say(own, "#environment") == b"1 hello"


def test_a_speaker_is_sent_once_and_again_when_it_was_forgotten(
    own: HostedSlot, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bool] = []
    send = own._child.living().send

    def note(fields: Mapping[str, object]) -> None:
        sent.append("hold" in fields)
        send(fields)

    monkeypatch.setattr(own._child.living(), "send", note)
    for number in (0, 0, *range(SPEAKERS_HELD), 0, SPEAKERS_HELD, 0, 1):
        assert b"'r', 70001" in say(own, "#arguments", Speaker("r", b"%d" % number + b"-" * 70_000))
    assert sent.count(True) == SPEAKERS_HELD + 2  # each once, one more, and the one that this one drove out


def test_a_new_child_is_sent_its_speakers_again(own: HostedSlot) -> None:
    speaker = Speaker("r", b"12345")
    expected = say(own, "#arguments", speaker)
    with pytest.raises(EngineFailed):
        say(own, "#exit")
    assert say(own, "#arguments", speaker) == expected


def test_a_reference_is_prepared_by_the_child(own: HostedSlot, tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"RIFF")
    reference = Reference("r", tmp_path / "voice.wav", "Hello.", "en")
    assert own.prepare(reference) == b"R" * PREPARED_BYTES


def test_a_refusal_arrives_as_itself_and_the_child_lives_on(own: HostedSlot, tmp_path: Path) -> None:
    before = own.pid
    with pytest.raises(Unsupported) as caught:
        say(own, "#refuse")
    assert (caught.value.message, caught.value.param) == ("This hum has no such voice.", "voice")
    with pytest.raises(Unsupported):
        own.prepare(Reference("r", tmp_path / "voice.wav", ""))
    assert say(own, "hm") == BLOCK * 4
    assert own.pid == before


def test_a_fault_fails_its_segment_and_the_child_lives_on(own: HostedSlot) -> None:
    before = own.pid
    with pytest.raises(EngineFailed) as caught:
        say(own, "#raise")
    assert caught.value.message == "The speech engine failed."
    assert say(own, "hm") == BLOCK * 4
    assert own.pid == before


def test_a_child_that_only_fails_is_replaced(own: HostedSlot) -> None:
    before = own.pid
    assert before
    for _ in range(3):
        with pytest.raises(EngineFailed):
            say(own, "#raise")
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    assert say(own, "hm") == BLOCK * 4
    assert own.pid != before


def test_nothing_that_a_library_says_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with closing(hum().open_slot()) as slot:
        assert say(slot, "#chatter") == BLOCK
        with pytest.raises(EngineFailed):
            say(slot, "#raise")
    out, err = capfd.readouterr()
    assert "secret" not in out + err
    assert "the engine raised IndexError" in err
    assert "the engine raised ValueError" in err


def test_a_block_of_any_length_arrives_and_an_empty_one_ends_nothing(own: HostedSlot) -> None:
    assert say(own, "#long") == BLOCK * 1_001
    assert say(own, "hm") == BLOCK * 4


def test_a_killed_child_fails_its_segment_and_the_next_is_there(own: HostedSlot) -> None:
    before = restarts()
    blocks = own.synthesise(SynthesisRequest(LONG), StopToken())
    next(blocks)
    assert own.pid
    os.kill(own.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed, match=GONE):
        list(blocks)
    assert own.pid  # it loads already
    assert say(own, "hm") == BLOCK * 4
    assert restarts() == before + 1


def test_a_child_that_died_between_two_segments_is_replaced_unnoticed(own: HostedSlot) -> None:
    assert own.pid
    os.kill(own.pid, signal.SIGKILL)
    os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
    assert say(own, "hm") == BLOCK * 4


def test_a_child_that_dies_again_and_again_is_left_alone_for_longer_and_longer() -> None:
    now_s = 100.0
    engine = HostedEngine("hum", sys.executable, ADAPTER, {}, clock_s=lambda: now_s)
    with closing(engine.open_slot()) as slot:
        waits_ms = []
        for _ in range(3):
            with pytest.raises(EngineFailed, match=GONE):
                say(slot, "#exit")
            waits_ms.append(wait_ms(slot))
            now_s += waits_ms[-1] / 1000
        assert waits_ms == [0, 250, 500]
        assert say(slot, "hm") == BLOCK * 4


def wait_ms(slot: HostedSlot) -> int:
    """How long the slot refuses to try; it speaks nothing for the answer."""
    try:
        list(slot.synthesise(*stopped()))
    except EngineFailed as failure:
        return failure.retry_after_ms or 0
    return 0


def stopped() -> tuple[SynthesisRequest, StopToken]:
    stop = StopToken()
    stop.stop()
    return SynthesisRequest("hm"), stop


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "refuse"])
def test_an_engine_that_does_not_start_is_a_failure_not_a_hang(how: str) -> None:
    before = children()
    engine = hum(Limits(start_s=0.5 if how == "hang" else 20.0), start=how)
    expected = "There is no hum here." if how == "refuse" else "(does not start|cannot be loaded)"
    for begin in (engine.start, engine.open_slot):
        with pytest.raises(EngineFailed, match=expected):
            begin()
    assert children() == before


@pytest.mark.anyio
async def test_a_start_that_takes_long_is_ended_by_a_close() -> None:
    before = children()
    engine = hum(start="hang")

    async def start() -> None:
        with pytest.raises(EngineFailed, match="does not start"):
            await anyio.to_thread.run_sync(engine.start)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        while engine._loading is None:
            await checkpoint()
        await anyio.to_thread.run_sync(engine.close)
    with pytest.raises(EngineFailed, match="does not start"):
        engine.open_slot()
    assert children() == before


def test_a_python_that_is_not_there_is_told() -> None:
    engine = HostedEngine("hum", "/nowhere/python", ADAPTER, {})
    with pytest.raises(EngineFailed, match="no Python at /nowhere/python"):
        engine.start()


@pytest.mark.parametrize("script", ["pass", "print('hello')", "print(chr(2) + chr(0) * 3 + '{}', flush=True)"])
def test_a_program_that_is_no_host_is_a_failure(script: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}"\n')
    python.chmod(0o700)
    before = children()
    with pytest.raises(EngineFailed):
        HostedEngine("hum", python, ADAPTER, {}).start()
    assert children() == before


def test_a_child_that_does_not_end_what_was_cancelled_is_ended() -> None:
    engine = hum(Limits(cancel_s=0.1))
    with closing(engine.open_slot()) as slot:
        before = slot.pid
        with closing(slot.synthesise(SynthesisRequest("#deaf"), StopToken())) as blocks:
            assert next(blocks) == BLOCK
        assert slot.pid != before
        assert say(slot, "hm") == BLOCK * 4


def test_a_refusal_ends_what_was_cancelled_as_well(own: HostedSlot) -> None:
    before = own.pid
    with closing(own.synthesise(SynthesisRequest("#sulk"), StopToken())) as blocks:
        assert next(blocks) == BLOCK
    assert say(own, "hm") == BLOCK * 4
    assert own.pid == before


@pytest.mark.parametrize(("how", "told"), [("refuse", "There is no hum here."), ("exit", "does not start")])
def test_a_child_that_cannot_be_loaded_again_is_a_failure_and_tried_later(how: str, told: str) -> None:
    now_s = 100.0
    engine = HostedEngine("hum", sys.executable, ADAPTER, {}, clock_s=lambda: now_s)
    with closing(engine.open_slot()) as slot:
        slot._child._start = hum(start=how)._spawned
        with pytest.raises(EngineFailed, match=GONE):
            say(slot, "#exit")
        with pytest.raises(EngineFailed, match=told):
            say(slot, "hm")
        slot._child._start = engine._spawned
        assert wait_ms(slot) == 250
        now_s += 0.25
        assert say(slot, "hm") == BLOCK * 4


@pytest.mark.parametrize("script", ["exec sleep 60", "exec <&- && exec sleep 60"])
def test_a_child_that_does_not_listen_is_gone(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(pipe, "SEND_LIMIT_S", 0.1)
    with closing(pipe.ChildPipe(["sh", "-c", script])) as deaf, pytest.raises(pipe.ChildGone):
        while True:
            deaf.send({"prepared": "-" * 100_000})


def test_a_pipe_that_was_closed_is_gone() -> None:
    closed = pipe.ChildPipe(["sleep", "60"])
    closed.close()
    closed.close()
    assert not closed.is_alive()
    with pytest.raises(pipe.ChildGone):
        closed.send({})
    with pytest.raises(pipe.ChildGone):
        closed.read_block(1.0)


def test_a_child_that_is_silent_for_too_long_is_ended() -> None:
    engine = hum(Limits(next_block_s=0.1))
    with closing(engine.open_slot()) as slot:
        blocks = slot.synthesise(SynthesisRequest("#deaf"), StopToken())
        assert next(blocks) == BLOCK
        with pytest.raises(EngineFailed, match=GONE):
            next(blocks)


class StopsSoon(StopToken):
    """Set once it was looked at a few times."""

    looks = 0

    def is_stopped(self) -> bool:
        self.looks += 1
        return self.looks > 2


def test_a_stop_ends_the_wait_for_a_child_that_loads_on() -> None:
    with closing(hum().open_slot()) as slot:
        assert slot.pid
        slot._child._start = hum(start="hang")._spawned
        os.kill(slot.pid, signal.SIGKILL)
        os.waitid(os.P_PID, slot.pid, os.WEXITED | os.WNOWAIT)
        assert list(slot.synthesise(SynthesisRequest("hm"), StopsSoon())) == []
        loading = slot.pid
        assert list(slot.synthesise(SynthesisRequest("hm"), StopsSoon())) == []
        assert slot.pid == loading


def test_a_closed_slot_speaks_no_more(own: HostedSlot) -> None:
    own.close()
    with pytest.raises(EngineFailed):
        say(own, "hm")


def test_a_slot_that_is_closed_in_the_middle_of_a_text_fails_it(own: HostedSlot) -> None:
    blocks = own.synthesise(SynthesisRequest(LONG), StopToken())
    next(blocks)
    own.close()
    with pytest.raises(EngineFailed):
        list(blocks)


def test_a_child_ends_in_the_middle_of_anything_when_its_stdin_ends() -> None:
    command = [sys.executable, "-m", "tts_service.engines.host", ADAPTER, "--start", "hang"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin and child.stdout
    child.stdin.close()
    assert child.wait() == 0
    child.stdout.close()


def test_the_few_that_were_used_last_are_kept() -> None:
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    assert recent.put("c", 3) == 3
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)

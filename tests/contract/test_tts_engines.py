"""One suite over every speech engine, the fake included.

Another file runs the suite over another engine: it takes `suite()` into its names and has fixtures `engine` and `case`.
"""

import inspect
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import anyio
import numpy as np
import pytest

from shared.threads import StopToken, iterate
from tts_service import engines
from tts_service.engines.base import Engine, Slot, Speaker, SynthesisRequest
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

SENTENCE = "The quick brown fox jumps over the lazy dog."
LONG = " ".join([SENTENCE] * 20)  # about a minute: far more than a pipe holds
CHINESE = "今天天气很好，我们一起去公园散步。"
PIPE_BYTES = 65_536

ELSEWHERE: dict[str, str] = {  # the file where an engine that needs a set-up of its own is under contract
    "cosyvoice": "tests/cosyvoice/test_tts_cosyvoice_contract.py",
    "none": "tests/contract/test_tts_silent.py",
    "openai": "tests/contract/test_tts_upstream.py",
    "piper": "tests/contract/test_tts_piper.py",
    "f5": "tests/contract/test_tts_others.py",
    "qwen3": "tests/contract/test_tts_others.py",
    "vibevoice": "tests/contract/test_tts_vibevoice.py",
    "edge": "tests/contract/test_tts_edge.py",
}


@dataclass(frozen=True)
class Case:
    """What an engine is asked to say, and how soon; a model takes longer to say less."""

    language: str = "en"
    word: str = "The dog."
    sentence: str = SENTENCE
    long: str = LONG
    voice: str | None = None
    speaker: Speaker | None = None  # for an engine without a voice of its own
    first_share: float = 1 / 50  # of the long text at most, in the first block
    abandoned: int = 200


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.fixture(scope="module", params=[name for name in engines.ENGINES if name not in ELSEWHERE])
def engine(request: pytest.FixtureRequest) -> Engine:
    engine = engines.load(request.param, TtsSettings())
    engine.start()
    return engine


@pytest.fixture
def slot(engine: Engine) -> Iterator[Slot]:
    with closing(engine.open_slot()) as slot:
        yield slot


def samples(pcm: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    return np.frombuffer(pcm, np.int16)


def children() -> set[int]:
    """The processes that this one started and has not reaped."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found |= {int(pid) for pid in (thread / "children").read_text(encoding="ascii").split()}
    return found


def asked(case: Case, text: str) -> SynthesisRequest:
    return SynthesisRequest(text, case.language, case.voice, speaker=case.speaker)


def said(slot: Slot, case: Case, text: str) -> bytes:
    return b"".join(slot.synthesise(asked(case, text), StopToken()))


def suite() -> dict[str, object]:
    """The tests that every engine passes, and their fixture, by name."""
    tests = {name: thing for name, thing in globals().items() if name.startswith("test_")}
    ours = {name for name, test in tests.items() if {"engine", "slot"} & set(inspect.signature(test).parameters)}
    return {"slot": slot, **{name: tests[name] for name in ours}}


def test_every_engine_is_under_contract() -> None:
    assert set(ELSEWHERE) <= set(engines.ENGINES)
    assert all((Path(__file__).parents[2] / file).is_file() for file in ELSEWHERE.values())


def test_a_started_engine_tells_what_it_can_do(engine: Engine, case: Case) -> None:
    able = engine.capabilities
    assert 8_000 <= engine.sample_rate <= 48_000
    assert case.language in able.languages
    assert able.max_chars >= 150
    assert all(engine.has_voice(voice.name) for voice in able.voices)
    assert not engine.has_voice("nobody")


def test_speech_is_whole_samples_and_can_be_heard(slot: Slot, case: Case) -> None:
    made = samples(said(slot, case, case.sentence))
    assert made.size > 8_000
    assert np.abs(made.astype(np.int32)).max() > 2_000


def test_a_longer_text_takes_longer(slot: Slot, case: Case) -> None:
    assert len(said(slot, case, case.sentence)) > len(said(slot, case, case.word))


def test_the_first_block_comes_before_the_whole_is_made(slot: Slot, case: Case) -> None:
    with closing(slot.synthesise(asked(case, case.long), StopToken())) as blocks:
        first = next(blocks)
        rest = sum(len(block) for block in blocks)
    assert rest > PIPE_BYTES, "the text is too short to tell"
    assert 0 < len(first) < rest * case.first_share


def test_a_stopped_engine_makes_no_further_block(slot: Slot, case: Case) -> None:
    stop = StopToken()
    blocks = slot.synthesise(asked(case, case.long), stop)
    next(blocks)
    stop.stop()
    assert sum(1 for _ in blocks) <= 1


def test_after_a_stop_the_next_request_speaks_its_own_text_alone(slot: Slot, case: Case) -> None:
    expected = len(said(slot, case, case.sentence))
    for _ in range(3):
        with closing(slot.synthesise(asked(case, case.long), StopToken())) as blocks:
            next(blocks)
    assert len(said(slot, case, case.sentence)) == pytest.approx(expected, rel=0.05)


def test_a_stop_before_the_beginning_makes_nothing(slot: Slot, case: Case) -> None:
    stop = StopToken()
    stop.stop()
    assert list(slot.synthesise(asked(case, case.sentence), stop)) == []


def test_two_slots_speak_at_once(engine: Engine, case: Case) -> None:
    with closing(engine.open_slot()) as one, closing(engine.open_slot()) as other:
        alone = len(said(one, case, case.long))
        first = one.synthesise(asked(case, case.long), StopToken())
        second = other.synthesise(asked(case, case.long), StopToken())
        lengths = [0, 0]
        for pair in zip_longest(first, second, fillvalue=b""):
            lengths = [length + len(block) for length, block in zip(lengths, pair, strict=True)]
    assert lengths == pytest.approx([alone, alone], rel=0.05)


def test_a_closed_slot_may_be_closed_again(engine: Engine) -> None:
    slot = engine.open_slot()
    slot.close()
    slot.close()


@pytest.mark.anyio
async def test_many_abandoned_requests_leave_no_thread_and_no_child(engine: Engine, case: Case) -> None:
    threads_before, children_before = threading.active_count(), children()
    limiter = anyio.CapacityLimiter(1)
    slot = engine.open_slot()
    async with iterate(lambda stop: slot.synthesise(asked(case, case.word), stop), 1, limiter) as blocks:
        assert await blocks.receive()
    threads_warm, children_warm = threading.active_count(), children()
    for _ in range(case.abandoned):
        async with iterate(lambda stop: slot.synthesise(asked(case, case.long), stop), 1, limiter) as blocks:
            assert await blocks.receive()
    assert threading.active_count() <= max(threads_warm, threads_before + 1)
    assert children() == children_warm
    slot.close()
    assert children() <= children_before

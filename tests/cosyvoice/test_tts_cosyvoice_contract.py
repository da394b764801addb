"""The contract of every speech engine, kept by CosyVoice 1 and 2 in processes of their own; tiny models say noise."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import EngineFailed, Unsupported
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import Case, said
from tts_service import engines
from tts_service.engines.base import Reference, Speaker, SynthesisRequest
from tts_service.engines.hosted import HostedEngine, HostedSlot
from tts_service.settings import TtsSettings

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

globals().update(contract.suite())


def engine_of(model: Path, source: Path) -> HostedEngine:
    given = {"cosyvoice_model": model, "cosyvoice_python": sys.executable, "cosyvoice_source": source}
    engine = engines.load("cosyvoice", TtsSettings.model_validate(given))
    assert isinstance(engine, HostedEngine)
    return engine


@pytest.fixture(scope="module", params=["one", "voiced"])
def engine(request: pytest.FixtureRequest, folders: Path, source: Path) -> Iterator[HostedEngine]:
    with closing(engine_of(folders / request.param, source)) as engine:
        engine.start()
        yield engine


@pytest.fixture(scope="module")
def slot(engine: HostedEngine) -> Iterator[HostedSlot]:
    """One for all of them: a child takes some seconds to load."""
    with closing(engine.open_slot()) as slot:
        yield slot


NINE = "One two three four five six seven eight nine."
CASES = {  # the tiny folder says 0.4 s for a word of a text, or 0.8 s for a letter
    22_050: Case("zh", "One.", "One, two, three.", NINE, first_share=0.9, abandoned=5),
    24_000: Case("zh", "a.", "ab.", "abc.", first_share=0.9, abandoned=5),
}


@pytest.fixture(scope="module")
def case(engine: HostedEngine) -> Case:
    return CASES[engine.sample_rate]


def test_what_the_model_cannot_do_is_told(engine: HostedEngine) -> None:
    able = engine.capabilities
    assert able.can_clone
    assert not able.has_speed
    assert able.streaming == "chunk"
    assert able.has_instruction == (engine.sample_rate == 24_000)
    assert len(able.version) == 16


def test_a_voice_that_one_child_prepared_is_spoken_by_another(
    engine: HostedEngine, slot: HostedSlot, recording: Path, case: Case
) -> None:
    speaker = Speaker("r", slot.prepare(Reference("r", recording, "你好", "zh")))
    request = SynthesisRequest(case.word, "zh", speaker=speaker)
    with closing(engine.open_slot()) as other:
        made = [len(b"".join(one.synthesise(request, StopToken()))) for one in (slot, other, slot)]
    assert len(set(made)) == 1
    assert made[0] > 8_000


def test_a_model_without_a_voice_speaks_in_one_of_one_s_own_alone(folders: Path, source: Path, recording: Path) -> None:
    case = CASES[24_000]
    with closing(engine_of(folders / "two", source).open_slot()) as slot:
        with pytest.raises(Unsupported, match="a voice of one's own must be set as default"):
            said(slot, case, case.word)
        speaker = Speaker("r", slot.prepare(Reference("r", recording, "")))
        assert b"".join(slot.synthesise(SynthesisRequest(case.word, "zh", speaker=speaker), StopToken()))


def test_a_folder_that_is_not_there_is_told_at_the_start(tmp_path: Path, source: Path) -> None:
    with pytest.raises(EngineFailed, match="TTS_COSYVOICE_MODEL names no folder"):
        engine_of(tmp_path / "none", source).start()


def test_a_source_that_is_not_there_is_told_at_the_start(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="There is no source of CosyVoice"):
        engine_of(folders / "one", tmp_path).start()

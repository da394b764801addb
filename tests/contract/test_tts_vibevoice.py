"""VibeVoice under contract, with a stand-in of its classes that makes a tone."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shared.errors import EngineFailed
from shared.threads import StopToken
from tests.contract import test_tts_engines as contract
from tests.contract.test_tts_engines import Case
from tests.support.stand_in_models import for_children, in_this_process, vibevoice_folder, vibevoice_voices
from tts_service import engines
from tts_service.engines import vibevoice
from tts_service.engines.adapters import Stopped
from tts_service.engines.base import Slot, SynthesisRequest
from tts_service.engines.hosted import HostedEngine
from tts_service.engines.vibevoice import BLOCKS_AHEAD, Sink, VibeEngine, VibeSlot
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

globals().update(contract.suite())

VOICES = ("en-Carter_man.pt", "en-Emma_woman.pt", "kr-Spk0_woman.pt")
FRAME_BYTES = 2 * 3_200


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("vibevoice")
    with in_this_process():
        voices = vibevoice_voices(top / "voices", *VOICES)
    return {"vibevoice_model": vibevoice_folder(top / "model"), "vibevoice_voices": voices}


@pytest.fixture(scope="module")
def case() -> Case:
    return Case(first_share=1 / 10, abandoned=20)


@pytest.fixture(scope="module")
def engine(folders: Mapping[str, Any]) -> Iterator[HostedEngine]:
    engine = engines.load("vibevoice", TtsSettings(**folders))
    assert isinstance(engine, HostedEngine)
    with for_children(), closing(engine):
        engine.start()
        yield engine


@pytest.fixture
def opened(folders: Mapping[str, Path]) -> Iterator[tuple[VibeEngine, VibeSlot]]:
    """The engine and its slot in this process."""
    told = {"folder": str(folders["vibevoice_model"]), "voices": str(folders["vibevoice_voices"])}
    with in_this_process():
        engine = vibevoice.open({**told, "scale": "2.5", "steps": "7", "device": "auto"})
        engine.start()
        yield engine, engine.open_slot()


@pytest.fixture
def own(opened: tuple[VibeEngine, VibeSlot]) -> VibeSlot:
    return opened[1]


def made(slot: Slot, text: str, **more: Any) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest(text, **more), StopToken()))


def test_its_voices_are_those_of_the_folder(engine: HostedEngine) -> None:
    able = engine.capabilities
    assert [(voice.name, voice.language) for voice in able.voices] == [
        ("en-Carter_man", "en"),
        ("en-Emma_woman", "en"),
        ("kr-Spk0_woman", "ko"),
    ]
    assert able.languages == ("en", "ko")
    assert (able.streaming, able.can_clone, able.has_speed, able.has_instruction) == ("chunk", False, False, False)


def test_each_request_has_a_fresh_copy_of_its_voice(own: VibeSlot) -> None:
    for more in ({"voice": "en-Emma_woman"}, {"voice": "en-Emma_woman"}, {"language": "ko-KR"}, {"language": "de"}):
        assert made(own, "It’s fine.", **more)
    assert [asked["voice"] for asked in own._model.asked] == [1.0, 1.0, 2.0, 0.0]
    assert own._model.asked[0]["words"] == ["It's", "fine"]
    assert own._model.asked[0]["scale"] == 2.5
    assert own._model.steps == 7
    assert own._model.model.noise_scheduler.told["algorithm_type"] == "sde-dpmsolver++"


def test_the_first_block_comes_while_the_model_works_on(own: VibeSlot) -> None:
    before = threading.active_count()
    with closing(own.synthesise(SynthesisRequest("word " * 1_000), StopToken())) as blocks:
        assert len(next(blocks)) == FRAME_BYTES
        assert threading.active_count() == before + 1
    assert threading.active_count() == before, "the model is left when nobody reads"


def test_a_model_that_finds_no_end_is_ended(own: VibeSlot) -> None:
    seconds = len(made(own, "er")) / 2 / 24_000
    assert 6 < seconds < 10


def test_a_model_that_fails_fails_its_segment(own: VibeSlot) -> None:
    blocks = own.synthesise(SynthesisRequest("one boom two"), StopToken())
    assert len(next(blocks) + next(blocks)) == 2 * FRAME_BYTES
    with pytest.raises(RuntimeError):
        next(blocks)
    assert made(own, "one two"), "the next request is spoken"


def test_a_model_s_failure_is_told_without_its_text(slot: Slot) -> None:
    with pytest.raises(EngineFailed) as failure:
        made(slot, "one boom two")
    assert failure.value.message == "The speech engine failed."


def test_a_sink_that_nobody_empties_holds_its_model_back() -> None:
    stop = StopToken()
    sink = Sink(stop)
    held = list[int]()

    def model() -> None:
        try:
            while True:
                sink.put([b""], None)
                held.append(1)
        except Stopped:
            held.append(-1)

    thread = threading.Thread(target=model)
    thread.start()
    while len(held) < BLOCKS_AHEAD:
        pass
    stop.stop()
    thread.join(10)
    assert held == [1] * BLOCKS_AHEAD + [-1]


# What is no voice, and no model


def test_a_file_with_anything_else_in_it_is_refused(folders: Mapping[str, Any], tmp_path: Path) -> None:
    (tmp_path / "en-Mallory.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    engine = engines.load("vibevoice", TtsSettings(**{**folders, "vibevoice_voices": tmp_path}))
    with for_children(), pytest.raises(EngineFailed, match=r"^en-Mallory\.pt holds something else than a voice"):
        engine.start()


def test_a_voice_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    with in_this_process():
        import numpy as np
        from torch import save

        save({"lm": np.zeros(3)}, tmp_path / "en-Half.pt")
        with pytest.raises(EngineFailed, match="en-Half"):
            vibevoice.read_voice(tmp_path / "en-Half.pt", "cpu")


@pytest.mark.parametrize("name", ["vibevoice_model", "vibevoice_voices"])
def test_an_empty_folder_is_told_at_the_start(folders: Mapping[str, Any], tmp_path: Path, name: str) -> None:
    engine = engines.load("vibevoice", TtsSettings(**{**folders, name: tmp_path}))
    with for_children(), pytest.raises(EngineFailed, match=f"The folder of TTS_{name.upper()} holds no"):
        engine.start()


@pytest.mark.parametrize("name", ["vibevoice_model", "vibevoice_voices"])
def test_a_folder_that_is_not_there_is_told_before_anything_starts(folders: Mapping[str, Any], name: str) -> None:
    with pytest.raises(EngineFailed, match=f"TTS_{name.upper()} must name"):
        engines.load("vibevoice", TtsSettings(**{**folders, name: None}))


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_tokenizer_comes_from_the_cache_or_is_asked_for(tmp_path: Path, is_cached: bool) -> None:
    if is_cached:
        (tmp_path / "cached").touch()
    with in_this_process():
        if is_cached:
            assert vibevoice.processor_of(tmp_path).tokenizer
        else:
            with pytest.raises(EngineFailed, match=r"tokenizer\.json of Qwen2\.5-0\.5B"):
                vibevoice.processor_of(tmp_path)


def test_a_model_is_in_use_once(opened: tuple[VibeEngine, VibeSlot]) -> None:
    with pytest.raises(EngineFailed, match="in use"):
        opened[0].open_slot()

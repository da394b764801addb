"""How a folder and the classes of CosyVoice are found, loaded and checked."""

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from shared.errors import EngineFailed
from tests.support.cosyvoice_3 import Encoder
from tts_service import engines
from tts_service.engines import cosyvoice, cosyvoice_model, cosyvoice_source
from tts_service.engines.cosyvoice_model import DRIFT
from tts_service.settings import TtsSettings

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def classes(source: Path) -> ModuleType:
    return cosyvoice_source.classes(source)


# The mask


class Forgetful(Encoder):
    """Its steps hear of what came before as through a wall, unless they are given no mask."""

    def forward_one_step(self, xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        made, after = super().forward_one_step(xs, masks, cache)
        return made if cache is None else made * 0.9 + 0.1, after


def test_the_steps_of_the_pinned_transformers_mean_what_a_whole_pass_means(folders: Path, classes: ModuleType) -> None:
    loaded = cosyvoice_model.load(classes, folders / "two")
    encoder = loaded.cosy.model.llm.llm
    assert cosyvoice_model.drift(encoder) < 1e-4
    assert "forward_one_step" not in vars(encoder)


def test_steps_that_drift_are_made_without_a_mask() -> None:
    encoder = Forgetful()
    assert cosyvoice_model.drift(encoder) > DRIFT
    cosyvoice_model.mend_steps(encoder)
    assert cosyvoice_model.drift(encoder) < 1e-4


def test_steps_that_drift_even_so_are_refused() -> None:
    encoder = Forgetful()
    forward = encoder.model.forward

    def broken(*given: Any, **named: Any) -> Any:
        made = forward(*given, **named)
        if named.get("past_key_values") is not None:
            made.hidden_states = tuple(state + 0.1 for state in made.hidden_states)
        return made

    encoder.model.forward = broken
    with pytest.raises(EngineFailed, match="this version of transformers"):
        cosyvoice_model.mend_steps(encoder)


# The folder


@pytest.mark.parametrize(("names", "kind"), [([1], 1), ([2], 2), ([3], 3), ([1, 2], 2), ([1, 2, 3], 3)])
def test_the_yaml_says_which_cosyvoice_it_is(tmp_path: Path, names: list[int], kind: int) -> None:
    for name in names:
        (tmp_path / cosyvoice_model.KINDS[name]).write_text("sample_rate: 1\n")
    assert cosyvoice_model.kind_of(tmp_path) == kind


def test_a_folder_that_is_none_or_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="names no folder"):
        cosyvoice_model.kind_of(tmp_path / "iic" / "CosyVoice-300M")
    with pytest.raises(EngineFailed, match=r"holds no cosyvoice\.yaml"):
        cosyvoice_model.kind_of(tmp_path)


def test_a_cosyvoice_2_under_the_name_of_1_is_told(folders: Path, tmp_path: Path) -> None:
    shutil.copy(folders / "two" / "cosyvoice2.yaml", tmp_path / "cosyvoice.yaml")
    with pytest.raises(EngineFailed, match=r"must be called cosyvoice2\.yaml"):
        cosyvoice_model.kind_of(tmp_path)


def test_a_kind_that_the_source_has_no_classes_of_is_told(tmp_path: Path) -> None:
    (tmp_path / "cosyvoice3.yaml").write_text("sample_rate: 1\n")
    with pytest.raises(EngineFailed, match="no classes of CosyVoice 3; TTS_COSYVOICE_SOURCE"):
        cosyvoice_model.load(ModuleType("cosyvoice.cli.cosyvoice"), tmp_path)


def test_a_version_is_that_of_the_weights_and_not_of_the_voices(folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    shutil.copytree(folders / "one", folder)
    versions = [cosyvoice_model.version(folders / "one"), cosyvoice_model.version(folder)]
    torch.save({}, folder / "spk2info.pt")
    versions.append(cosyvoice_model.version(folder))
    assert len(set(versions)) == 1
    with (folder / "flow.pt").open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"x")
    assert cosyvoice_model.version(folder) not in versions


def test_one_process_has_one_slot(folders: Path, source: Path) -> None:
    engine = cosyvoice.open({"model": str(folders / "one"), "source": str(source)})
    assert not engine.has_voice("中文女")
    engine.start()
    assert torch.get_num_threads() == 1
    assert engine.has_voice("中文女")
    engine.open_slot()
    with pytest.raises(EngineFailed, match="in use"):
        engine.open_slot()


def test_settings_that_name_no_model_are_refused() -> None:
    with pytest.raises(EngineFailed, match="TTS_COSYVOICE_MODEL must name"):
        engines.load("cosyvoice", TtsSettings.model_validate({"cosyvoice_model": None}))


# The source


def test_a_folder_without_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="There is no source of CosyVoice"):
        cosyvoice_source.classes(tmp_path)


def test_what_only_training_needs_is_stood_in_for(classes: ModuleType) -> None:
    trainer = importlib.import_module("lightning.pytorch.utilities")
    assert trainer.rank_zero_only(len) is len
    assert issubclass(type("Mine", (trainer.Anything,), {}), trainer.Anything)
    assert not hasattr(trainer, "__wrapped__")
    importlib.import_module("cosyvoice.dataset.processor")  # the published yaml names it
    assert sys.modules["pyworld"].__spec__


def test_what_is_installed_is_not_stood_in_for(classes: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nobody_has_this")
    assert all(importlib.import_module(name).__file__ for name in ("whisper", "diffusers", "librosa"))


def test_a_package_that_is_missing_is_named(source: Path, monkeypatch: pytest.MonkeyPatch, classes: ModuleType) -> None:
    monkeypatch.setitem(sys.modules, "cosyvoice.cli.cosyvoice", None)
    with pytest.raises(EngineFailed, match=r"needs cosyvoice\.cli\.cosyvoice, which is not there"):
        cosyvoice_source.classes(source)


def test_a_recording_is_read_as_one_channel_at_the_rate_that_is_asked_for(recording: Path) -> None:
    assert cosyvoice_source.read_wav(recording, 16_000).shape == (1, 64_000)
    assert cosyvoice_source.read_wav(str(recording), 24_000).shape == (1, 96_000)


def test_the_classes_read_recordings_by_our_reader(classes: ModuleType) -> None:
    for name in ("cosyvoice.utils.file_utils", "cosyvoice.cli.frontend"):
        assert sys.modules[name].load_wav is cosyvoice_source.read_wav

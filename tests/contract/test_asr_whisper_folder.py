"""The folder that a Whisper model comes in: what must be there, what it says of itself, how the settings name it."""

import json
from pathlib import Path

import pytest

from asr_service.engines.base import Task
from asr_service.engines.faster_whisper import WhisperEngine, load
from asr_service.engines.whisper_model import Whisper, check_folder
from asr_service.settings import AsrSettings
from tests.support.speech import speech

pytestmark = pytest.mark.contract

FOLDER = AsrSettings().model_path


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The model's folder, to be harmed."""
    for path in FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_the_demo_model_was_not_taught_to_translate(copied: Path) -> None:
    taught = Whisper(copied, "cpu", "int8", 300, 1)
    assert (taught.detects, taught.translates) == (True, False)
    (copied / "preprocessor_config.json").write_text("{}")
    assert Whisper(copied, "cpu", "int8", 300, 1).translates


def test_a_model_of_one_language_neither_detects_nor_translates(copied: Path) -> None:
    """ctranslate2 tells them apart by an empty token in the vocabulary."""
    vocabulary = json.loads((copied / "vocabulary.json").read_text())
    (copied / "vocabulary.json").write_text(json.dumps(["?" if token == "" else token for token in vocabulary]))
    whisper = Whisper(copied, "cpu", "int8", 300, 1)
    recogniser = WhisperEngine(whisper).open()
    recogniser.start(Task(""))
    recogniser.hear(speech("nihao"))

    assert (whisper.languages, whisper.detects, whisper.translates) == (("en",), False, False)
    assert recogniser.finish().language == ""


def test_the_settings_name_the_model_and_how_much_it_does_at_once(tmp_path: Path) -> None:
    settings = AsrSettings.model_validate({"ASR_MODEL_PATH": FOLDER, "whisper_workers": 3, "whisper_batch": 5})
    engine = load(settings)

    assert (engine.name, engine.lanes, engine.most_joined) == ("faster-whisper", 3, 5)
    with pytest.raises(FileNotFoundError, match="large-v3 is no folder"):
        load(settings.model_copy(update={"model_path": tmp_path / "large-v3"}))


def test_a_size_is_no_model_and_the_error_says_how_one_is_got() -> None:
    with pytest.raises(FileNotFoundError) as failure:
        check_folder(Path("large-v3"))

    said = str(failure.value)
    assert "ASR_MODEL_PATH (or STT_MODEL_NAME)" in said
    assert "download_model('large-v3', output_dir='large-v3')" in said


def test_a_device_that_the_library_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="faster-whisper computes on cpu or cuda"):
        load(AsrSettings().model_copy(update={"device": "mps"}))


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_file_that_is_missing_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()

    with pytest.raises(FileNotFoundError, match=rf"{name} is missing"):
        Whisper(copied, "cpu", "int8", 300, 1)


@pytest.mark.parametrize(
    "name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json", "preprocessor_config.json"]
)
def test_a_file_that_is_cut_off_is_named(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:60])

    with pytest.raises(ValueError, match=name):
        Whisper(copied, "cpu", "int8", 300, 1)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("preprocessor_config.json", '{"feature_size": 128}', "preprocessor_config.json does not fit the model"),
        ("config.json", "{}", "config.json and tokenizer.json name no languages"),
    ],
)
def test_a_file_of_another_model_is_named(copied: Path, name: str, text: str, fault: str) -> None:
    (copied / name).write_text(text)

    with pytest.raises(ValueError, match=fault):
        Whisper(copied, "cpu", "int8", 300, 1)


def test_the_vocabulary_of_older_models_is_a_text(copied: Path) -> None:
    (copied / "vocabulary.json").rename(copied / "vocabulary.txt")

    check_folder(copied)


def test_numbers_that_the_device_lacks_are_refused(copied: Path) -> None:
    with pytest.raises(ValueError, match="float16"):
        Whisper(copied, "cpu", "float16", 300, 1)

"""A FunASR folder is looked at before its library is; each file that is missing or damaged is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from asr_service import engines
from asr_service.engines import funasr_models
from asr_service.engines.funasr_folder import PARAFORMERS, PUNCTUATION, SENSE_VOICE, STREAMING, opened
from asr_service.settings import AsrSettings

pytestmark = pytest.mark.contract

TOP = Path(__file__).parents[2]
ALL = (STREAMING, SENSE_VOICE, *PARAFORMERS, PUNCTUATION)
FEATURES = {"fs": 16_000, "n_mels": 2, "lfr_m": 2}
NUMBERS = "[ 0.5 -1 2e-1 4 ]"


def write(folder: Path, model: str = STREAMING, tokenizer: str = "CharTokenizer") -> Path:
    """The files of a model, as far as they are looked at without its library."""
    folder.mkdir()
    config: dict[str, object] = {"model": model, "model_conf": {}, "tokenizer": tokenizer, "specaug": None}
    if model != PUNCTUATION:
        config["frontend_conf"] = FEATURES
        rows = [f"<{name}> 4 4\n<LearnRateCoef> 0 {NUMBERS}\n" for name in ("AddShift", "Rescale")]
        (folder / "am.mvn").write_text("<Nnet>\n<Splice> 4 4\n[ 0 ]\n" + "".join(rows) + "</Nnet>\n")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "model.pt").write_bytes(b"weights")
    if tokenizer == "CharTokenizer":
        (folder / "tokens.json").write_text(json.dumps(["<blank>", "你", "hello", "<unk>"]))
    else:
        (folder / "chn_jpn_yue_eng_ko_spectok.bpe.model").write_bytes(b"pieces")
    return folder


def reconfigured(folder: Path, **changes: object) -> Path:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
    return folder


def test_a_whole_folder_is_opened_with_the_paths_of_its_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    found = opened(folder, *ALL)

    assert (found.model, found.languages, found.weights, found.pieces) == (
        STREAMING,
        ("zh",),
        folder / "model.pt",
        None,
    )
    assert found.config["tokenizer_conf"] == {"token_list": str(folder / "tokens.json")}
    assert found.config["frontend_conf"] == {**FEATURES, "cmvn_file": str(folder / "am.mvn"), "dither": 0.0}
    assert "specaug" not in found.config


def test_a_folder_of_sense_voice_has_pieces_instead_of_tokens(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", SENSE_VOICE, "SentencepiecesTokenizer")
    found = opened(folder, SENSE_VOICE)

    assert found.languages == ("zh", "en", "yue", "ja", "ko")
    assert found.pieces == folder / "chn_jpn_yue_eng_ko_spectok.bpe.model"


def test_a_folder_of_punctuation_needs_no_features(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", PUNCTUATION)
    (folder / "jieba_usr_dict").write_text("天气 3 n\n")
    found = opened(folder, PUNCTUATION)

    assert found.config["jieba_usr_dict"] == str(folder / "jieba_usr_dict")
    assert "frontend_conf" not in found.config


def test_tokens_may_be_lines_and_tell_the_language(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    (folder / "tokens.json").unlink()
    (folder / "tokens.txt").write_text("<blank>\nhel@@\nlo\n<unk>\n")
    (folder / "seg_dict").write_text("hello hel@@ lo\n")
    found = opened(folder, *ALL)

    assert found.languages == ("en",)
    assert found.config["tokenizer_conf"] == {
        "token_list": str(folder / "tokens.txt"),
        "seg_dict": str(folder / "seg_dict"),
    }


@pytest.mark.parametrize("name", ["config.yaml", "model.pt", "tokens.json", "am.mvn"])
def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "one")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        opened(folder, *ALL)
    (folder / name).touch()
    with pytest.raises(ValueError, match=f"{name} is empty"):
        opened(folder, *ALL)


def test_pieces_that_are_missing_or_empty_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", SENSE_VOICE, "SentencepiecesTokenizer")
    pieces = next(folder.glob("*.bpe.model"))
    pieces.unlink()
    with pytest.raises(FileNotFoundError, match=r"bpe\.model is missing"):
        opened(folder, *ALL)
    pieces.touch()
    with pytest.raises(ValueError, match=r"bpe\.model is empty"):
        opened(folder, *ALL)


@pytest.mark.parametrize("name", ["config.yaml", "tokens.json", "am.mvn"])
@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) * 2 // 3], lambda whole: b"\xff\xfe" + whole])
def test_a_file_that_is_damaged_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    folder = write(tmp_path / "one")
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ValueError, match=name):
        opened(folder, *ALL)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("config.yaml", "- a list\n", "names and values"),
        ("config.yaml", "{", "damaged"),
        ("tokens.json", "{}", "no list of tokens"),
        ("tokens.json", "[1, 2]", "no list of tokens"),
        ("am.mvn", "<AddShift> 4 4\n<LearnRateCoef> 0 [ 1 2 3 four ]\n", "damaged"),
        ("am.mvn", f"<AddShift> 4 4\n<LearnRateCoef> 0 {NUMBERS}\n", "shift and scale 4"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, name: str, text: str, fault: str) -> None:
    folder = write(tmp_path / "one")
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=fault) as raised:
        opened(folder, *ALL)
    assert str(folder / name) in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"model": "Qwen3ASR"}, "'Qwen3ASR'; wanted here: ParaformerStreaming"),
        ({"model": None}, "of the model None"),
        ({"tokenizer": "HuggingfaceTokenizer"}, "does not have"),
        ({"tokenizer": "SentencepiecesTokenizer"}, "does not have"),
        ({"frontend_conf": None}, "nothing of frontend_conf"),
        ({"frontend_conf": {**FEATURES, "fs": 8_000}}, "hears at 8000 Hz"),
        ({"model_conf": [1]}, "no names and values for model_conf"),
    ],
)
def test_a_configuration_that_fits_no_model_is_named(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    folder = reconfigured(write(tmp_path / "one"), **changes)
    with pytest.raises(ValueError, match=fault) as raised:
        opened(folder, *ALL)
    assert str(folder / "config.yaml") in str(raised.value)


def test_a_folder_that_is_not_there_is_never_taken_for_a_name_to_be_fetched() -> None:
    with pytest.raises(FileNotFoundError, match="paraformer-zh is no folder"):
        engines.load("funasr", AsrSettings(model_path=Path("paraformer-zh")))


def test_a_model_for_finals_needs_a_streaming_one_beside_it(tmp_path: Path) -> None:
    whole, final = write(tmp_path / "one", "Paraformer"), write(tmp_path / "two", "BiCifParaformer")
    with pytest.raises(ValueError, match="ASR_FINAL_MODEL_PATH"):
        engines.load("funasr", AsrSettings(model_path=whole, final_model_path=final))


def test_a_streaming_model_reads_no_finals_and_punctuation_no_sound(tmp_path: Path) -> None:
    folder, marks = write(tmp_path / "one"), write(tmp_path / "two", PUNCTUATION)
    for wrong in (
        AsrSettings(model_path=folder, final_model_path=folder),
        AsrSettings(model_path=folder, punctuation_path=folder),
        AsrSettings(model_path=marks),
    ):
        with pytest.raises(ValueError, match="wanted here"):
            engines.load("funasr", wrong)


def test_a_library_that_is_missing_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(funasr_models.PACKAGES, "no_such_library", "no-such-library==1.0")
    with pytest.raises(ImportError, match=r"needs .*no-such-library==1\.0.*: python -m pip install torch==") as raised:
        funasr_models.prepare("cpu", 1.0)
    assert "funasr==" in str(raised.value)


def test_the_sentence_names_what_the_project_installs() -> None:
    lock = (TOP / "deploy" / "locks" / "asr-funasr.txt").read_text()
    locked = dict(re.findall(r"^([\w-]+)(==\S+)", lock, re.MULTILINE))

    assert funasr_models.PACKAGES["funasr"] == f"funasr{locked['funasr']}"
    assert funasr_models.PACKAGES["kaldi_native_fbank"] in locked
    assert f"TORCH:-{funasr_models.PACKAGES['torch']}}}" in (TOP / "deploy" / "torch.sh").read_text()
    assert "torch" not in locked, "its hashes would fit one machine only"

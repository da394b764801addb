"""A FunASR model's folder: which model it is, and whether its files are whole, before the library looks at it.

The library asks less: a folder that is not there is fetched, without `am.mvn` features stay unnormalised, and without
`model.pt` the weights are random, all without a word. Laws: nothing is loaded and nothing is fetched here; what is
wrong is a FileNotFoundError or ValueError that names the file. Weights are looked at when they are loaded.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from asr_service.engines.base import SAMPLE_RATE

STREAMING = "ParaformerStreaming"
SENSE_VOICE = "SenseVoiceSmall"
PARAFORMERS = ("Paraformer", "BiCifParaformer", "SeacoParaformer")
PUNCTUATION = "CTTransformer"

CONFIG = "config.yaml"
WEIGHTS = "model.pt"
NORMALISATION = "am.mvn"
TOKENS = ("tokens.json", "tokens.txt")  # the first that there is
PIECES = "*bpe.model"  # of SentencePiece
SEGMENTS = "seg_dict"  # may be absent, as WORDS may
WORDS = "jieba_usr_dict"

SENSE_VOICE_LANGUAGES = ("zh", "en", "yue", "ja", "ko")
HAN = re.compile(r"[\u4e00-\u9fff]")
VECTOR = re.compile(r"<(AddShift|Rescale)>[^\[]*\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder whose files are there. `config` is what its config.yaml holds, with the paths of its files put in."""

    path: Path
    model: str
    config: dict[str, Any]
    languages: tuple[str, ...]

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def pieces(self) -> Path | None:
        """The file of SentencePiece, where the model writes by that."""
        found = self.config["tokenizer_conf"].get("bpemodel")
        return Path(found) if found else None


def opened(folder: Path, *models: str) -> ModelFolder:
    """The folder, if it is of one of these models and whole."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder; a FunASR model is a folder with {CONFIG}, {WEIGHTS}, {NORMALISATION} and "
            f"{TOKENS[0]} or what stands for them: nothing is fetched while the service starts. One is got once, with "
            "`modelscope download iic/SenseVoiceSmall --local-dir FOLDER`."
        )
    config = mapping(folder / CONFIG)
    model = config.get("model")
    if model not in models:
        raise ValueError(f"{folder / CONFIG} is of the model {model!r}; wanted here: {', '.join(models)}")
    whole(folder / WEIGHTS)
    config = {"model_conf": {}, "tokenizer_conf": {}} | config
    tokenizer, languages = vocabulary(folder, config, model)
    config["tokenizer_conf"] = config["tokenizer_conf"] | tokenizer
    if model != PUNCTUATION:
        config["frontend_conf"] = normalised(folder, config)
    if (folder / WORDS).is_file():
        config["jieba_usr_dict"] = str(folder / WORDS)
    return ModelFolder(folder, model, config, languages)


def whole(path: Path) -> Path:
    """The file, if it is there and not empty."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    return path


def mapping(path: Path) -> dict[str, Any]:
    """What a YAML file of names and values holds."""
    try:
        content = yaml.safe_load(whole(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as failure:
        raise ValueError(f"{path} is damaged: {failure}") from failure
    content = {name: value for name, value in content.items() if value is not None} if is_mapping(content) else {}
    parts = [name for name, value in content.items() if str(name).endswith("_conf") and not is_mapping(value)]
    if parts or not content:
        raise ValueError(f"{path} is damaged: it holds no names and values{' for '.join(['', *parts[:1]])}")
    return content


def is_mapping(content: Any) -> bool:
    return isinstance(content, dict)


def vocabulary(folder: Path, config: dict[str, Any], model: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the tokeniser is told of its files, and what languages it writes."""
    kind = config.get("tokenizer")
    if kind == "SentencepiecesTokenizer" and model != STREAMING:
        found = sorted(folder.glob(PIECES))
        if not found:
            raise FileNotFoundError(f"{folder / PIECES} is missing")
        return {"bpemodel": str(whole(found[0]))}, SENSE_VOICE_LANGUAGES if model == SENSE_VOICE else ("en",)
    if kind != "CharTokenizer":
        raise ValueError(f"{folder / CONFIG} asks for the tokenizer {kind!r}, which the model {model} does not have")
    path = whole(next((folder / name for name in TOKENS if (folder / name).is_file()), folder / TOKENS[0]))
    files = {"token_list": str(path)}
    if (folder / SEGMENTS).is_file():
        files["seg_dict"] = str(folder / SEGMENTS)
    return files, ("zh",) if any(HAN.search(token) for token in tokens(path)) else ("en",)


def tokens(path: Path) -> list[str]:
    """A list of tokens, in JSON or one a line."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except ValueError as failure:
        raise ValueError(f"{path} is damaged: {failure}") from failure
    if not isinstance(found, list) or not found or not all(isinstance(token, str) for token in found):
        raise ValueError(f"{path} holds no list of tokens")
    return found


def normalised(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """How features are made, with the file that they are normalised by; nothing random is added to the sound."""
    front = config.get("frontend_conf")
    if not front:
        raise ValueError(f"{folder / CONFIG} says nothing of frontend_conf")
    if front.get("fs", SAMPLE_RATE) != SAMPLE_RATE:
        raise ValueError(f"{folder / CONFIG} is of a model that hears at {front['fs']} Hz, not at {SAMPLE_RATE}")
    path = whole(folder / NORMALISATION)
    wanted = front.get("n_mels", 80) * front.get("lfr_m", 1)
    found = {name: numbers(path, row) for name, row in VECTOR.findall(kaldi_rows(path))}
    if [len(found.get(name, ())) for name in ("AddShift", "Rescale")] != [wanted, wanted]:
        raise ValueError(f"{path} is damaged: it has to shift and scale {wanted} features")
    return {**front, "cmvn_file": str(path), "dither": 0.0}


def kaldi_rows(path: Path) -> str:
    """Kaldi's text, in which rows of numbers follow what they are for."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as failure:
        raise ValueError(f"{path} is damaged: {failure}") from failure


def numbers(path: Path, row: str) -> list[float]:
    """The numbers of a row."""
    try:
        return [float(number) for number in row.split()]
    except ValueError as failure:
        raise ValueError(f"{path} is damaged: {failure}") from failure

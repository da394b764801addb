"""From the training's snapshot to the folder that faster-whisper loads without any hub: CTranslate2, int8.

Run: python -m asr_service.demo_model.export WORK_FOLDER MODEL_FOLDER
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer
from transformers import GenerationConfig, WhisperForConditionalGeneration

from asr_service.demo_model.corpus import LANGUAGES
from asr_service.demo_model.model import DECODER_LAYERS, HEADS, MEL_BINS, POSITIONS, config

COPIED = ["tokenizer.json", "preprocessor_config.json"]
END = "<|endoftext|>"
TOKENISER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END, "eos_token": END, "unk_token": END}
HEARING = {
    "chunk_length": POSITIONS // 50,
    "feature_size": MEL_BINS,
    "hop_length": 160,
    "n_fft": 400,
    "sampling_rate": 16_000,
    "translates": False,  # for our engine alone: no text was ever taught in another language than was spoken
}
MOST_BYTES = 3_000_000  # of one file in the repository


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def plain(work: Path, folder: Path) -> None:
    """The model as transformers keeps it."""
    folder.mkdir(exist_ok=True)
    shutil.copy(work / "tokenizer.json", folder)
    tokeniser = Tokenizer.from_file(str(folder / "tokenizer.json"))
    whisper = WhisperForConditionalGeneration(config(tokeniser))
    whisper.load_state_dict(torch.load(work / "model.pt")["weights"])
    names = [f"<|{code}|>" for code in LANGUAGES]
    whisper.generation_config = GenerationConfig(
        suppress_tokens=[],
        begin_suppress_tokens=[],  # the end may come first: that is how the model says that nobody speaks
        lang_to_id={name: tokeniser.token_to_id(name) for name in names},
        alignment_heads=[[DECODER_LAYERS - 1, head] for head in range(HEADS)],
    )
    whisper.save_pretrained(folder)
    write(folder / "tokenizer_config.json", TOKENISER_CONFIG)
    write(folder / "preprocessor_config.json", HEARING)


def main(work: Path, target: Path) -> None:
    plain(work, work / "plain")
    TransformersConverter(str(work / "plain"), copy_files=COPIED).convert(str(target), quantization="int8", force=True)
    for path in sorted(target.iterdir()):
        print(path.name, path.stat().st_size)
        if path.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{path.name} is larger than {MOST_BYTES} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Folders that the stand-ins of speech engines' packages load, and how a test or a child process comes to see those."""

import json
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STAND_INS = Path(__file__).parent / "stand_ins"
PACKAGES = ("torch", "transformers", "edge_tts", "f5_tts", "qwen_tts", "vibevoice")


@contextmanager
def for_children() -> Iterator[None]:
    """Processes that are started inside the block import the stand-ins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_INS))
        yield


@contextmanager
def in_this_process() -> Iterator[None]:
    """This process does, inside the block; afterwards it has again what it had before."""
    before = _forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STAND_INS)
        yield
    _forget()
    sys.modules.update(before)


def _forget() -> dict[str, ModuleType]:
    """The modules of the packages, which are not imported any more."""
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


def recording(path: Path, seconds: float = 4.0, rate: int = 16_000) -> Path:
    """A WAV of a hum."""
    samples = (8_000 * np.sin(np.arange(round(seconds * rate)) / 10)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def f5_folder(folder: Path) -> Path:
    (folder / "vocos").mkdir(parents=True)
    (folder / "vocos" / "config.yaml").touch()
    (folder / "model_1250000.safetensors").touch()
    return folder


def qwen3_folder(folder: Path, kind: str, size: str = "1b7") -> Path:
    (folder / "speech_tokenizer").mkdir(parents=True)
    (folder / "speech_tokenizer" / "config.json").touch()
    (folder / "config.json").write_text(json.dumps({"tts_model_type": kind, "tts_model_size": size}))
    return folder


def vibevoice_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").touch()
    return folder


def vibevoice_voices(folder: Path, *names: str) -> Path:
    """Each differs by a number, in the order of their names; only where the stand-ins are imported."""
    from torch import save

    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        save({part: np.full(3, number, np.float32) for part in ("lm", "tts_lm", "neg_lm", "neg_tts_lm")}, folder / name)
    return folder

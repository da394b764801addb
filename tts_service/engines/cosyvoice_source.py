"""Makes the classes of CosyVoice importable in this process, from a checkout of its source or a folder of its packages.

They import, on their first line, what only training needs: a trainer, a plotter, a downloader. What of that is not
installed is stood in for by modules whose every name is an empty class, so that the environment stays small, and no
model is ever fetched by a class that was given a wrong folder. Their reader of WAV files wants a library of PyTorch's
that may not be there; `read_wav` stands for it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from shared.errors import EngineFailed

FOR_TRAINING: Final = frozenset(
    {"deepspeed", "gdown", "hydra", "lightning", "matplotlib", "modelscope", "pyarrow", "pyworld", "rich", "rootutils"}
    | {"tensorboard", "wget"}
)
SLOW: Final = ("sklearn",)  # transformers imports it if it is there, for what is not used here; it takes a second
LONGEST_PROMPT_S: Final = 30  # the classes refuse a longer one


class _Nothing:
    """A class to derive from, and a decorator that changes nothing."""

    def __new__(cls, *given: Any, **_: object) -> Any:
        return given[0] if len(given) == 1 and callable(given[0]) else super().__new__(cls)


class _Absent(ModuleType):
    """A module that is not installed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Nothing,), {})
        setattr(self, name, made)
        return made


class _StandIns(MetaPathFinder, Loader):
    """Asked last, so that what is installed comes first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in FOR_TRAINING:
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def classes(source: Path) -> ModuleType:
    """The module `cosyvoice.cli.cosyvoice` of a checkout, or of a folder that holds `cosyvoice` and `matcha`."""
    if not (source / "cosyvoice" / "cli" / "cosyvoice.py").is_file():
        raise EngineFailed(f"There is no source of CosyVoice at {source}.", service="tts")
    for folder in (source / "third_party" / "Matcha-TTS", source):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if not any(isinstance(finder, _StandIns) for finder in sys.meta_path):
        sys.meta_path.append(_StandIns())
        for name in SLOW:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    try:
        readers = [importlib.import_module(f"cosyvoice.{name}") for name in ("utils.file_utils", "cli.frontend")]
        found = importlib.import_module("cosyvoice.cli.cosyvoice")
    except ImportError as missing:
        what = missing.name or "something"
        raise EngineFailed(f"The source of CosyVoice needs {what}, which is not there.", service="tts") from None
    for reader in readers:
        reader.load_wav = read_wav  # type: ignore[attr-defined]
    return found


def read_wav(wav: Any, target_sr: int, min_sr: int = 16_000) -> Any:
    """A tensor [1, n] of a file, mixed to one channel at the rate that is asked for, of 30 s at most."""
    import soundfile
    import torch
    import torchaudio

    samples, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    if rate < min_sr:
        raise EngineFailed(f"A reference must have {min_sr} samples a second or more.", service="tts")
    mono = torch.from_numpy(samples[: LONGEST_PROMPT_S * rate].mean(axis=1, keepdims=True).T)
    return mono if rate == target_sr else torchaudio.functional.resample(mono, rate, target_sr)

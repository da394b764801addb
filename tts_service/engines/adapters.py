"""What adapters of engines in processes of their own have in common: settings, a stop inside a model, PCM of floats."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from shared.errors import EngineFailed
from shared.threads import StopToken
from tts_service.engines.base import Capabilities, ClosesNothing

if TYPE_CHECKING:
    from tts_service.settings import TtsSettings

_ROOT: Final = Path(__file__).resolve().parents[2]
_SAMPLE_BYTES: Final = 1 << 16  # of each end of a file, for the version
WEIGHTS: Final = (".bin", ".json", ".pt", ".safetensors")


S = TypeVar("S")


class OneModel(ClosesNothing, Generic[S]):
    """The part of an engine that has one model, thus one slot: `start` puts it into `_slot`, and tells what it can."""

    capabilities: Capabilities
    _slot: S | None = None

    def has_voice(self, name: str) -> bool:
        return any(voice.name == name for voice in self.capabilities.voices)

    def open_slot(self) -> S:
        """Raises EngineFailed when it is in use."""
        slot, self._slot = self._slot, None
        if slot is None:
            raise EngineFailed("This process has one model, which is in use.", service="tts")
        return slot


class Stopped(Exception):
    """Raised inside a model whose request nobody wants any more."""


def interpreter(settings: "TtsSettings") -> str:
    """The Python that the settings name, seen from the checkout; else the service's own."""
    import sys

    return str(_ROOT / settings.engine_python) if settings.engine_python else sys.executable


def existing(path: Path | None, variable: str, what: str) -> str:
    """The absolute path of something that must be there. Raises EngineFailed, which names the variable."""
    if path is None or not path.exists():
        raise EngineFailed(f"{variable} must name {what}.", service="tts")
    return str(path.absolute())


def library(name: str, engine: str) -> Any:
    """A module of an engine's package. Raises EngineFailed, which tells what is missing."""
    try:
        return import_module(name)
    except ImportError as missing:
        what = missing.name or name
        raise EngineFailed(f"{engine} needs {what}, which is not there.", service="tts") from None


@contextmanager
def stoppable(module: Any, stop: StopToken) -> Iterator[None]:
    """Leave the block, whatever library is in between, at the next step of a PyTorch module once `stop` is set.

    A stop ends the block without an error: whoever goes on behind it looks at the token.
    """

    def check(*_: object) -> None:
        if stop.is_stopped():
            raise Stopped

    hook = module.register_forward_pre_hook(check)
    try:
        yield
    except Stopped:
        pass
    finally:
        hook.remove()


def device(told: str) -> str:
    """Where a model is put: what was told, or for `auto` the first GPU if there is one."""
    import torch

    if told != "auto":
        return told
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def version_of(folder: Path, kinds: Collection[str] = WEIGHTS, without: Collection[str] = ()) -> str:
    """The same for the same weights: from the names, the sizes and both ends of the files of these kinds."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in kinds and path.is_file()):
        if path.name in without:
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            file.seek(max(0, size - _SAMPLE_BYTES))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def pcm(sound: Any) -> bytes:
    """PCM16 of an array or tensor of floats, about -1 to 1: what is louder is cut off, what is no number is silent."""
    import numpy as np

    if hasattr(sound, "detach"):
        sound = sound.detach().float().cpu().numpy()
    floats = np.nan_to_num(np.asarray(sound, np.float32).reshape(-1), nan=0.0, posinf=1.0, neginf=-1.0)
    return bytes(np.rint(floats.clip(-1.0, 1.0) * 32_767).astype(np.int16).tobytes())

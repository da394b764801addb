"""What of PyTorch the adapters of speech engines touch, made of numpy, for a process without the real one."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

float32, bfloat16 = "float32", "bfloat16"


class Tensor(np.ndarray[Any, Any]):
    """An array that has a tensor's ways."""

    def detach(self) -> "Tensor":
        return self

    def float(self) -> "Tensor":
        return self.astype(np.float32).view(Tensor)

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> "np.ndarray[Any, Any]":
        return np.asarray(self)

    def to(self, _: object) -> "Tensor":
        return self


def from_numpy(array: "np.ndarray[Any, Any]") -> Tensor:
    return array.view(Tensor)


class cuda:  # noqa: N801 (the name is PyTorch's)
    """No GPU."""

    @staticmethod
    def is_available() -> bool:
        return False


class Hook:
    def __init__(self, hooks: list[Callable[..., None]], hook: Callable[..., None]) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        self._hooks.remove(self._hook)


class Module:
    """A step of a model: does nothing but what was hooked to it."""

    def __init__(self) -> None:
        self.hooks: list[Callable[..., None]] = []

    def register_forward_pre_hook(self, hook: Callable[..., None]) -> Hook:
        self.hooks.append(hook)
        return Hook(self.hooks, hook)

    def __call__(self) -> None:
        for hook in self.hooks:
            hook(self, ())


class serialization:  # noqa: N801 (the name is PyTorch's)
    """Remembers what may be read."""

    allowed: tuple[Any, ...] = ()

    @classmethod
    @contextmanager
    def safe_globals(cls, allowed: list[Any]) -> Iterator[None]:
        cls.allowed = tuple(allowed)
        yield
        cls.allowed = ()


def load(path: Path, map_location: str, weights_only: bool) -> dict[str, dict[str, Any]]:
    """A voice as `save` writes it."""
    assert weights_only
    assert serialization.allowed
    with zipfile.ZipFile(path) as archive:
        return {
            part: {"last_hidden_state": from_numpy(np.load(io.BytesIO(archive.read(part)))), "past_key_values": None}
            for part in archive.namelist()
        }


def save(parts: dict[str, "np.ndarray[Any, Any]"], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for part, array in parts.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(part, file.getvalue())

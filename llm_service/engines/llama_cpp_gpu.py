"""How many layers of a model file go to the GPU when it may take only a share of its memory.

What the devices have is asked of ggml, what the model needs is read from its file; the count itself is made in
core/gpu_share.py. Where there is no GPU nothing changes. This was never run on a machine with a GPU: there it is known
only from what ggml documents, and tested with figures that are given.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llama_cpp import llama_cpp as library

from llm_service.core.batching import BatchParams
from llm_service.core.gpu_share import budget_of, layers_that_fit
from llm_service.engines.gguf import NotGguf, key_values

_GPU = 1  # of ggml's types of devices
_BYTES = 2  # of a number in the context's memory
_SCORE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU's memory, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model takes: its layers, its file, what each layer remembers of a token, the scores of a token."""

    layers: int
    model_bytes: int
    bytes_per_layer_token: int
    score_bytes: int


def layers_on_gpu(path: Path, wanted: int, share: float | None, params: BatchParams) -> int:
    """The layers to put on the GPU; `wanted`: at most so many, 0: as many as fit the share. Raises ValueError."""
    devices = gpus() if share is not None else ()
    if share is None or not devices:
        return wanted
    try:
        needs = needs_of(path)
    except (NotGguf, OSError):
        raise ValueError("the model file cannot be read") from None
    fit = layers_within(needs, devices, share, params)
    return min(wanted, fit) if wanted else fit


def layers_within(needs: Needs, devices: Sequence[Device], share: float, params: BatchParams) -> int:
    """The layers that fit the share of all these devices."""
    return layers_that_fit(
        needs.layers,
        needs.model_bytes,
        needs.bytes_per_layer_token * params.slots * params.slot_tokens,
        sum(budget_of(share, device.total, device.free) for device in devices),
        needs.score_bytes * params.batch_tokens,
    )


def gpus() -> tuple[Device, ...]:
    """The GPUs that llama.cpp was built for and has found."""
    library.llama_backend_init()
    ggml = library._lib  # its own library, and with it those that it needs
    count, device, kind, memory = (
        getattr(ggml, f"ggml_backend_dev_{name}") for name in ("count", "get", "type", "memory")
    )
    count.restype, device.restype, device.argtypes = ctypes.c_size_t, ctypes.c_void_p, [ctypes.c_size_t]
    kind.argtypes, memory.restype = [ctypes.c_void_p], None
    memory.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)]
    found = []
    for place in range(count()):
        handle = device(place)
        if kind(handle) == _GPU:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            memory(handle, ctypes.byref(free), ctypes.byref(total))
            found.append(Device(free.value, total.value))
    return tuple(found)


def needs_of(path: Path) -> Needs:
    """What the file says of its model; raises NotGguf, OSError."""
    (name,) = key_values(path, "general.architecture")
    prefix = name.decode("utf-8", "replace") if isinstance(name, bytes) else ""
    keys = ("block_count", "embedding_length", "attention.head_count", "attention.head_count_kv",
            "attention.key_length", "attention.value_length")  # fmt: skip
    *told, tokens = key_values(path, *(f"{prefix}.{key}" for key in keys), "tokenizer.ggml.tokens")
    layers, width, heads, remembered, key, value = (_most(one) for one in told)
    if not (layers and width and heads):
        raise NotGguf
    head = width // heads
    per_token = (remembered or heads) * ((key or head) + (value or head)) * _BYTES
    vocabulary = len(tokens) if isinstance(tokens, list) else 0
    return Needs(layers, path.stat().st_size, per_token, vocabulary * _SCORE_BYTES)


def _most(value: object) -> int:
    """A number; of a list, as some models have one for each layer, the greatest; 0: it is not told."""
    if isinstance(value, list):
        return max((_most(one) for one in value), default=0)
    return value if isinstance(value, int) else 0

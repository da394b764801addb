"""One model of CosyVoice, loaded from its folder by the class that its YAML asks for, and checked.

The language model of CosyVoice 2 and 3 is stepped with a mask of the new token alone. From transformers 4.53 on that is
read as a mask of everything, and the steps drift until speech is babble, while nothing raises. So a step is compared
with a whole pass at the start; if they differ, the mask is left out, and if they differ still, the model is refused.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from shared.errors import EngineFailed
from tts_service.engines.adapters import version_of

KINDS: Final = {1: "cosyvoice.yaml", 2: "cosyvoice2.yaml", 3: "cosyvoice3.yaml"}
CLASSES: Final = {1: "CosyVoice", 2: "CosyVoice2", 3: "CosyVoice3"}
LANGUAGES: Final = {
    1: ("zh", "en", "ja", "yue", "ko"),
    2: ("zh", "en", "ja", "yue", "ko"),
    3: ("zh", "en", "ja", "yue", "ko", "de", "es", "fr", "it", "ru"),
}
DRIFT: Final = 0.02  # of a hidden state, between a step and a whole pass; half precision stays far below
_PREFILL, _STEPS = 12, 6
PARTS: Final = (".onnx", ".pt", ".yaml")
VOICES: Final = ("spk2info.pt",)  # those that were added make no other weights


@dataclass(frozen=True, slots=True)
class Loaded:
    """A CosyVoice object of the classes, which of them it is (1, 2 or 3), and the version of its weights."""

    cosy: Any
    kind: int
    version: str

    @property
    def takes_paths(self) -> bool:
        """Whether prompts are paths of files; else they are tensors at 16 kHz."""
        return "prompt_wav" in inspect.signature(self.cosy.inference_zero_shot).parameters

    @property
    def has_instruction(self) -> bool:
        """Of CosyVoice 1, one model in three takes instructions."""
        return self.kind > 1 or bool(getattr(self.cosy, "instruct", False))


def load(classes: ModuleType, folder: Path, *, fp16: bool = False, trt: bool = False) -> Loaded:
    """Raises EngineFailed when the folder holds no model that these classes load."""
    kind = kind_of(folder)
    make = getattr(classes, CLASSES[kind], None)
    if make is None:
        raise EngineFailed(
            f"This source has no classes of CosyVoice {kind}; TTS_COSYVOICE_SOURCE may name a checkout that has them.",
            service="tts",
        )
    cosy = make(str(folder), fp16=fp16, load_trt=trt)
    if kind > 1:
        mend_steps(cosy.model.llm.llm)
    return Loaded(cosy, kind, version(folder))


def kind_of(folder: Path) -> int:
    """Which CosyVoice lies in the folder. Raises EngineFailed."""
    if not folder.is_dir():  # the classes would take it for the name of something to download
        raise EngineFailed("TTS_COSYVOICE_MODEL names no folder.", service="tts")
    kinds = [kind for kind in sorted(KINDS, reverse=True) if (folder / KINDS[kind]).is_file()]
    if not kinds:
        raise EngineFailed("The folder of TTS_COSYVOICE_MODEL holds no cosyvoice.yaml of any kind.", service="tts")
    if kinds == [1] and "Qwen2LM" in (folder / KINDS[1]).read_text(encoding="utf-8"):
        raise EngineFailed("This is a CosyVoice 2: its cosyvoice.yaml must be called cosyvoice2.yaml.", service="tts")
    return kinds[0]


def version(folder: Path) -> str:
    """The same for the same weights."""
    return version_of(folder, PARTS, VOICES)


def mend_steps(encoder: Any) -> None:
    """Make one step after another mean what a whole pass means. Raises EngineFailed when that cannot be."""
    if drift(encoder) <= DRIFT:
        return

    def without_mask(xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        made = encoder.model(
            inputs_embeds=xs, output_hidden_states=True, return_dict=True, use_cache=True, past_key_values=cache
        )
        return made.hidden_states[-1], made.past_key_values

    encoder.forward_one_step = without_mask
    if drift(encoder) > DRIFT:
        raise EngineFailed("CosyVoice cannot speak with this version of transformers.", service="tts")


def drift(encoder: Any) -> float:
    """How far the hidden states of single steps are from those of one pass over everything, as a share of them."""
    import torch

    some = next(encoder.model.parameters())
    noise = torch.randn(
        1, _PREFILL + _STEPS, encoder.model.config.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    given = noise.to(some)
    with torch.inference_mode():
        whole = encoder.model(inputs_embeds=given, output_hidden_states=True, return_dict=True).hidden_states[-1]
        cache, steps = None, []
        for start, end in [(0, _PREFILL), *((place, place + 1) for place in range(_PREFILL, _PREFILL + _STEPS))]:
            size = end - start
            mask = torch.ones(1, size, size, device=given.device).tril().bool()
            made, cache = encoder.forward_one_step(given[:, start:end], masks=mask, cache=cache)
            steps.append(made[:, -1])
    expected, found = whole[0, _PREFILL - 1 :].float(), torch.cat(steps).float()
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())

"""The engines by name. An engine is one module with `load(settings) -> Engine`, imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tts_service.engines.base import Engine
    from tts_service.settings import TtsSettings

ENGINES = {
    "espeak": "tts_service.engines.espeak:load",
    "cosyvoice": "tts_service.engines.cosyvoice:load",  # in .venv-cosyvoice, with a model that the settings name
    "fake": "tts_service.engines.fake:load",  # a tone, for tests and benchmarks
    "openai": "tts_service.engines.openai_upstream:load",  # a server elsewhere
    "piper": "tts_service.engines.piper:load",  # voices in files; its package is an extra
    "f5": "tts_service.engines.f5:load",
    "qwen3": "tts_service.engines.qwen3:load",
    "vibevoice": "tts_service.engines.vibevoice:load",
    "edge": "tts_service.engines.edge:load",  # text leaves the house; off unless the settings allow it
    "none": "tts_service.engines.silent:load",  # whoever shows the reply speaks it
}


def load(name: str, settings: "TtsSettings") -> "Engine":
    """The engine called `name`, not started; KeyError when there is none, EngineFailed when a setting is wrong."""
    module, function = ENGINES[name].split(":")
    engine: Engine = getattr(import_module(module), function)(settings)
    return engine

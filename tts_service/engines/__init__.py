"""The engines by name. An engine is one module with `load(settings) -> Engine`, imported when it is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tts_service.engines.base import Engine
    from tts_service.settings import TtsSettings

ENGINES = {
    "espeak": "tts_service.engines.espeak:load",
    "fake": "tts_service.engines.fake:load",  # a tone, for tests and benchmarks
}


def load(name: str, settings: "TtsSettings") -> "Engine":
    """The engine called `name`, not started; KeyError when there is none, EngineFailed when a setting is wrong."""
    module, function = ENGINES[name].split(":")
    engine: Engine = getattr(import_module(module), function)(settings)
    return engine

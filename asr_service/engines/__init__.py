"""The recognisers to choose from: one file and one line in the table each, imported only when chosen."""

from importlib import import_module
from types import MappingProxyType

from asr_service.engines.base import Engine

ENGINES = MappingProxyType(
    {
        "embedded": "asr_service.engines.embedded:load",  # pocketsphinx for English, a small Whisper for the rest
        "pocketsphinx": "asr_service.engines.pocketsphinx:load",
        "faster-whisper": "asr_service.engines.faster_whisper:load",
        "fake": "asr_service.engines.fake:load",  # for tests and benchmarks; hears sound, understands nothing
    }
)


def load(name: str) -> Engine:
    """The engine called `name`; KeyError for a name that is not in the table."""
    module, function = ENGINES[name].split(":")
    engine: Engine = getattr(import_module(module), function)()
    return engine

"""The recognisers to choose from: one file and one line in the table each, imported only when chosen."""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from asr_service.engines.base import Engine

if TYPE_CHECKING:  # the settings name the engines, so they import this table
    from asr_service.settings import AsrSettings

ENGINES = MappingProxyType(
    {
        "embedded": "asr_service.engines.embedded:load",  # pocketsphinx for English, a small Whisper for the rest
        "pocketsphinx": "asr_service.engines.pocketsphinx:load",
        "faster-whisper": "asr_service.engines.faster_whisper:load",
        "funasr": "asr_service.engines.funasr:load",
        "openai": "asr_service.engines.openai_upstream:load",  # a server that speaks OpenAI's way hears
        "fake": "asr_service.engines.fake:load",  # for tests and benchmarks; hears sound, understands nothing
    }
)


def load(name: str, settings: "AsrSettings") -> Engine:
    """The engine called `name`, loaded as it is set; KeyError for a name that is not in the table."""
    module, function = ENGINES[name].split(":")
    engine: Engine = getattr(import_module(module), function)(settings)
    return engine

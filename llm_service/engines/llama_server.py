"""The real llama.cpp server of the `xllamacpp` wheel on a GGUF file, as a supervised child process."""

import sys
from pathlib import Path

from llm_service.engines.base import Manner
from llm_service.engines.supervised import SupervisedServer, checked_model, knows_tools, model_options
from llm_service.settings import LlmSettings


def load(settings: LlmSettings) -> "LlamaServer":
    """The engine for the model file that the settings name; raises SetupProblem."""
    return LlamaServer(settings, *checked_model(settings.model_path))


class LlamaServer(SupervisedServer):
    """llama.cpp's server behind the Engine protocol."""

    def __init__(self, settings: LlmSettings, model_path: Path, markers: tuple[str, ...]) -> None:
        manner = Manner(
            model=None,
            defaults={"temperature": settings.temperature, "repeat_penalty": 1.0},
            markers=markers,
            counts_tokens=True,
            tools="shaped" if knows_tools(settings) else "unknown",  # a choice of one function it would ignore
        )
        command = [sys.executable, "-m", "llm_service.engines.llama_child", str(model_path), *model_options(settings)]
        super().__init__("llama_server", "the llama.cpp server", manner, command, settings)

"""llama.cpp through llama-cpp-python, with batches of our own making, as a supervised child process.

It is asked as `llama_server` is. What it adds: a reply that is left stops within one step, also in the middle of its
prompt; prompts take turns; a call of a tool that must be made is forced by a grammar, several too; and it keeps to a
share of a GPU's memory. The library is built from source, so the child may run in an environment of its own: see
deploy/llama.sh.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from llm_service.engines.base import Manner, SetupProblem
from llm_service.engines.supervised import SupervisedServer, checked_model, knows_tools, model_options
from llm_service.settings import LlmSettings


def load(settings: LlmSettings) -> "LlamaCpp":
    """The engine for the model file that the settings name; raises SetupProblem."""
    return LlamaCpp(settings, _interpreter(settings), *checked_model(settings.model_path))


class LlamaCpp(SupervisedServer):
    """Our own batches behind the Engine protocol."""

    def __init__(self, settings: LlmSettings, interpreter: str, model_path: Path, markers: tuple[str, ...]) -> None:
        manner = Manner(
            model=None,
            defaults={"temperature": settings.temperature},
            markers=markers,
            counts_tokens=True,
            tools="forced" if knows_tools(settings) else "unknown",
        )
        command = [
            interpreter,
            "-m",
            "llm_service.llama_cpp_child",
            str(model_path),
            *model_options(settings),
            "--waiting",
            str(settings.max_requests),
        ]
        if settings.gpu_memory_share is not None:
            command += ["--gpu-memory-share", str(settings.gpu_memory_share)]
        super().__init__("llama_cpp", "the process of llama-cpp-python", manner, command, settings)


def _interpreter(settings: LlmSettings) -> str:
    """The Python that has llama-cpp-python, as far as can be seen from here."""
    chosen = settings.llama_cpp_python
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise SetupProblem(f"There is no Python at {chosen}; set LLM_LLAMA_CPP_PYTHON to one.")
        return str(Path(found).absolute())  # not resolved: an environment's Python is a link
    if find_spec("llama_cpp") is None:
        raise SetupProblem(
            "llama-cpp-python is not installed here; set LLM_LLAMA_CPP_PYTHON to a Python that has it, "
            "such as .venv-llama/bin/python."
        )
    return sys.executable

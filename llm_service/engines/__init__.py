"""Which engines there are: a name in LLM_ENGINE → where its `load` lives. One is imported only when it was picked.

An engine is one file behind the Protocol of `base.py` and one line here.
"""

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # a child process imports this package too, and starts faster without the rest
    from llm_service.engines.base import Engine
    from llm_service.settings import LlmSettings

ENGINES = {
    "llama_server": "llm_service.engines.llama_server:load",
    "llama_cpp": "llm_service.engines.llama_cpp:load",
    "openai": "llm_service.engines.openai_upstream:load",
    "fake": "llm_service.engines.fake:load",
}


def load(settings: "LlmSettings") -> "Engine":
    """The engine that the settings name, not yet running; raises base.SetupProblem."""
    module, _, function = ENGINES[settings.engine].partition(":")
    return cast("Engine", getattr(importlib.import_module(module), function)(settings))

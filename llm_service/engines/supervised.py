"""An engine that is a child process of ours: a server on loopback that is kept alive and asked with a random key.

A process of its own, because a failed assertion inside ggml ends the process it happens in. It prints its address when
it serves, takes its key from LLAMA_API_KEY, and tells its health at `/health`.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx

from llm_service.engines import child
from llm_service.engines.base import Manner, SetupProblem, Target
from llm_service.engines.gguf import NotGguf, chat_templates, control_markers
from llm_service.engines.supervisor import Process, Supervisor, Vigilance
from llm_service.settings import LlmSettings
from shared.health import READY

_CHECKOUT = Path(__file__).resolve().parents[2]  # where `-m llm_service…` finds the package
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_GRACE_S = 2.0  # llama.cpp's server never ends by itself while a stream is open


def checked_model(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The model file and its control markers; raises SetupProblem."""
    path = path.absolute()
    if not path.is_file():
        raise SetupProblem(f"There is no model file at {path}; set LLM_MODEL_PATH to a GGUF file.")
    try:
        return path, control_markers(path)
    except NotGguf:
        raise SetupProblem(f"The file at {path} is no GGUF model; set LLM_MODEL_PATH to a GGUF file.") from None
    except OSError:
        raise SetupProblem(f"The model file at {path} cannot be read; set LLM_MODEL_PATH to a GGUF file.") from None


def checked_template(path: Path) -> tuple[Path, str]:
    """The file of a chat template and its text; raises SetupProblem."""
    path = path.absolute()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.strip():
        raise SetupProblem(f"There is no chat template at {path}; set LLM_CHAT_TEMPLATE_PATH to a Jinja file.")
    return path, text


def knows_tools(settings: LlmSettings) -> bool:
    """Whether the chat template that is used speaks of `tools`, the name under which all of them are given some; the
    model file was checked before. Raises SetupProblem."""
    if settings.chat_template_path is not None:
        templates: tuple[str, ...] = (checked_template(settings.chat_template_path)[1],)
    else:
        templates = chat_templates(settings.model_path)
    return any(re.search(r"\btools\b", _COMMENT.sub("", template)) for template in templates)


def model_options(settings: LlmSettings) -> list[str]:
    """How a child is told what the settings say of the model; raises SetupProblem."""
    options: dict[str, object] = {
        "--alias": settings.public_name,
        "--slots": settings.slots,
        "--context": settings.slots * settings.context_tokens,  # llama.cpp counts the context of all slots together
        "--threads": settings.threads,
        "--gpu-layers": settings.gpu_layers,
    }
    if settings.chat_template_path is not None:
        options["--chat-template"] = checked_template(settings.chat_template_path)[0]
    return [str(text) for option in options.items() for text in option]


class SupervisedServer:
    """A child process behind the Engine protocol; `called` is its name in a sentence."""

    def __init__(self, name: str, called: str, manner: Manner, command: Sequence[str], settings: LlmSettings) -> None:
        self.name = name
        self.manner = manner
        self._called = called
        self._command = command
        self._client: httpx.AsyncClient | None = None
        vigilance = Vigilance(load_timeout_s=settings.load_timeout_s)
        self._supervisor = Supervisor(name, self._spawn, self._probe, vigilance)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the server alive inside the block."""
        async with httpx.AsyncClient(trust_env=False) as self._client, self._supervisor.running():
            yield

    async def target(self, within_s: float) -> Target | None:
        """Where it answers, waited for at most so long; None while it is down."""
        return await self._supervisor.target(within_s)

    async def readiness(self) -> str:
        """`ready` once it has loaded the model and answers."""
        state = self._supervisor.state
        return state if state == READY else f"{self._called} {state}"

    @property
    def pid(self) -> int | None:
        """The process id of the server that runs now."""
        return self._supervisor.pid

    def _spawn(self, key: str) -> AbstractAsyncContextManager[Process]:
        return child.started(self._command, {"LLAMA_API_KEY": key}, _CHECKOUT, _GRACE_S)

    async def _probe(self, address: str) -> bool:
        assert self._client is not None, "the supervisor runs inside running()"
        try:
            return (await self._client.get(f"{address}/health")).status_code == 200
        except httpx.HTTPError:
            return False

"""Any OpenAI-compatible server elsewhere, as the older settings name it: llama-server, vLLM, Ollama, OpenAI, others."""

from llm_service.engines.base import Manner
from llm_service.engines.remote import RemoteServer
from llm_service.settings import LlmSettings


def load(settings: LlmSettings) -> "OpenAiUpstream":
    """The engine for the server that the settings name."""
    return OpenAiUpstream(settings)


class OpenAiUpstream(RemoteServer):
    """The server at LLM_UPSTREAM_URL."""

    def __init__(self, settings: LlmSettings) -> None:
        has_temperature = "temperature" in settings.model_fields_set  # some models take none but their own
        manner = Manner(
            model=settings.upstream_model or None,
            defaults={"temperature": settings.temperature} if has_temperature else {},
            is_local=False,
        )
        super().__init__("openai", settings.upstream_url, settings.upstream_key, manner)

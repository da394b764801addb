"""Any OpenAI-compatible server elsewhere: llama-server, vLLM, Ollama, OpenAI and others. Nothing is started or kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from llm_service.engines.base import Manner, Target
from llm_service.settings import LlmSettings
from shared.health import READY


def load(settings: LlmSettings) -> "OpenAiUpstream":
    """The engine for the server that the settings name."""
    return OpenAiUpstream(settings)


class OpenAiUpstream:
    """A server that somebody else runs, behind the Engine protocol."""

    name = "openai"

    def __init__(self, settings: LlmSettings) -> None:
        has_temperature = "temperature" in settings.model_fields_set  # some models take none but their own
        self.manner = Manner(
            model=settings.upstream_model or None,
            defaults={"temperature": settings.temperature} if has_temperature else {},
            is_local=False,
        )
        key = settings.upstream_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._target = Target(_base(settings.upstream_url), headers)
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Only the client that asks for readiness lives here."""
        async with httpx.AsyncClient() as self._client:
            yield

    async def target(self, within_s: float) -> Target | None:
        """Always the same; whether it answers is seen when it is asked."""
        return self._target

    async def readiness(self) -> str:
        """`ready` when it lists its models for our key."""
        assert self._client is not None, "readiness is asked for inside running()"
        try:
            async with self._client.stream(
                "GET", f"{self._target.address}/models", headers=self._target.headers
            ) as response:
                status = response.status_code
        except httpx.HTTPError:
            return "the upstream server cannot be reached"
        if status in (401, 403):
            return "the upstream server refuses the key"
        return READY if status < 500 else f"the upstream server answers {status}"


def _base(url: str) -> str:
    """The address below which the API lies."""
    url = url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/v1"

"""A server that somebody else runs, reached by its address and key: nothing of it is started or kept here."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic import SecretStr

from llm_service.engines.base import Manner, Target
from llm_service.engines.bodies import PLAIN, plain_bytes
from shared.health import READY

_LIST_LIMIT_BYTES = 4 * 1024 * 1024
_NAME_LIMIT = 256  # characters; a longer one could not be asked for
_MODELS_LIMIT = 2000
_LIST_TIMEOUT_S = 5.0


class RemoteServer:
    """A server elsewhere behind the Engine protocol."""

    def __init__(self, name: str, url: str, key: SecretStr | None, manner: Manner) -> None:
        self.name = name
        self.manner = manner
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._target = Target(_base(url), headers)
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Only the client that asks for readiness and models lives here."""
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

    async def models(self) -> tuple[str, ...] | None:
        """The names that it lists; None when it gives no list that can be understood in time."""
        assert self._client is not None, "models are asked for inside running()"
        body = bytearray()
        headers = {**self._target.headers, **PLAIN}
        with anyio.move_on_after(_LIST_TIMEOUT_S) as patience:
            try:
                async with self._client.stream("GET", f"{self._target.address}/models", headers=headers) as response:
                    if response.status_code != 200:
                        return None
                    async for chunk in plain_bytes(response):
                        body += chunk
                        if len(body) > _LIST_LIMIT_BYTES:
                            return None
            except httpx.HTTPError:
                return None
        return None if patience.cancelled_caught else _names(bytes(body))


def _names(body: bytes) -> tuple[str, ...] | None:
    try:
        listed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    models = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(models, list):
        return None
    names = [_id(model) for model in models if isinstance(model, dict)]
    return tuple(dict.fromkeys(name for name in names if name))[:_MODELS_LIMIT]


def _id(model: Mapping[str, Any]) -> str:
    name = model.get("id")
    return name if isinstance(name, str) and len(name) <= _NAME_LIMIT and _is_tellable(name) else ""


def _is_tellable(name: str) -> bool:
    return name.isprintable() and not any(sign.isspace() for sign in name)


def _base(url: str) -> str:
    """The address below which the API lies."""
    url = url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/v1"

"""Embeddings made by a server elsewhere that speaks OpenAI's `/v1/embeddings`. Nothing is started or kept.

The whole request has one deadline. It is asked a second time only where a connection that was kept from before had
most likely ended before the server had the request (see carrier.py).
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import httpx

from llm_service.core.answer import Failure, body_failure, retry_ms
from llm_service.core.embedding_answer import Embedded, read_embedded
from llm_service.engines.bodies import PLAIN, plain_bytes
from llm_service.engines.carrier import Carrier
from llm_service.settings import LlmSettings
from shared import threads
from shared.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineFailed,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
    Unsupported,
)
from shared.health import READY

_ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
_RETRY_AFTER_MS = 1000
_ERRORS: dict[Failure, tuple[type[ParleyError], str]] = {
    Failure.TOO_LONG: (ContextLengthExceeded, "A text is longer than the embedding model takes."),
    Failure.REFUSED: (BadRequest, "The embedding server refused the request."),
    Failure.UNSUPPORTED: (Unsupported, "The embedding server does not do what the request asks for."),
    Failure.KEY_REFUSED: (ServiceUnavailable, "The embedding server refused this service's key."),
    Failure.NOT_THERE: (EngineFailed, "The embedding server does not have the model or the path that is set."),
    Failure.OVERLOADED: (Overloaded, "The embedding server has no room for more."),
    Failure.UNAVAILABLE: (ServiceUnavailable, "The embedding server cannot serve now."),
    Failure.BROKEN: (EngineFailed, "The embedding server failed at its work."),
    Failure.GARBLED: (EngineFailed, "The embedding server sent something that cannot be understood."),
    Failure.CUT: (ServiceUnavailable, "The embedding server ended the answer before its time."),
}


def load(settings: LlmSettings) -> "UpstreamEmbedder":
    """The server that the settings name."""
    return UpstreamEmbedder(settings)


class UpstreamEmbedder:
    """A server that somebody else runs, behind the Embedder protocol."""

    def __init__(self, settings: LlmSettings) -> None:
        self._named = {"model": settings.embedding_upstream_model} if settings.embedding_upstream_model else {}
        self.model = settings.embedding_upstream_model or "upstream"
        url = settings.embedding_upstream_url.rstrip("/")
        self._address = f"{url if urlsplit(url).path else f'{url}/v1'}/embeddings"
        key = settings.embedding_upstream_key
        self._headers = PLAIN | ({"Authorization": f"Bearer {key.get_secret_value()}"} if key else {})
        self._timeout_s = settings.embedding_timeout_s
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It may be asked inside the block."""
        async with httpx.AsyncClient(timeout=None) as self._client:  # noqa: S113 - each request has its deadline
            yield

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> Embedded:
        """A vector for each text."""
        wish = {"dimensions": dimensions} if dimensions else {}
        body = {**self._named, **wish, "input": list(texts), "encoding_format": "float"}
        try:
            with anyio.fail_after(self._timeout_s):
                status, answer, retry_after = await self._asked(body)
        except TimeoutError:
            raise ServiceTimeout("The embedding server answers too late.", service="llm") from None
        except httpx.ConnectError:
            raise ServiceUnavailable(
                "The embedding server cannot be reached.", service="llm", retry_after_ms=_RETRY_AFTER_MS
            ) from None
        except httpx.DecodingError:
            raise _error(Failure.GARBLED) from None
        except httpx.HTTPError:
            raise _error(Failure.CUT) from None
        if status >= 400:
            raise _error(body_failure(status, answer), retry_after)
        embedded = await threads.call(_read, answer, len(texts))
        if embedded is None:
            raise _error(Failure.GARBLED)
        return embedded

    async def readiness(self) -> str:
        """Whether it answers is seen when it is asked."""
        return READY

    async def _asked(self, body: dict[str, object]) -> tuple[int, bytes, str]:
        """The status, the body and `Retry-After` of its answer."""
        carrier = Carrier()
        try:
            return await self._asked_once(body, carrier)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not carrier.came_too_late:
                raise
            return await self._asked_once(body, carrier)

    async def _asked_once(self, body: dict[str, object], carrier: Carrier) -> tuple[int, bytes, str]:
        assert self._client is not None, "it is asked inside running()"
        trace = {"trace": carrier.note}
        async with self._client.stream(
            "POST", self._address, json=body, headers=self._headers, extensions=trace
        ) as response:
            answer = bytearray()
            async for chunk in plain_bytes(response):
                answer += chunk
                if len(answer) > _ANSWER_LIMIT_BYTES:
                    raise _error(Failure.GARBLED)
            return response.status_code, bytes(answer), response.headers.get("Retry-After", "")


def _read(answer: bytes, count: int) -> Embedded | None:
    try:
        return read_embedded(json.loads(answer), count)
    except (ValueError, RecursionError):
        return None


def _error(failure: Failure, retry_after: str = "") -> ParleyError:
    kind, sentence = _ERRORS[failure]
    waits = kind in (Overloaded, ServiceUnavailable)
    return kind(sentence, service="llm", retry_after_ms=retry_ms(retry_after) or (_RETRY_AFTER_MS if waits else None))

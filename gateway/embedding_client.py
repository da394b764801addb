"""Ask the llm_service for vectors of texts. Texts are never logged."""

import base64
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import httpx

from gateway.replicas import Replicas
from shared.errors import EngineFailed, ParleyError, ServiceUnavailable

PATH = "/v1/embeddings"
_NONE = "The llm_service sent something that is no embeddings."


@dataclass(frozen=True, slots=True)
class Vectors:
    """The model that made them, and a vector for each text."""

    model: str
    vectors: list["array[float]"]


class EmbeddingClient:
    """The llm_service, reached by OpenAI embeddings."""

    def __init__(
        self, service: str | Replicas, timeout_s: float = 10.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._replicas = Replicas.of("llm_service", service)
        self._http = httpx.AsyncClient(timeout=timeout_s, trust_env=False, transport=transport)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """It may be asked inside the block."""
        async with self._http:
            yield self

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector for each; raises ServiceUnavailable or EngineFailed. A cancel gives the request up."""
        with self._replicas.taken() as address:
            assert address is not None, "one is left out only where another is named"
            try:
                response = await self._http.post(
                    f"{address}{PATH}", json={"input": list(texts), "encoding_format": "base64"}
                )
            except httpx.HTTPError as failure:
                if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
                    self._replicas.lose(address)
                raise ServiceUnavailable("The embeddings cannot be reached.", service="llm") from None
        if response.status_code != 200:
            raise _refusal(response.status_code)
        return _read(response, len(texts))


def _refusal(status: int) -> ParleyError:
    if status in (404, 429, 503):
        return ServiceUnavailable("There are no embeddings now.", service="llm")
    return EngineFailed("The embeddings failed.", service="llm")


def _read(response: httpx.Response, count: int) -> Vectors:
    try:
        told = response.json()
        vectors = [_unpacked(one["embedding"]) for one in sorted(told["data"], key=lambda one: int(one["index"]))]
        model = str(told["model"])
    except (ValueError, KeyError, TypeError):
        raise EngineFailed(_NONE, service="llm") from None
    if len(vectors) != count or len({len(one) for one in vectors}) != 1 or not vectors[0]:
        raise EngineFailed(_NONE, service="llm")
    return Vectors(model, vectors)


def _unpacked(told: str | list[float]) -> "array[float]":
    """32-bit floats, little-endian, in base64; a server that does not know these sends numbers."""
    if isinstance(told, list):
        return array("f", told)
    numbers = array("f", base64.b64decode(told, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers

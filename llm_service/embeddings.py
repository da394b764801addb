"""POST /v1/embeddings: a vector for each text, as OpenAI's clients ask for it.

Texts are never logged, only their number. What would change the vectors in a way that this service does not offer is
refused: arrays of tokens, and a number of dimensions that the model does not have.
"""

import base64
import json
import logging
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Annotated, Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from llm_service.core.embedding_answer import Embedded
from llm_service.core.model_names import means
from llm_service.engines.embedding import Embedder
from llm_service.exchange import RETRY_AFTER_MS, SERVICE
from llm_service.openai_wire import is_whole
from llm_service.runs import Pieces, live
from llm_service.settings import LlmSettings
from llm_service.telling import JsonTelling
from shared import threads
from shared.clock import now_s
from shared.errors import InvalidMessage, MessageTooLarge, ModelNotFound, Overloaded, Unsupported
from shared.metrics import LLM_TOKENS

log = logging.getLogger(__name__)
TEXTS_LIMIT = 2048
TEXT_LIMIT = 32_768  # characters; no model that is likely here takes more
REQUEST_LIMIT = 1_000_000  # characters of all texts together

Text = Annotated[str, Field(min_length=1, max_length=TEXT_LIMIT)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=TEXTS_LIMIT)]


class EmbeddingsRequest(BaseModel):
    """What to embed, and how to tell it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input: SkipValidation[Text | Texts] = Field(description="A text or several; `texts` says what is wrong with them.")
    model: str | None = Field(None, max_length=256, description="The model's name, or nothing.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="Refused unless the model's vectors have as many.")
    user: str | None = Field(None, description="Accepted; not handed on.")

    def texts(self) -> list[str]:
        """The texts in their order; raises InvalidMessage, Unsupported, MessageTooLarge."""
        given: object = [self.input] if isinstance(self.input, str) else self.input
        if not isinstance(given, list) or not all(isinstance(one, str | int | list) for one in given):
            raise _invalid("it is neither a text nor a list of texts")
        if any(isinstance(one, int | list) for one in given):
            raise Unsupported("Arrays of tokens are not taken; send text.", service=SERVICE, param="input")
        if not given:
            raise _invalid("it is an empty list")
        if len(given) > TEXTS_LIMIT:
            raise _invalid(f"it has {len(given)} texts, and at most {TEXTS_LIMIT} are taken at once")
        for place, text in enumerate(given):
            param = "input" if isinstance(self.input, str) else f"input.{place}"
            if not text:
                raise _invalid("it is an empty text", param)
            if len(text) > TEXT_LIMIT:
                raise _invalid(f"it has {len(text)} characters, and a text has at most {TEXT_LIMIT}", param)
            if not is_whole(text):
                raise _invalid("it has half of a character", param)
        if sum(map(len, given)) > REQUEST_LIMIT:
            raise MessageTooLarge(
                f"The texts have more than {REQUEST_LIMIT} characters together.", service=SERVICE, param="input"
            )
        return given


def _invalid(reason: str, param: str = "input") -> InvalidMessage:
    return InvalidMessage(f"{param}: {reason}.", service=SERVICE, param=param)


def add_embeddings(app: FastAPI, embedder: Embedder, settings: LlmSettings) -> None:
    """Add the route."""
    desk = _Desk(embedder, settings.embedding_max_requests)

    @app.post("/v1/embeddings", response_model=None)
    async def embeddings(request: EmbeddingsRequest) -> Response:
        return JsonTelling(partial(live, partial(desk.answer, request)))


class _Desk:
    """Takes requests, up to a number at once. One whose client leaves is dropped."""

    def __init__(self, embedder: Embedder, requests_limit: int) -> None:
        self._embedder = embedder
        self._requests_limit = requests_limit
        self._requests = 0

    @asynccontextmanager
    async def answer(self, request: EmbeddingsRequest) -> AsyncIterator[Pieces]:
        """The JSON of the answer, in one piece that raises a ParleyError."""
        async with aclosing(self._pieces(request)) as pieces:
            yield pieces

    async def _pieces(self, request: EmbeddingsRequest) -> Pieces:
        texts = request.texts()
        if not means(request.model, self._embedder.model):  # vectors of two models cannot be compared
            raise ModelNotFound("There is no such embedding model.", service=SERVICE, param="model")
        if self._requests >= self._requests_limit:
            raise Overloaded("Too many embeddings are wanted at once.", service=SERVICE, retry_after_ms=RETRY_AFTER_MS)
        self._requests += 1
        began_s = now_s()
        try:
            embedded = await self._embedder.embed(texts, request.dimensions)
            _check_length(embedded, request.dimensions)
            yield await threads.call(_body, embedded, self._embedder.model, request.encoding_format)
        finally:
            self._requests -= 1
        LLM_TOKENS.labels("embedding").inc(embedded.tokens)
        figures = {"texts": len(texts), "tokens": embedded.tokens, "total_ms": round(1000 * (now_s() - began_s))}
        log.info("texts were embedded", extra={"model": self._embedder.model, **figures})


def _check_length(embedded: Embedded, dimensions: int | None) -> None:
    made = len(embedded.vectors[0])
    if dimensions not in (None, made):
        raise Unsupported(f"The model's vectors have {made} dimensions.", service=SERVICE, param="dimensions")


def _body(embedded: Embedded, model: str, encoding_format: str) -> bytes:
    """Runs on a thread. Each vector is written by itself: one long write would hold the interpreter all the while."""
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{_told(vector, encoding_format)}}}'
        for index, vector in enumerate(embedded.vectors)
    )
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return f'{{"object":"list","data":[{data}],"model":{json.dumps(model)},"usage":{json.dumps(usage)}}}'.encode()


def _told(vector: "array[float]", encoding_format: str) -> str:
    return json.dumps(vector.tolist()) if encoding_format == "float" else json.dumps(packed(vector))


def packed(vector: Sequence[float]) -> str:
    """Base64 of 32-bit floats, little-endian."""
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()

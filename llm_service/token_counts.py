"""How many tokens texts have for an engine's own tokeniser, asked over `POST /tokenize` and remembered.

Many texts are counted in one question: they are joined by one of the model's control markers, which no text can hold
(what looks like one in a text was broken before, see core/markers.py), and the answer is split where its token stands.
What is remembered is a digest of a text and its count, never the text.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import anyio
import httpx

from llm_service.engines.base import Engine, Target
from llm_service.settings import LlmSettings

_REMEMBERED = 16_384  # counts; about 3 MB
_JOINED = 256  # texts of one question
_MARKERS_TRIED = 16
_PATIENCE_S = 3.0  # then the prompt goes as it is
_WORD = "a"


class Uncountable(Exception):
    """The engine is there and does not count."""


class Unreached(Exception):
    """The engine is down: nothing is known of whether it counts."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The tokens that the model's chat template puts around each message and around all of them, and the context that
    the engine really has: it may be less than was asked for, as no model reads more than it was trained on."""

    message_tokens: int
    fixed_tokens: int
    context_tokens: int


class TokenCounter:
    """The counts of one engine. Open it inside the engine's own block."""

    def __init__(self, engine: Engine, settings: LlmSettings) -> None:
        self._engine = engine
        self._context_tokens = settings.context_tokens
        self._start_wait_s = settings.start_wait_s
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._terms: Terms | None = None
        self._separator: tuple[str, int] | None = None
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """It may be asked inside the block."""
        forever = httpx.Timeout(None)  # see _PATIENCE_S
        limits = httpx.Limits(max_keepalive_connections=0)  # a kept one may have ended, which is no sign of anything
        async with httpx.AsyncClient(timeout=forever, limits=limits, trust_env=False) as self._client:
            yield

    async def counts(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text; raises Uncountable and Unreached."""
        digests = [blake2b(text.encode(), digest_size=16).digest() for text in texts]
        unknown = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in self._counts}
        found = dict(zip(unknown, await self._counted(list(unknown.values())), strict=True)) if unknown else {}
        told = [found[digest] if digest in found else self._counts[digest] for digest in digests]
        self._remember(digests, told)
        return told

    async def terms(self) -> Terms:
        """What the template adds, learnt once from two small conversations, and the context; raises as counts."""
        if self._terms is None:
            target = await self._target()
            with _patience():
                word = len(await self._tokens(target, _WORD))
                one, three = [len(await self._tokens(target, await self._applied(target, n))) for n in (1, 3)]
                context_tokens = await self._context(target)
            message = -(-(three - one - 2 * word) // 2)  # rounded up
            self._terms = Terms(max(0, message), max(0, one - word - message), context_tokens)
        return self._terms

    async def _counted(self, texts: list[str]) -> list[int]:
        counts: list[int] = []
        target = await self._target()
        with _patience():
            for begin in range(0, len(texts), _JOINED):
                counts += await self._counted_together(target, texts[begin : begin + _JOINED])
        return counts

    async def _counted_together(self, target: Target, texts: list[str]) -> list[int]:
        if self._separator is None:
            self._separator = await self._find_separator(target)
        marker, token = self._separator
        if marker and len(texts) > 1:
            parts = _split(await self._tokens(target, marker.join(texts)), token)
            if len(parts) == len(texts):
                return parts
        return [len(await self._tokens(target, text)) for text in texts]

    async def _find_separator(self, target: Target) -> tuple[str, int]:
        """A marker that is one token, and that token; no marker when there is none."""
        for marker in self._engine.manner.markers[:_MARKERS_TRIED]:
            tokens = await self._tokens(target, f"{_WORD}{marker}{_WORD}")
            alone = await self._tokens(target, marker)
            if len(alone) == 1 and tokens.count(alone[0]) == 1:
                return marker, alone[0]
        return "", -1

    async def _target(self) -> Target:
        target = await self._engine.target(self._start_wait_s)
        if target is None:
            raise Unreached
        return target

    async def _tokens(self, target: Target, text: str) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": True}
        tokens = (await self._asked(target, "tokenize", body)).get("tokens")
        if not isinstance(tokens, list):
            raise Uncountable
        return tokens

    async def _applied(self, target: Target, messages: int) -> str:
        """A conversation of so many messages, each of one word, as the model reads it."""
        said = [{"role": ("user", "assistant")[number % 2], "content": _WORD} for number in range(messages)]
        prompt = (await self._asked(target, "apply-template", {"messages": said})).get("prompt")
        if not isinstance(prompt, str):
            raise Uncountable
        return prompt

    async def _context(self, target: Target) -> int:
        told = (await self._asked(target, "props")).get("default_generation_settings")
        found = told.get("n_ctx") if isinstance(told, dict) else None
        return min(found, self._context_tokens) if isinstance(found, int) and found > 0 else self._context_tokens

    async def _asked(self, target: Target, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        """The JSON object that a path of the engine answers; without a body it is a GET."""
        assert self._client is not None, "it is asked inside opened()"
        address = f"{target.address.removesuffix('/v1')}/{path}"
        try:
            method = "GET" if body is None else "POST"
            response = await self._client.request(method, address, json=body, headers=target.headers)
            found = response.json()
        except (httpx.NetworkError, httpx.RemoteProtocolError):  # it has ended, or does
            raise Unreached from None
        except (httpx.HTTPError, ValueError):
            raise Uncountable from None
        if response.status_code == 503:  # the model is loading
            raise Unreached
        if response.status_code != 200 or not isinstance(found, dict):
            raise Uncountable
        return found

    def _remember(self, digests: Sequence[bytes], counts: Sequence[int]) -> None:
        """The latest stay; those of one request are asked for again with the next."""
        for digest, count in zip(digests, counts, strict=True):
            self._counts[digest] = count
            self._counts.move_to_end(digest)
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)


def _split(tokens: Sequence[int], separator: int) -> list[int]:
    """The lengths of the parts between separators."""
    places = [-1, *(place for place, token in enumerate(tokens) if token == separator), len(tokens)]
    return [end - begin - 1 for begin, end in pairwise(places)]


@contextmanager
def _patience() -> Iterator[None]:
    try:
        with anyio.fail_after(_PATIENCE_S):
            yield
    except TimeoutError:
        raise Uncountable from None

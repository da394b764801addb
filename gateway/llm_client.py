"""Ask the llm_service for an answer and read it token by token. Leaving the stream stops the generation upstream."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio
import httpx

from gateway.core.events import FinishReason
from shared.errors import EngineFailed, ParleyError, ServiceTimeout, ServiceUnavailable

PATH = "/v1/chat/completions"
DONE = "[DONE]"
_DISMISS_S = 1.0  # how long telling the llm_service that an answer is not wanted may take


@dataclass(frozen=True, slots=True)
class Question:
    """One request for an answer. `key` makes a repeated request the same request."""

    messages: Sequence[dict[str, str]]
    model: str | None
    max_tokens: int
    key: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, or its end."""

    text: str = ""
    finish_reason: FinishReason | None = None


class LlmClient:
    """The llm_service, reached by OpenAI chat completions."""

    def __init__(
        self,
        base_url: str,
        connect_timeout_s: float,
        first_token_timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        timeout = httpx.Timeout(first_token_timeout_s, connect=connect_timeout_s)
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout, trust_env=False, transport=transport)

    async def aclose(self) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def answer(self, question: Question) -> AsyncIterator[AsyncIterator[Delta]]:
        """The deltas of an answer, the last with its finish reason. Raises typed errors; leaving closes the stream."""
        body = {"messages": list(question.messages), "stream": True, "max_tokens": question.max_tokens}
        if question.model:
            body["model"] = question.model
        headers = {"Idempotency-Key": question.key}
        is_told = anyio.Event()
        try:
            async with self._http.stream("POST", PATH, json=body, headers=headers) as response:
                if response.status_code != 200:
                    is_told.set()
                    raise _refusal(response.status_code)
                yield _deltas(response.aiter_lines(), is_told)
        except httpx.TimeoutException:
            raise ServiceTimeout("The language model answers too late.", service="llm") from None
        except httpx.HTTPError:
            raise ServiceUnavailable("The language model cannot be reached.", service="llm") from None
        finally:
            if not is_told.is_set():
                await self._dismiss(headers)

    async def _dismiss(self, headers: dict[str, str]) -> None:
        """Say that nobody will ask for the answer again, so it need not be kept for that."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_DISMISS_S), suppress(httpx.HTTPError, RuntimeError):
            await self._http.delete(PATH, headers=headers)


def _refusal(status: int) -> ParleyError:
    if status in (429, 503):
        return ServiceUnavailable("The language model is not ready.", service="llm")
    return EngineFailed("The language model refused the request.", service="llm")


async def _deltas(lines: AsyncIterator[str], is_told: anyio.Event) -> AsyncIterator[Delta]:
    async for line in lines:
        if not line.startswith("data:"):
            continue
        payload = line.removeprefix("data:").strip()
        if payload == DONE:
            is_told.set()
            return
        if delta := _delta_of(payload):
            yield delta
    raise ServiceUnavailable("The language model stopped in the middle of the answer.", service="llm")


def _delta_of(payload: str) -> Delta | None:
    """The text or the end in one SSE event; None for what carries neither, such as usage."""
    try:
        event = json.loads(payload)
        if "error" in event:
            raise EngineFailed("The language model failed in the middle of the answer.", service="llm")
        if not event["choices"]:
            return None
        choice = event["choices"][0]
        text, reason = choice.get("delta", {}).get("content") or "", choice.get("finish_reason")
        text = text.encode("utf-8", "replace").decode()  # JSON can hold half a character, which no wire of ours can
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise EngineFailed("The language model sent something that is no chat stream.", service="llm") from None
    if reason:
        return Delta(text, FinishReason.LENGTH if reason == "length" else FinishReason.STOP)
    return Delta(text) if text else None

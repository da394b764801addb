"""Ask the llm_service for an answer and read it token by token. Leaving the stream stops the generation upstream.

An answer that was asked for and not read to its end is dismissed: the llm_service is told that nobody will ask for it
again. That never holds anybody up. It is done beside the sessions, by a few tasks of the client with little time each,
and what does not get through is made up for by the service, which gives up by itself what nobody reads. Nothing is
dismissed that never reached the service, or that it has refused, failed or told to its end.
"""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

import anyio
import httpx
from anyio.abc import TaskGroup

from gateway.core.events import FinishReason
from shared.errors import ContextLengthExceeded, EngineFailed, ParleyError, ServiceTimeout, ServiceUnavailable

PATH = "/v1/chat/completions"
DONE = "[DONE]"
DISMISSALS = 32  # answers that are being dismissed at once; one above is left to the service's own grace
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """One request for an answer. `key` makes a repeated request the same request."""

    messages: Sequence[dict[str, str]]
    model: str | None
    max_tokens: int
    key: str

    def shorter(self) -> Self | None:
        """The same without the older half of its turns, as another request; None when there are no older turns."""
        pinned = [message for message in self.messages if message["role"] == "system"]
        told = self.messages[len(pinned) :]
        turns = len(told) // 2  # the newest question is none yet
        if not turns:
            return None
        newer = told[2 * -(-turns // 2) :]
        return replace(self, messages=[*pinned, *newer], key=f"{self.key}:{len(newer)}")


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, or its end."""

    text: str = ""
    finish_reason: FinishReason | None = None


class Asked:
    """A request under way: its body, whether any of that was sent, and whether the service is done with it."""

    def __init__(self, question: Question) -> None:
        named = {"model": question.model} if question.model else {}
        fields = {"messages": list(question.messages), "stream": True, "max_tokens": question.max_tokens, **named}
        self._body = json.dumps(fields, ensure_ascii=False).encode(errors="replace")
        self.key = {"Idempotency-Key": question.key}
        self.headers = {**self.key, "Content-Type": "application/json", "Content-Length": str(len(self._body))}
        self.is_sent = False
        self.is_over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body; it is asked for when there is a connection to send it over."""
        self.is_sent = True
        yield self._body


class LlmClient:
    """The llm_service, reached by OpenAI chat completions."""

    def __init__(
        self,
        base_url: str,
        connect_timeout_s: float,
        first_token_timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        dismiss_timeout_s: float = 1.0,
    ) -> None:
        timeout = httpx.Timeout(first_token_timeout_s, connect=connect_timeout_s)
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout, trust_env=False, transport=transport)
        self._tasks: TaskGroup | None = None
        self._dismiss_timeout_s = dismiss_timeout_s
        self._dismissals = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Answers can be asked for inside the block. Leaving it waits for the dismissals under way, which are brief."""
        async with self._http, anyio.create_task_group() as self._tasks:
            try:
                yield self
            finally:
                self._tasks = None

    @asynccontextmanager
    async def answer(self, question: Question) -> AsyncIterator[AsyncIterator[Delta]]:
        """The deltas of an answer, the last with its finish reason. Raises typed errors; leaving closes the stream.

        Where the model's server says that it cannot read so much, it is asked again without the older half of the
        turns, until it can or nothing older is left.
        """
        async with AsyncExitStack() as stack:
            yield await self._accepted(stack, question)

    async def _accepted(self, stack: AsyncExitStack, question: Question) -> AsyncIterator[Delta]:
        while True:
            try:
                return await stack.enter_async_context(self._asked(Asked(question)))
            except ContextLengthExceeded:
                shorter = question.shorter()
                if shorter is None:
                    raise
                log.info("older turns were left out of a prompt", extra={"messages": len(shorter.messages)})
                question = shorter

    @asynccontextmanager
    async def _asked(self, asked: Asked) -> AsyncIterator[AsyncIterator[Delta]]:
        try:
            async with self._http.stream("POST", PATH, content=asked, headers=asked.headers) as response:
                if response.status_code != 200:
                    asked.is_over = True
                    raise _refusal(response.status_code, await response.aread())
                yield _deltas(response.aiter_lines(), asked)
        except httpx.TimeoutException:
            raise ServiceTimeout("The language model answers too late.", service="llm") from None
        except httpx.HTTPError:
            raise ServiceUnavailable("The language model cannot be reached.", service="llm") from None
        finally:
            if asked.is_sent and not asked.is_over:
                self._dismiss_soon(asked)

    def _dismiss_soon(self, asked: Asked) -> None:
        if self._tasks is not None and self._dismissals < DISMISSALS:
            self._dismissals += 1
            self._tasks.start_soon(self._dismiss, asked, name="dismiss")

    async def _dismiss(self, asked: Asked) -> None:
        """Say that nobody will ask for the answer again, so it need not be kept for that."""
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._dismiss_timeout_s):
                await self._http.delete(PATH, headers=asked.key)
        except Exception:  # a courtesy: whatever becomes of it, no session may end for it
            log.info("an answer could not be dismissed")
        finally:
            self._dismissals -= 1


def _refusal(status: int, body: bytes) -> ParleyError:
    if status in (429, 503):
        return ServiceUnavailable("The language model is not ready.", service="llm")
    if _code_of(body) == ContextLengthExceeded.code:
        return ContextLengthExceeded("This is more than the language model can read at once.", service="llm")
    return EngineFailed("The language model refused the request.", service="llm")


def _code_of(body: bytes) -> object:
    """The code of an error as it is told in JSON; None when nothing is told."""
    try:
        return json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None


async def _deltas(lines: AsyncIterator[str], asked: Asked) -> AsyncIterator[Delta]:
    async for line in lines:
        if not line.startswith("data:"):
            continue
        payload = line.removeprefix("data:").strip()
        if payload == DONE:
            asked.is_over = True
            return
        if delta := _delta_of(payload, asked):
            yield delta
    raise ServiceUnavailable("The language model stopped in the middle of the answer.", service="llm")


def _delta_of(payload: str, asked: Asked) -> Delta | None:
    """The text or the end in one SSE event; None for what carries neither, such as usage."""
    try:
        event = json.loads(payload)
        if "error" in event:
            asked.is_over = True
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

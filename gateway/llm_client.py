"""Ask the llm_service for an answer and read it token by token. Leaving the stream stops the generation upstream.

An answer that was asked for and not read to its end is dismissed: the llm_service is told that nobody will ask for it
again. That never holds anybody up. It is done beside the sessions, by a few tasks of the client with little time each,
and what does not get through is made up for by the service, which gives up by itself what nobody reads. Nothing is
dismissed that never reached the service, or that it has refused, failed or told to its end.

Where the service has several replicas, the least busy ready one is asked. If it cannot be reached, will not take the
question now, or is lost in the middle of the answer, another one is asked under the same key, at most `MOVES` times.
Replicas that share a store repeat the answer; others may write a different one. Nothing is told twice: as long as the
new answer repeats what was told, it is only compared, and then it goes on. Where it differs, what was told stays, as
somebody may have heard it, and the answer ends with the error that a single replica's loss would have been. As long as
nothing was told, any answer will do; and a reply that is still held back, of which nobody heard, is asked for anew by
the conversation when it ends so. A lost request is not dismissed, since its key is asked for again.
"""

import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Self

import anyio
import httpx
from anyio.abc import TaskGroup

from gateway.core.events import FinishReason
from gateway.core.replica_choice import OUT
from gateway.replicas import Replicas
from shared.errors import (
    ContextLengthExceeded,
    EngineFailed,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
)

PATH = "/v1/chat/completions"
DONE = "[DONE]"
DISMISSALS = 32  # answers that are being dismissed at once; one above is left to the service's own grace
MOVES = 3  # times that one answer is asked for again elsewhere
ROUND_S = 0.5  # before those are asked again that refused: the key of a dead replica may have to run out
_CUT = "The language model stopped in the middle of the answer."
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


class Unanswered(Exception):
    """One replica gave no whole answer, and another one may. `error` is what that is when there is none."""

    def __init__(self, error: ParleyError, *, is_lost: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_lost = is_lost  # else it lives, and does not answer now


class Asked:
    """A request under way: where, its body, whether any of that was sent, and whether the service is done with it."""

    def __init__(self, question: Question, address: str) -> None:
        self.address = address
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
        service: str | Replicas,
        connect_timeout_s: float,
        first_token_timeout_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
        dismiss_timeout_s: float = 1.0,
    ) -> None:
        timeout = httpx.Timeout(first_token_timeout_s, connect=connect_timeout_s)
        self.replicas = Replicas.of("llm_service", service)
        self._http = httpx.AsyncClient(timeout=timeout, trust_env=False, transport=transport)
        self._tasks: TaskGroup | None = None
        self._dismiss_timeout_s = dismiss_timeout_s
        self._dismissals = 0
        self._is_leaving = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Answers can be asked for inside the block. Leaving it waits for the dismissals under way, which are brief."""
        async with self._http, anyio.create_task_group() as self._tasks:
            try:
                yield self
            finally:
                self._tasks = None

    @asynccontextmanager
    async def answer(self, question: Question, told: str = "") -> AsyncIterator[AsyncIterator[Delta]]:
        """The deltas of an answer, the last with its finish reason. Raises typed errors; leaving closes the stream.

        What was `told` of it by another gateway is not told again, as long as the answer repeats it.

        Where the model's server says that it cannot read so much, it is asked again without the older half of the
        turns, until it can or nothing older is left.
        """
        async with AsyncExitStack() as stack:
            answer = Answer(self, stack, question, told)
            await answer.begin(self.replicas.take())
            yield answer.deltas()

    @asynccontextmanager
    async def asked(self, asked: Asked) -> AsyncIterator[AsyncIterator[Delta]]:
        """The deltas of one request at one replica, which is given back at the end. Raises Unanswered."""
        try:
            with _as_ours():
                request = self._http.build_request(
                    "POST", f"{asked.address}{PATH}", content=asked, headers=asked.headers
                )
                response = await self._http.send(request, stream=True)
            try:
                if response.status_code != 200:
                    asked.is_over = True
                    with _as_ours():
                        raise _refusal(response.status_code, await response.aread())
                yield _deltas(response.aiter_lines(), asked)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        finally:
            self.replicas.give(asked.address)
            if asked.is_sent and not asked.is_over:
                self._dismiss_soon(asked)

    def leave(self) -> None:
        """From here on nothing is dismissed: who goes on with these sessions asks for the same answers."""
        self._is_leaving = True

    def _dismiss_soon(self, asked: Asked) -> None:
        if self._tasks is not None and not self._is_leaving and self._dismissals < DISMISSALS:
            self._dismissals += 1
            self._tasks.start_soon(self._dismiss, asked, name="dismiss")

    async def _dismiss(self, asked: Asked) -> None:
        """Say that nobody will ask for the answer again, so it need not be kept for that."""
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(self._dismiss_timeout_s):
                await self._http.delete(f"{asked.address}{PATH}", headers=asked.key)
        except Exception:  # a courtesy: whatever becomes of it, no session may end for it
            log.info("an answer could not be dismissed")
        finally:
            self._dismissals -= 1


class Answer:
    """One answer, at whichever replica it is written. `stack` holds the request under way."""

    def __init__(self, client: LlmClient, stack: AsyncExitStack, question: Question, told: str = "") -> None:
        self._client = client
        self._replicas = client.replicas
        self._stack = stack
        self._question = question
        self._asked = Asked(question, "")
        self._now: AsyncIterator[Delta] = _nothing()
        self._moves = 0
        self._failed: set[str] = set()
        self._has_lost = False
        self._told = told
        self._has_end = False
        self._known = told  # of what was told, what the answer under way has still to repeat

    async def begin(self, address: str | None) -> None:
        """Ask there, and elsewhere, until a replica takes the question."""
        while address is not None:
            self._asked = Asked(self._question, address)
            try:
                self._now = await self._stack.enter_async_context(self._client.asked(self._asked))
                address = None
            except Unanswered as failure:
                address = await self._elsewhere(failure)
            except ContextLengthExceeded:
                shorter = self._question.shorter()
                if shorter is None:
                    raise
                log.info("older turns were left out of a prompt", extra={"messages": len(shorter.messages)})
                self._question, address = shorter, self._replicas.take()

    async def deltas(self) -> AsyncIterator[Delta]:
        """Its text and its end, each piece once."""
        is_whole = False
        while not is_whole:
            try:
                async for delta in self._now:
                    if news := self._news(delta):
                        yield news
                is_whole = True
            except Unanswered as failure:
                if self._has_end:
                    return
                address = await self._elsewhere(failure)
                self._known = self._told
                await self.begin(address)

    def _news(self, delta: Delta) -> Delta | None:
        """What of it was not told yet. Raises ServiceUnavailable when it is not what was told."""
        known, text = self._known, delta.text
        repeated = min(len(known), len(text))
        if text[:repeated] != known[:repeated] or (delta.finish_reason and len(text) < len(known)):
            raise ServiceUnavailable(_CUT, service="llm")
        self._known, text = known[repeated:], text[repeated:]
        self._told += text
        self._has_end = delta.finish_reason is not None
        return replace(delta, text=text) if text or delta.finish_reason else None

    async def _elsewhere(self, failure: Unanswered) -> str:
        """The replica to ask now, taken. Raises what the failure is when nobody else can be asked."""
        address = self._asked.address
        (self._replicas.lose if failure.is_lost else self._replicas.refuse)(address)
        self._has_lost |= failure.is_lost
        self._failed.add(address)
        if len(self._replicas) == 1 or self._moves == MOVES:
            raise failure.error from None
        other = self._replicas.take(self._failed) or await self._once_more()
        if other is None:
            raise failure.error from None
        self._moves += 1
        self._replicas.note_move()
        self._asked.is_over = True  # its key is asked for again, so it must not be dismissed
        await self._stack.aclose()
        return other

    async def _once_more(self) -> str | None:
        """Where one died, those that refused may have waited for its key: they are asked again in a while."""
        if not self._has_lost:
            return None
        await anyio.sleep(ROUND_S)
        usable = [one for one, condition in self._replicas.conditions.items() if condition not in OUT]
        return self._replicas.take() if usable else None


async def _nothing() -> AsyncIterator[Delta]:
    """Before a replica has taken the question."""
    for delta in list[Delta]():
        yield delta


@contextmanager
def _as_ours() -> Iterator[None]:
    """Failures of the transport in our words."""
    try:
        yield
    except httpx.TimeoutException as failure:
        late = ServiceTimeout("The language model answers too late.", service="llm")
        if isinstance(failure, httpx.ConnectTimeout):
            raise Unanswered(late, is_lost=True) from None
        raise late from None
    except httpx.HTTPError:
        gone = ServiceUnavailable("The language model cannot be reached.", service="llm")
        raise Unanswered(gone, is_lost=True) from None


def _refusal(status: int, body: bytes) -> Exception:
    if status == 429:
        return Unanswered(
            Overloaded("The language model can take no more questions now.", service="llm"), is_lost=False
        )
    if status == 503:
        return Unanswered(ServiceUnavailable("The language model is not ready.", service="llm"), is_lost=False)
    if _code_of(body) == ContextLengthExceeded.code:
        return ContextLengthExceeded("This is more than the language model can read at once.", service="llm")
    return EngineFailed("The language model refused the request.", service="llm")


def _code_of(body: bytes) -> object:
    """The code of an error as it is told in JSON; None when nothing is told."""
    try:
        return json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None


def _failure(told: object) -> Exception:
    """An error that is told in the middle of an answer. One that waited for a replica which died says so."""
    failed = EngineFailed("The language model failed in the middle of the answer.", service="llm")
    is_away = isinstance(told, dict) and told.get("code") == ServiceUnavailable.code
    return Unanswered(failed, is_lost=False) if is_away else failed


async def _deltas(lines: AsyncIterator[str], asked: Asked) -> AsyncIterator[Delta]:
    with _as_ours():
        async for line in lines:
            if not line.startswith("data:"):
                continue
            payload = line.removeprefix("data:").strip()
            if payload == DONE:
                asked.is_over = True
                return
            if delta := _delta_of(payload, asked):
                yield delta
    raise Unanswered(ServiceUnavailable(_CUT, service="llm"), is_lost=True)


def _delta_of(payload: str, asked: Asked) -> Delta | None:
    """The text or the end in one SSE event; None for what carries neither, such as usage."""
    try:
        event = json.loads(payload)
        if "error" in event:
            asked.is_over = True
            raise _failure(event["error"])
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

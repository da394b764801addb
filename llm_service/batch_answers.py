"""Answers that a batcher in this process writes: its thread on one side, the event loop on the other.

What the batcher tells is handed over once a step and sorted to who waits for it. Leaving an answer cancels its reply at
once, at whatever moment. No prompt or reply is longer than its slot, so what waits to be read is bounded by that.
"""

import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

import anyio
from anyio import CapacityLimiter
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from llm_service.core.answer import Finished, Part, Usage
from llm_service.core.batching import BatchParams, Refusal
from llm_service.core.tool_markup import PlainText, Reading
from llm_service.engines.llama_cpp_batch import Batcher, Ended, Lost, NotOffered, NotTaken, Order, Said, Told
from llm_service.openai_wire import ChatRequest
from shared import threads
from shared.errors import BadRequest, ContextLengthExceeded, EngineFailed, Overloaded, ParleyError, Unsupported

_RETRY_AFTER_MS = 1000
_BYTES_AT_ONCE = 4096
_TOLD_BESIDE_TEXT = 1  # its end; text comes at most once for each token
_REFUSALS: dict[Refusal, tuple[type[ParleyError], str]] = {
    Refusal.EMPTY: (BadRequest, "The chat template makes nothing of these messages."),
    Refusal.TOO_LONG: (ContextLengthExceeded, "The messages are longer than the model's context."),
    Refusal.TOO_MANY: (Overloaded, "Too many prompts wait for a slot."),
}

Prompts = Callable[[ChatRequest], tuple[int, ...]]  # may take a moment; raises NotTaken
Orders = Callable[[ChatRequest, tuple[int, ...]], Order]  # raises NotTaken
Readings = Callable[[ChatRequest], Reading]  # of requests that were taken


class Handover:
    """What a batcher told, on its way to the event loop; `told` is for its thread, all else for the loop's.

    A byte in a pipe wakes the loop, since any other way of calling it from a thread waits for it.
    """

    def __init__(self) -> None:
        self._told: deque[Sequence[Told]] = deque()  # bounded by the replies, as each is by its slot
        self._readers: dict[int, MemoryObjectSendStream[Told]] = {}
        self._wakes, self._is_woken = socket.socketpair()
        for end in (self._wakes, self._is_woken):
            end.setblocking(False)

    def told(self, told: Sequence[Told]) -> None:
        """Never waits."""
        self._told.append(told)
        with suppress(BlockingIOError):  # the pipe is full of bytes that wake it
            self._wakes.send(b"\0")

    @asynccontextmanager
    async def sorting(self) -> AsyncIterator[None]:
        """What is told inside the block reaches its readers; nothing is to be told after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sort, name="handover")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                self._wakes.close()
                self._is_woken.close()

    def open(self, key: int, capacity: int) -> MemoryObjectReceiveStream[Told]:
        """What is told of this key; to be called before the loop has turned once after the order."""
        send, receive = anyio.create_memory_object_stream[Told](capacity)
        self._readers[key] = send
        return receive

    def close(self, key: int) -> None:
        """Nobody reads it any more."""
        self._readers.pop(key).close()

    async def _sort(self) -> None:
        while True:
            await anyio.wait_readable(self._is_woken)
            self._is_woken.recv(_BYTES_AT_ONCE)
            while self._told:
                for one in self._told.popleft():
                    if reader := self._readers.get(one.key):
                        reader.send_nowait(one)


def as_text(_: ChatRequest) -> Reading:
    """All that is written is text."""
    return PlainText()


class BatchAnswers:
    """The batcher's answers to requests; `readings` tell what of an answer is text and what a tool call."""

    name = "llama_cpp"

    def __init__(
        self,
        batcher: Batcher,
        params: BatchParams,
        handover: Handover,
        prompts: Prompts,
        orders: Orders,
        readings: Readings = as_text,
    ) -> None:
        self._batcher = batcher
        self._capacity = params.slot_tokens + _TOLD_BESIDE_TEXT
        self._handover = handover
        self._prompts = prompts
        self._orders = orders
        self._readings = readings
        self._tokenising = CapacityLimiter(1)

    @asynccontextmanager
    async def answer(self, request: ChatRequest) -> AsyncIterator[AsyncGenerator[Part, None]]:
        """The parts of one answer: text, tool calls, its end, then its counts. Raises a ParleyError, also when read.

        A cancel or an error inside the block stops the work at once.
        """
        try:
            prompt = await threads.call(self._prompts, request, limiter=self._tokenising)
            key = self._batcher.submit(self._orders(request, prompt))
        except NotOffered as refusal:
            raise Unsupported(str(refusal), service="llm", param=refusal.param) from None
        except NotTaken as refusal:
            raise BadRequest(str(refusal), service="llm") from None
        if isinstance(key, Refusal):
            kind, sentence = _REFUSALS[key]
            raise kind(sentence, service="llm", retry_after_ms=_RETRY_AFTER_MS if kind.retryable else None)
        told = self._handover.open(key, self._capacity)
        try:
            async with aclosing(_parts(told, self._readings(request))) as parts:
                yield parts
        finally:
            self._batcher.cancel(key)
            self._handover.close(key)
            told.close()


async def _parts(told: MemoryObjectReceiveStream[Told], reading: Reading) -> AsyncGenerator[Part, None]:
    """The first text at once; later ones that have piled up are handed on as one."""
    is_first = True
    while True:
        text, one = await _next(told, is_first)
        is_first = False
        for part in reading.feed(text):
            yield part
        match one:
            case Ended(_, reason, prompt_tokens, written_tokens, _):
                for part in reading.finish(is_cut=reason == "length"):
                    yield part
                yield Finished("tool_calls" if reason == "stop" and reading.has_called else reason)
                yield Usage(prompt_tokens, written_tokens)
                return
            case Lost():
                raise EngineFailed("The model's memory has no room for the answer.", service="llm")


async def _next(told: MemoryObjectReceiveStream[Told], is_first: bool) -> tuple[str, Told]:
    """The texts that are there, and what came last."""
    one = await told.receive()
    text = ""
    while isinstance(one, Said):
        text += one.text
        if is_first:
            break
        try:
            one = told.receive_nowait()
        except anyio.WouldBlock:
            break
    return text, one

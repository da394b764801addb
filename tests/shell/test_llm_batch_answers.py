"""Answers out of a batcher's thread: parts in order, errors in their types, and nothing left behind by who leaves."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from llm_service.batch_answers import BatchAnswers, Handover
from llm_service.core.answer import Delta, Finished, Part, Usage
from llm_service.core.batching import BatchParams
from llm_service.engines.llama_cpp_batch import Batcher, NotTaken, Order, Outcome
from llm_service.openai_wire import ChatRequest
from shared import threads
from shared.errors import BadRequest, ContextLengthExceeded, EngineFailed, Overloaded, ParleyError
from tests.support.llm_batches import PlayedContext, PlayedSampler

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PARAMS = BatchParams(slots=1, slot_tokens=64, batch_tokens=32, chunk_tokens=8, waiting=0)


def asked(text: str) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})


def as_bytes(request: ChatRequest) -> tuple[int, ...]:
    if request.messages[0].text == "?":
        raise NotTaken("The model's chat template does not take these messages.")
    return tuple(request.messages[0].text.encode())


def echoing(request: ChatRequest, prompt: tuple[int, ...]) -> Order:
    return Order(prompt, 50, PlayedSampler(bytes(prompt)))


@dataclass
class Played:
    context: PlayedContext
    batcher: Batcher
    answers: BatchAnswers

    async def parts(self, text: str) -> list[Part]:
        async with self.answers.answer(asked(text)) as parts:
            return [part async for part in parts]

    async def until_idle(self) -> None:
        with anyio.fail_after(10):
            while any(state.key is not None for state in self.batcher.states()):
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def played(context: PlayedContext | None = None) -> AsyncIterator[Played]:
    context = context or PlayedContext()
    handover = Handover()
    batcher = Batcher(context, PARAMS, handover.told)
    owner = threading.Thread(target=batcher.run)
    async with handover.sorting():
        owner.start()
        try:
            yield Played(context, batcher, BatchAnswers(batcher, PARAMS, handover, as_bytes, echoing))
        finally:
            batcher.stop()
            with anyio.CancelScope(shield=True):
                await threads.call(owner.join, 10.0)


async def test_an_answer_is_its_text_then_its_end_then_its_counts() -> None:
    async with played() as running:
        found = await running.parts("hello")

    assert "".join(part.text for part in found if isinstance(part, Delta)) == "hello"
    assert found[-2:] == [Finished("stop"), Usage(5, 6)]


async def test_the_first_text_is_told_alone_and_what_has_piled_up_behind_it_as_one() -> None:
    context = PlayedContext(gate=threading.Event())
    async with played(context) as running, running.answers.answer(asked("hello")) as parts:
        assert await threads.call(context.has_begun.wait, 10.0)
        assert context.gate
        context.gate.set()
        await running.until_idle()
        found = [part async for part in parts]

    assert found[0] == Delta("h")
    assert len(found) < 7


async def test_who_leaves_frees_the_slot_for_the_next() -> None:
    context = PlayedContext(gate=threading.Event())
    async with played(context) as running:
        async with running.answers.answer(asked("never told")):
            assert await threads.call(context.has_begun.wait, 10.0)
        context.gate = None

        assert (await running.parts("hello"))[-1] == Usage(5, 6)


async def test_a_cancel_while_nothing_comes_frees_the_slot_too() -> None:
    context = PlayedContext(gate=threading.Event())
    async with played(context) as running:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.parts, "never told")
            assert await threads.call(context.has_begun.wait, 10.0)
            tasks.cancel_scope.cancel()
        await running.until_idle()

    assert context.breaks >= 1


@pytest.mark.parametrize(("text", "kind"), [("?", BadRequest), ("", BadRequest), ("x" * 64, ContextLengthExceeded)])
async def test_what_cannot_be_answered_is_refused_before_anything_is_told(text: str, kind: type[ParleyError]) -> None:
    async with played() as running:
        with pytest.raises(kind) as refused:
            await running.parts(text)

    assert type(refused.value) is kind


async def test_more_than_may_wait_are_refused_for_a_while() -> None:
    context = PlayedContext(gate=threading.Event())
    async with played(context) as running, running.answers.answer(asked("never told")):
        assert await threads.call(context.has_begun.wait, 10.0)
        with pytest.raises(Overloaded) as refused:
            await running.parts("hello")

    assert refused.value.retry_after_ms == 1000


async def test_an_answer_that_is_lost_is_a_failure_of_the_engine() -> None:
    async with played(PlayedContext(outcomes=[Outcome.NO_ROOM])) as running:
        with pytest.raises(EngineFailed):
            await running.parts("hello")

        assert (await running.parts("hello"))[-1] == Usage(5, 6)

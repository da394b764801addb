"""Answers out of a batcher's thread: parts in order, errors in their types, and nothing left behind by who leaves."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from llm_service.batch_answers import BatchAnswers, Handover, as_text
from llm_service.core.answer import Delta, Finished, Part, ToolCallDelta, Usage
from llm_service.core.batching import BatchParams
from llm_service.core.tool_markup import TAIL, CallFinder, ForcedCalls, Reading, head
from llm_service.engines.llama_cpp_batch import Batcher, NotOffered, NotTaken, Order, Outcome
from llm_service.openai_wire import ChatRequest
from shared import threads
from shared.errors import BadRequest, ContextLengthExceeded, EngineFailed, Overloaded, ParleyError, Unsupported
from tests.support.llm_batches import PlayedContext, PlayedSampler

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PARAMS = BatchParams(slots=1, slot_tokens=256, batch_tokens=32, chunk_tokens=8, waiting=0)
CALL = '<tool_call>{"name": "look", "arguments": {"at": "\u00fc"}}</tool_call>'


def asked(text: str, **fields: object) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": text}], **fields})


def as_bytes(request: ChatRequest) -> tuple[int, ...]:
    if request.messages[0].text == "?":
        raise NotTaken("The model's chat template does not take these messages.")
    if request.messages[0].text == "!":
        raise NotOffered("The model's chat template knows no tools.", "tool_choice")
    return tuple(request.messages[0].text.encode())


def echoing(request: ChatRequest, prompt: tuple[int, ...]) -> Order:
    return Order(prompt, request.max_tokens or 120, PlayedSampler(bytes(prompt)))


def as_calls(request: ChatRequest) -> Reading:
    return ForcedCalls(["look"]) if request.tool_choice == "required" else CallFinder(["look"])


@dataclass
class Played:
    context: PlayedContext
    batcher: Batcher
    answers: BatchAnswers

    async def parts(self, text: str, **fields: object) -> list[Part]:
        async with self.answers.answer(asked(text, **fields)) as parts:
            return [part async for part in parts]

    async def until_idle(self) -> None:
        with anyio.fail_after(10):
            while any(state.key is not None for state in self.batcher.states()):
                await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def played(
    context: PlayedContext | None = None, readings: Callable[[ChatRequest], Reading] = as_text
) -> AsyncIterator[Played]:
    context = context or PlayedContext()
    handover = Handover()
    batcher = Batcher(context, PARAMS, handover.told)
    owner = threading.Thread(target=batcher.run)
    async with handover.sorting():
        owner.start()
        try:
            yield Played(context, batcher, BatchAnswers(batcher, PARAMS, handover, as_bytes, echoing, readings))
        finally:
            batcher.stop()
            with anyio.CancelScope(shield=True):
                await threads.call(owner.join, 10.0)


def said(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Delta))


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


@pytest.mark.parametrize(
    ("text", "kind"),
    [("?", BadRequest), ("!", Unsupported), ("", BadRequest), ("x" * 256, ContextLengthExceeded)],
)
async def test_what_cannot_be_answered_is_refused_before_anything_is_told(text: str, kind: type[ParleyError]) -> None:
    async with played() as running:
        with pytest.raises(kind) as refused:
            await running.parts(text)

    assert type(refused.value) is kind
    assert refused.value.param == ("tool_choice" if kind is Unsupported else None)


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


async def test_a_call_in_what_is_written_is_told_as_one_and_text_as_text() -> None:
    async with played(readings=as_calls) as running:
        called = await running.parts(f"I look. {CALL}")
        spoken = await running.parts("I look.")
        broken = await running.parts("<tool_call>look</tool_call>")

    assert said(called) == "I look."
    assert called[-3:-1] == [ToolCallDelta(0, None, "look", '{"at": "\u00fc"}'), Finished("tool_calls")]
    assert (said(spoken), spoken[-2]) == ("I look.", Finished("stop"))
    assert (said(broken), broken[-2]) == ("<tool_call>look</tool_call>", Finished("stop"))


async def test_a_call_that_is_forced_is_told_as_it_is_written() -> None:
    async with played(readings=as_calls) as running:
        found = await running.parts(head("look") + '{"at": 1}' + TAIL, tool_choice="required")

    calls = [part for part in found if isinstance(part, ToolCallDelta)]
    assert (calls[0], "".join(call.arguments for call in calls)) == (ToolCallDelta(0, None, "look"), '{"at": 1}')
    assert said(found) == ""
    assert found[-2] == Finished("tool_calls")


@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_a_call_that_is_cut_is_told_as_far_as_it_came_and_why(choice: str) -> None:
    begun = head("look") + '{"at'
    whole = begun + '": 1}' + TAIL
    async with played(readings=as_calls) as running:
        found = await running.parts(whole, tool_choice=choice, max_tokens=len(begun))

    calls = [part for part in found if isinstance(part, ToolCallDelta)]
    assert "".join(call.arguments for call in calls) == '{"at'
    assert found[-2:] == [Finished("length"), Usage(len(whole), len(begun))]

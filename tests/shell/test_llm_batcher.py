"""The thread that owns a context: what it tells, what a cancel does at each moment, and what it does with failures."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from llm_service.core.batching import BatchParams, Refusal, SlotState
from llm_service.engines.llama_cpp_batch import Batcher, Ended, Lost, Order, Outcome, Said, Told
from tests.support.llm_batches import PlayedContext, PlayedSampler

pytestmark = pytest.mark.shell

PARAMS = BatchParams(slots=2, slot_tokens=64, batch_tokens=32, chunk_tokens=8, waiting=1)


@dataclass
class Played:
    """A batcher that runs over a played context, and what it told."""

    context: PlayedContext
    batcher: Batcher
    told: "queue.SimpleQueue[Told]" = field(default_factory=queue.SimpleQueue)

    def until_end(self) -> list[Told]:
        """What is told up to the end of one reply."""
        found = [self.told.get(timeout=10)]
        while isinstance(found[-1], Said):
            found.append(self.told.get(timeout=10))
        return found

    def ask(self, text: bytes, prompt: Sequence[int] = (1, 2, 3), max_tokens: int = 50, **wishes: object) -> int:
        key = self.batcher.submit(order(text, prompt, max_tokens, **wishes))
        assert isinstance(key, int)
        return key


def order(text: bytes, prompt: Sequence[int] = (1, 2, 3), max_tokens: int = 50, **wishes: object) -> Order:
    return Order(tuple(prompt), max_tokens, PlayedSampler(text), **wishes)  # type: ignore[arg-type]


@contextmanager
def played(context: PlayedContext | None = None) -> Iterator[Played]:
    context = context or PlayedContext()
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()

    def tell(found: Sequence[Told]) -> None:
        for one in found:
            told.put(one)

    batcher = Batcher(context, PARAMS, tell)
    owner = threading.Thread(target=batcher.run)
    owner.start()
    try:
        yield Played(context, batcher, told)
    finally:
        batcher.stop()
        owner.join(10)
        assert not owner.is_alive()


def text_of(found: list[Told]) -> str:
    return "".join(one.text for one in found if isinstance(one, Said))


def test_a_reply_is_told_to_its_end_with_its_counts() -> None:
    with played() as running:
        key = running.ask(b"abc")
        found = running.until_end()

    assert text_of(found) == "abc"
    assert found[-1] == Ended(key, "stop", prompt_tokens=3, written_tokens=4, reused_tokens=0)


def test_the_next_turn_finds_what_is_held() -> None:
    with played() as running:
        running.ask(b"abc")
        running.until_end()
        running.ask(b"d", (1, 2, 3, *b"abc", 7))
        found = running.until_end()

    assert isinstance(found[-1], Ended)
    assert found[-1].reused_tokens == 6


def test_a_memory_that_cannot_be_cut_is_read_from_the_start() -> None:
    with played(PlayedContext(can_cut=False)) as running:
        for _ in range(2):
            running.ask(b"abc")
            found = running.until_end()

    assert (text_of(found), found[-1]) == ("abc", Ended(2, "stop", 3, 4, reused_tokens=0))


@pytest.mark.parametrize(
    ("text", "limit", "said"), [("naïve 你好", 50, "naïve 你好"), ("你好", 4, "你"), ("ab", 2, "ab")]
)
def test_a_character_is_told_whole_or_not_at_all(text: str, limit: int, said: str) -> None:
    with played() as running:
        running.ask(text.encode(), max_tokens=limit)
        found = running.until_end()

    assert text_of(found) == said
    assert all(one.text for one in found if isinstance(one, Said))
    assert isinstance(found[-1], Ended)
    assert found[-1].reason == ("length" if limit < 50 else "stop")


def test_a_stop_ends_the_reply_and_is_not_told() -> None:
    with played() as running:
        running.ask(b"one. two. three", stops=(". t",))
        found = running.until_end()

    assert text_of(found) == "one"
    assert isinstance(found[-1], Ended)
    assert found[-1].reason == "stop"


def test_what_was_held_back_for_a_stop_is_told_at_the_end() -> None:
    with played() as running:
        running.ask(b"one. ", stops=(". t",))

        assert text_of(running.until_end()) == "one. "


def test_an_end_that_is_to_be_ignored_ends_nothing() -> None:
    with played() as running:
        running.ask(b"ab", max_tokens=5, ignores_end=True)
        found = running.until_end()

    assert found[-1] == Ended(1, "length", 3, written_tokens=5, reused_tokens=0)


def test_replies_are_written_together() -> None:
    context = PlayedContext(gate=threading.Event())
    with played(context) as running:
        running.ask(b"abcd")
        assert context.has_begun.wait(10)
        running.ask(b"wxyz")
        assert context.gate
        context.gate.set()
        found = [*running.until_end(), *running.until_end()]

    keys = [one.key for one in found if isinstance(one, Said)]
    assert sorted(keys) == [1] * 4 + [2] * 4
    assert keys != sorted(keys)


def test_a_cancel_breaks_off_a_step_that_nobody_else_waits_for() -> None:
    context = PlayedContext(gate=threading.Event())
    with played(context) as running:
        sampler = PlayedSampler(b"never")
        key = running.batcher.submit(Order(tuple(range(1, 30)), 5, sampler))
        assert isinstance(key, int)
        assert context.has_begun.wait(10)
        running.batcher.cancel(key)
        context.gate = None
        running.ask(b"next")
        found = running.until_end()

    assert context.breaks >= 1
    assert {one.key for one in found} == {2}
    assert sampler.frees == 1


def test_a_cancel_breaks_nothing_off_that_another_waits_for() -> None:
    context = PlayedContext(gate=threading.Event())
    with played(context) as running:
        assert context.gate
        keys = [running.ask(b"abc")]
        assert context.has_begun.wait(10)
        keys.append(running.ask(b"xyz"))
        running.batcher.cancel(keys[1])
        assert context.breaks == 0
        context.gate.set()
        found = running.until_end()

    assert {one.key for one in found} == {keys[0]}


def test_others_go_on_after_a_step_that_was_broken_off() -> None:
    with played(PlayedContext(outcomes=[Outcome.BROKEN_OFF])) as running:
        running.ask(b"abc")

        assert text_of(running.until_end()) == "abc"


def test_a_memory_without_room_loses_what_was_in_the_step_and_serves_on() -> None:
    context = PlayedContext(outcomes=[Outcome.DONE, Outcome.NO_ROOM])
    with played(context) as running:
        key = running.ask(b"abc")
        lost = running.until_end()
        running.ask(b"xyz")
        found = running.until_end()

    assert lost == [Said(key, "a"), Lost(key)]
    assert text_of(found) == "xyz"


def test_a_cancel_of_an_unknown_key_does_nothing() -> None:
    with played() as running:
        running.batcher.cancel(99)
        running.ask(b"abc")

        assert text_of(running.until_end()) == "abc"


def test_a_sampler_is_freed_once_however_its_reply_ends() -> None:
    context = PlayedContext(gate=threading.Event())
    samplers = [PlayedSampler(b"abc") for _ in range(5)]
    with played(context) as running:
        orders = [Order((1,) * (1 if place < 4 else 64), 5, sampler) for place, sampler in enumerate(samplers)]
        found = [running.batcher.submit(orders[0])]
        assert context.has_begun.wait(10)
        found += [running.batcher.submit(one) for one in orders[1:]]
        running.batcher.cancel(2)
        assert context.gate
        context.gate.set()
        for _ in range(2):
            running.until_end()

    assert found == [1, 2, 3, Refusal.TOO_MANY, Refusal.TOO_LONG]
    assert [sampler.frees for sampler in samplers] == [1] * 5


def test_a_context_that_cannot_go_on_ends_the_owner() -> None:
    class Broken(PlayedContext):
        def decode(self, runs: object) -> Outcome:
            raise RuntimeError("llama_decode returned -3")

    batcher = Batcher(Broken(), PARAMS, lambda told: None)
    batcher.submit(order(b"abc"))

    with pytest.raises(RuntimeError, match="returned -3"):
        batcher.run()


def test_the_states_of_the_slots_are_told() -> None:
    with played() as running:
        running.ask(b"abc")
        running.until_end()

        assert running.batcher.states() == [SlotState(None, 6), SlotState(None, 0)]

"""The laws of batching, on whatever order of prompts, cancels and broken steps: a model's memory is played along."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llm_service.core.batching import BatchParams, Cut, Refusal, Run, Scheduler

pytestmark = pytest.mark.core

bounds = st.builds(
    BatchParams,
    slots=st.integers(1, 4),
    slot_tokens=st.integers(2, 40),
    batch_tokens=st.integers(4, 16),
    chunk_tokens=st.integers(1, 8),
    waiting=st.integers(0, 4),
)
prompts = st.lists(st.integers(0, 1), min_size=1, max_size=45)  # two tokens only, so that much is shared


class Batching(RuleBasedStateMachine):
    """A scheduler, and the memory that a model would have."""

    @initialize(params=bounds)
    def begin(self, params: BatchParams) -> None:
        self.params = params
        self.scheduler = Scheduler(params)
        self.memory: list[list[int]] = [[] for _ in range(params.slots)]
        self.texts: dict[int, list[int]] = {}  # prompt and reply of each key that has not ended
        self.limits: dict[int, int] = {}
        self.order: list[int] = []  # keys without a slot
        self.chunks_beside: dict[int, Counter[int]] = {}  # of a prompt that reads: chunks of others since its own
        self.step: tuple[Run, ...] = ()
        self.keys = 0

    @rule(prompt=prompts, follows=st.integers(0, 3), max_tokens=st.integers(1, 50))
    def submit(self, prompt: list[int], follows: int, max_tokens: int) -> None:
        self.keys += 1
        if follows < self.params.slots:  # a next turn of what a slot holds
            prompt = self.memory[follows] + prompt
        crowded = len(self.order) >= self.params.waiting + self.params.slots - self.running()
        refusal = self.scheduler.submit(self.keys, prompt, max_tokens)
        if len(prompt) >= self.params.slot_tokens:
            assert refusal is Refusal.TOO_LONG
        elif crowded:
            assert refusal is Refusal.TOO_MANY
        else:
            assert refusal is None
            self.texts[self.keys] = list(prompt)
            self.limits[self.keys] = len(prompt) + max_tokens
            self.order.append(self.keys)

    def running(self) -> int:
        return len(self.texts) - len(self.order)

    @rule(choice=st.integers(0, 9))
    def cancel(self, choice: int) -> None:
        if self.texts:
            self.forget(list(self.texts)[choice % len(self.texts)])

    def forget(self, key: int) -> None:
        self.scheduler.end(key)
        self.texts.pop(key, None)
        self.chunks_beside.pop(key, None)
        if key in self.order:
            self.order.remove(key)

    @precondition(lambda self: not self.step)
    @rule(can_cut=st.booleans())
    def plan(self, can_cut: bool) -> None:
        free = self.params.slots - self.running()
        cuts = self.scheduler.admit()
        assert [cut.key for cut in cuts] == self.order[:free]
        del self.order[:free]
        for cut in cuts:
            self.chunks_beside[cut.key] = Counter()
            if can_cut:
                self.cut(cut)
            else:
                self.memory[cut.slot].clear()
                self.scheduler.forget(cut.slot)
        self.step = self.scheduler.plan()
        self.check_bounds()
        self.check_turns()

    def cut(self, cut: Cut) -> None:
        del self.memory[cut.slot][cut.kept :]
        assert len(self.memory[cut.slot]) == cut.kept
        if cut.key in self.texts:
            assert self.memory[cut.slot] == self.texts[cut.key][: cut.kept]

    def check_bounds(self) -> None:
        sizes = [len(run.tokens) for run in self.step]
        replies = [run for run in self.step if self.is_writing(run)]
        assert sum(sizes) <= self.params.batch_tokens
        assert max(sizes, default=0) <= self.params.chunk_tokens
        if replies:
            assert sum(sizes) - len(replies) <= self.params.chunk_tokens
        assert len({run.key for run in self.step}) == len(self.step)
        assert {run.key for run in self.step} <= self.texts.keys() - set(self.order)
        reading = {key for key in self.chunks_beside if key in self.texts}
        assert {run.key for run in replies} == self.texts.keys() - set(self.order) - reading
        assert not reading or any(run.key in reading for run in self.step)

    def is_writing(self, run: Run) -> bool:
        return run.key not in self.chunks_beside

    def check_turns(self) -> None:
        served = [run.key for run in self.step if not self.is_writing(run)]
        for key, beside in self.chunks_beside.items():
            if key in served:
                beside.clear()
            else:
                beside.update(served)
                assert max(beside.values(), default=0) <= 1

    @precondition(lambda self: self.step)
    @rule(token=st.integers(0, 1), ends=st.booleans())
    def decode(self, token: int, ends: bool) -> None:
        assert self.scheduler.is_wanted() == any(run.key in self.texts for run in self.step)
        place = -1
        expected = []
        for run in self.step:
            place += len(run.tokens)
            assert run.start == len(self.memory[run.slot])
            self.memory[run.slot] += run.tokens
            if run.key in self.texts:
                text = self.texts[run.key]
                assert self.memory[run.slot] == text[: len(self.memory[run.slot])]
                assert run.is_sampled == (len(self.memory[run.slot]) == len(text))
                if run.is_sampled:
                    expected.append((run.key, place))
        self.step = ()
        assert self.scheduler.decoded() == expected
        for key, _ in expected:
            self.write(key, token, ends)

    def write(self, key: int, token: int, ends: bool) -> None:
        self.chunks_beside.pop(key, None)
        self.texts[key].append(token)
        is_full = len(self.texts[key]) >= min(self.limits[key], self.params.slot_tokens)
        assert self.scheduler.written(key, token) != is_full
        if is_full or ends:
            self.forget(key)

    @precondition(lambda self: self.step)
    @rule(done=st.integers(0, 16))
    def break_off(self, done: int) -> None:
        for run in self.step:  # a model leaves a part of a broken step in its memory
            self.memory[run.slot] += run.tokens[:done]
        for cut in self.scheduler.undone():
            self.cut(cut)
        self.step = ()

    @precondition(lambda self: self.step)
    @rule()
    def fail(self) -> None:
        lost = self.scheduler.failed()
        assert lost == [run.key for run in self.step if run.key in self.texts]
        for run in self.step:
            self.memory[run.slot].clear()
        for key in lost:
            self.forget(key)
        self.step = ()

    @invariant()
    def the_states_tell_what_the_memory_holds(self) -> None:
        if not self.step:
            states = self.scheduler.states()
            assert [state.tokens for state in states] == [len(tokens) for tokens in self.memory]
            assert {state.key for state in states if state.key} == self.texts.keys() - set(self.order)
        assert all(len(tokens) <= self.params.slot_tokens for tokens in self.memory)
        assert self.scheduler.waiting == len(self.order) <= self.params.waiting + self.params.slots
        assert self.scheduler.is_idle == (not self.texts)


TestBatching = Batching.TestCase


@given(st.lists(prompts, min_size=1, max_size=4), st.integers(0, 3), prompts)
def test_a_slot_whose_whole_content_begins_the_prompt_is_never_passed_over_for_less(
    before: list[list[int]], chosen: int, more: list[int]
) -> None:
    scheduler = Scheduler(BatchParams(slots=4, slot_tokens=200))
    for key, prompt in enumerate(before):
        scheduler.submit(key, prompt, 1)
    scheduler.admit()
    scheduler.plan()
    scheduler.decoded()
    for key in range(len(before)):
        scheduler.written(key, 0)
    prompt = before[chosen % len(before)] + more
    whole = max(len(tokens) for tokens in before if prompt[: len(tokens)] == tokens)
    scheduler.submit(99, prompt, 1)

    assert scheduler.admit()[0].kept >= min(whole, len(prompt) - 1)

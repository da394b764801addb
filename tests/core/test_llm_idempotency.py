"""Which run has which key, against a model that is a plain dictionary."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llm_service.core.idempotency import Conflict, Full, Idempotency, IdempotencyParams, InFlight, New, Replay

pytestmark = pytest.mark.core

SMALL = IdempotencyParams(life_s=10, max_running=2, max_entries=2, max_bytes=100, max_entry_bytes=60)


class Run:
    """Something that makes an answer."""


@dataclass
class Entry:
    """What the model knows of one key."""

    fingerprint: str
    run: Run
    size_bytes: int = 0
    completed_s: float | None = None


class AgainstADictionary(RuleBasedStateMachine):
    """Whatever is reserved, completed, abandoned and waited for, in whatever order, the model says the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.model: dict[str, Entry] = {}  # in the order in which they were completed, those that run anywhere
        self.old_runs: list[tuple[str, Run]] = []  # runs that once had a key

    @initialize(
        running=st.integers(1, 3), entries=st.integers(1, 3), in_all=st.integers(1, 100), each=st.integers(1, 100)
    )
    def begin(self, running: int, entries: int, in_all: int, each: int) -> None:
        self.params = IdempotencyParams(10, running, entries, in_all, each)
        self.keys = Idempotency[Run](self.params)

    @property
    def kept(self) -> dict[str, Entry]:
        return {key: entry for key, entry in self.model.items() if entry.completed_s is not None}

    @property
    def runs(self) -> dict[str, Entry]:
        return {key: entry for key, entry in self.model.items() if entry.completed_s is None}

    @rule(wait_s=st.sampled_from([0.0, 0.5, 3.0, 9.5, 10.0, 11.0]))
    def wait(self, wait_s: float) -> None:
        self.now_s += wait_s
        for key, entry in self.kept.items():
            if entry.completed_s is not None and self.now_s - entry.completed_s >= self.params.life_s:
                del self.model[key]

    @rule(key=st.sampled_from("abcd"), fingerprint=st.sampled_from("xy"))
    def reserve(self, key: str, fingerprint: str) -> None:
        run = Run()
        found = self.keys.reserve(key, fingerprint, run, self.now_s)
        entry = self.model.get(key)
        if entry is None and len(self.runs) < self.params.max_running:
            assert found == New()
            self.model[key] = Entry(fingerprint, run)
        elif entry is None:
            assert found == Full()
        elif entry.fingerprint != fingerprint:
            assert found == Conflict()
        else:
            assert found == (InFlight(entry.run) if entry.completed_s is None else Replay(entry.run))

    @precondition(lambda self: self.runs)
    @rule(chosen=st.randoms(use_true_random=False), size_bytes=st.integers(0, 120))
    def complete(self, chosen: Random, size_bytes: int) -> None:
        key = chosen.choice(sorted(self.runs))
        entry = self.model.pop(key)
        is_kept = self.keys.complete(key, entry.run, size_bytes, self.now_s)
        self.old_runs.append((key, entry.run))
        assert is_kept is (size_bytes <= min(self.params.max_entry_bytes, self.params.max_bytes))
        if is_kept:
            self.model[key] = Entry(entry.fingerprint, entry.run, size_bytes, self.now_s)
        while len(self.kept) > self.params.max_entries or self._kept_bytes() > self.params.max_bytes:
            del self.model[next(iter(self.kept))]

    @precondition(lambda self: self.runs)
    @rule(chosen=st.randoms(use_true_random=False))
    def abandon(self, chosen: Random) -> None:
        key = chosen.choice(sorted(self.runs))
        entry = self.model.pop(key)
        self.old_runs.append((key, entry.run))
        assert self.keys.abandon(key, entry.run)

    @rule(key=st.sampled_from("abcd"))
    def dismiss(self, key: str) -> None:
        entry = self.runs.get(key)
        assert self.keys.dismiss(key) is (entry.run if entry else None)
        if entry:
            del self.model[key]
            self.old_runs.append((key, entry.run))

    @precondition(lambda self: self.old_runs)
    @rule(chosen=st.randoms(use_true_random=False))
    def a_run_that_lost_its_key_comes_back(self, chosen: Random) -> None:
        key, run = chosen.choice(self.old_runs)
        assert not self.keys.complete(key, run, 1, self.now_s)
        assert not self.keys.abandon(key, run)

    @invariant()
    def the_bounds_hold(self) -> None:
        if hasattr(self, "keys"):
            assert self.keys.running == len(self.runs) <= self.params.max_running
            assert self.keys.kept <= self.params.max_entries
            assert self.keys.kept_bytes <= self.params.max_bytes

    def _kept_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.kept.values())


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.pytestmark = [pytest.mark.core]  # type: ignore[attr-defined]


def test_a_key_runs_once_and_is_replayed_afterwards() -> None:
    keys, first, second = Idempotency[Run](SMALL), Run(), Run()

    assert keys.reserve("k", "f", first, 0) == New()
    assert keys.reserve("k", "f", second, 1) == InFlight(first)
    assert keys.complete("k", first, 10, 2) is True
    assert keys.reserve("k", "f", second, 3) == Replay(first)
    assert keys.reserve("other", "f", second, 3) == New()


def test_its_life_begins_when_it_is_complete() -> None:
    keys, first, second = Idempotency[Run](SMALL), Run(), Run()
    keys.reserve("k", "f", first, 0)
    keys.complete("k", first, 10, 1000)

    assert keys.reserve("k", "f", second, 1009.9) == Replay(first)
    assert keys.reserve("k", "f", second, 1010) == New()


def test_another_request_with_the_key_is_a_conflict_that_changes_nothing() -> None:
    keys, first = Idempotency[Run](SMALL), Run()
    keys.reserve("k", "f", first, 0)

    assert keys.reserve("k", "g", Run(), 0) == Conflict()
    assert keys.complete("k", first, 10, 0) is True
    assert keys.reserve("k", "g", Run(), 0) == Conflict()
    assert keys.reserve("k", "f", Run(), 0) == Replay(first)


def test_after_a_failure_the_key_is_free() -> None:
    keys, first, second = Idempotency[Run](SMALL), Run(), Run()
    keys.reserve("k", "f", first, 0)

    assert keys.abandon("k", first) is True
    assert keys.reserve("k", "other", second, 0) == New()
    assert keys.abandon("k", first) is False
    assert keys.complete("k", first, 1, 0) is False
    assert keys.reserve("k", "other", first, 0) == InFlight(second)


def test_a_run_that_is_dismissed_loses_its_key_and_a_kept_answer_stays() -> None:
    keys, first, second = Idempotency[Run](SMALL), Run(), Run()
    keys.reserve("k", "f", first, 0)

    assert keys.dismiss("k") is first
    assert keys.reserve("k", "f", second, 0) == New()
    assert keys.complete("k", second, 1, 0) is True
    assert keys.dismiss("k") is None
    assert keys.reserve("k", "f", first, 0) == Replay(second)


def test_one_that_runs_is_never_put_out() -> None:
    keys, slow = Idempotency[Run](SMALL), Run()
    keys.reserve("slow", "f", slow, 0)
    for name in "abcdef":
        quick = Run()
        assert keys.reserve(name, "f", quick, 0) == New()
        keys.complete(name, quick, 60, 0)

    assert keys.reserve("slow", "f", Run(), 10_000) == InFlight(slow)


def test_no_more_run_than_may() -> None:
    keys, runs = Idempotency[Run](SMALL), [Run(), Run()]
    for name, run in zip("ab", runs, strict=True):
        keys.reserve(name, "f", run, 0)

    assert keys.reserve("c", "f", Run(), 0) == Full()
    assert keys.reserve("a", "f", Run(), 0) == InFlight(runs[0])
    keys.abandon("a", runs[0])
    assert keys.reserve("c", "f", Run(), 0) == New()


@pytest.mark.parametrize(("size_bytes", "is_kept"), [(60, True), (61, False)])
def test_an_answer_above_the_bound_is_not_kept(size_bytes: int, is_kept: bool) -> None:
    keys, run = Idempotency[Run](SMALL), Run()
    keys.reserve("k", "f", run, 0)

    assert keys.complete("k", run, size_bytes, 0) is is_kept
    assert isinstance(keys.reserve("k", "f", Run(), 0), Replay if is_kept else New)


@pytest.mark.parametrize(
    ("sizes", "left"), [((50, 50), "ab"), ((50, 51), "b"), ((10, 10, 10), "bc"), ((60, 1, 60), "bc")]
)
def test_the_ones_completed_first_go_first(sizes: tuple[int, ...], left: str) -> None:
    keys = Idempotency[Run](SMALL)
    names = "abc"[: len(sizes)]
    for name, size_bytes in zip(names, sizes, strict=True):
        run = Run()
        keys.reserve(name, "f", run, 0)
        keys.complete(name, run, size_bytes, 0)

    kept = "".join(name for name in names if isinstance(keys.reserve(name, "f", Run(), 0), Replay))
    assert kept == left

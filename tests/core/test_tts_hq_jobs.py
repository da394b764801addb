"""Which texts are spoken again: each once, for whoever wants it still."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tts_service.core.hq_jobs import MOST_FAILURES, MOST_MESSAGES, HqJobs

pytestmark = pytest.mark.core


def jobs(most_running: int = 1, most_waiting: int = 10) -> HqJobs[str]:
    return HqJobs(most_running, most_waiting)


def test_a_job_waits_runs_and_is_forgotten_when_it_is_made() -> None:
    one = jobs()
    assert one.state("key") is None
    assert one.want("message", "key") == []
    assert one.state("key") == "waiting"
    assert one.begin() == "key"
    assert one.state("key") == "running"
    one.end("key")
    assert one.state("key") is None
    assert one.begin() is None


def test_what_two_messages_want_is_made_once() -> None:
    one = jobs(most_running=2)
    one.want("a", "key")
    one.want("b", "key")

    assert [one.begin(), one.begin()] == ["key", None]
    assert one.want("a", "other") == [], "b wants it still"
    assert one.state("key") == "running"
    assert one.want("b", "other") == ["key"]
    assert one.state("key") is None


def test_a_newer_text_of_a_message_drops_the_older_one_also_while_it_runs() -> None:
    one = jobs()
    one.want("a", "old")
    assert one.want("a", "newer") == ["old"]
    assert one.begin() == "newer"
    assert one.want("a", "newest") == ["newer"]
    assert one.begin() is None, "the newer one is being stopped still"
    one.end("newer")

    assert one.begin() == "newest"


def test_what_is_wanted_anew_while_it_is_being_stopped_is_begun_when_it_has_ended() -> None:
    one = jobs(most_running=2)
    one.want("a", "key")
    one.begin()
    one.want("a", "other")
    one.want("a", "key")
    assert one.state("key") == "waiting"
    assert one.begin() is None, "one key is never made twice at once"
    one.want("b", "third")
    assert one.begin() == "third"
    one.end("key", "cut off")

    assert one.state("key") == "waiting", "the failure is of what nobody wanted"
    assert one.begin() == "key"


def test_asking_for_the_same_again_changes_nothing() -> None:
    one = jobs()
    one.want("a", "key")
    assert one.want("a", "key") == []
    assert one.begin() == "key"
    assert one.want("a", "key") == []
    assert len(one) == 1


def test_what_was_dropped_may_be_asked_for_again() -> None:
    one = jobs()
    one.want("a", "key")
    one.begin()
    assert one.drop("key") == ["key"]
    assert one.drop("key") == []
    one.want("a", "key")
    assert one.state("key") == "waiting"
    one.end("key")
    assert one.state("key") == "waiting", "it did not run yet"


def test_only_so_many_may_wait() -> None:
    one = jobs(most_waiting=1)
    one.want("a", "first")
    assert not one.has_room("b", "second")
    assert one.has_room("b", "first")
    one.begin()
    assert one.has_room("b", "second")


def test_only_so_many_messages_may_want_the_same() -> None:
    one = jobs()
    for place in range(MOST_MESSAGES):
        assert one.has_room(str(place), "key")
        one.want(str(place), "key")
    assert not one.has_room("one more", "key")
    assert one.has_room("0", "key"), "it wants it already"
    one.leave("1")
    assert one.has_room("one more", "key")


def test_a_failure_is_told_until_it_is_asked_for_again() -> None:
    one = jobs()
    one.want("a", "key")
    one.begin()
    one.end("key", "broken")
    assert one.state("key") == "failed"
    assert one.failure("key") == "broken"
    assert one.leave("a") == []
    one.want("a", "key")
    assert one.state("key") == "waiting"


def test_the_oldest_failures_are_forgotten() -> None:
    one = jobs()
    for place in range(MOST_FAILURES + 1):
        one.want("a", str(place))
        one.begin()
        one.end(str(place), "broken")

    assert one.state("0") is None
    assert one.state("1") == "failed"
    assert one.state(str(MOST_FAILURES)) == "failed"


KEYS = st.sampled_from("vwxyz")
MESSAGES = st.sampled_from("abc")


class Jobs(RuleBasedStateMachine):
    """Jobs, and a plain picture of who wants what."""

    @initialize(most_running=st.integers(1, 2), most_waiting=st.integers(1, 4))
    def set_up(self, most_running: int, most_waiting: int) -> None:
        self.most_running, self.most_waiting = most_running, most_waiting
        self.jobs: HqJobs[str] = HqJobs(most_running, most_waiting)
        self.wants: dict[str, str] = {}
        self.order: list[str] = []  # of the keys that wait or run
        self.running: set[str] = set()
        self.stopping: set[str] = set()

    def unwanted(self) -> list[str]:
        gone = [key for key in self.order if key not in self.wants.values()]
        self.order = [key for key in self.order if key not in gone]
        self.stopping |= self.running & set(gone)
        self.running -= set(gone)
        return gone

    @rule(message=MESSAGES, key=KEYS)
    def want(self, message: str, key: str) -> None:
        has_room = key in self.order or len(self.order) - len(self.running) < self.most_waiting
        assert self.jobs.has_room(message, key) == has_room
        if not has_room:
            return
        dropped = self.jobs.want(message, key)
        self.wants[message] = key
        if key not in self.order:
            self.order.append(key)
        assert dropped == self.unwanted()

    @rule(message=MESSAGES)
    def leave(self, message: str) -> None:
        dropped = self.jobs.leave(message)
        self.wants.pop(message, None)
        assert dropped == self.unwanted()

    @rule(key=KEYS)
    def drop(self, key: str) -> None:
        dropped = self.jobs.drop(key)
        self.wants = {message: other for message, other in self.wants.items() if other != key}
        assert dropped == self.unwanted()

    @rule()
    def begin(self) -> None:
        begun = self.running | self.stopping
        waiting = [key for key in self.order if key not in begun]
        expected = waiting[0] if waiting and len(begun) < self.most_running else None
        assert self.jobs.begin() == expected
        if expected:
            self.running.add(expected)

    @rule(key=KEYS, failure=st.sampled_from(["broken", None]))
    def end(self, key: str, failure: str | None) -> None:
        has_run = key in self.running
        self.jobs.end(key, failure)
        self.stopping.discard(key)
        if has_run:
            self.running.discard(key)
            self.wants = {message: other for message, other in self.wants.items() if other != key}
            self.unwanted()
            assert self.jobs.state(key) == ("failed" if failure else None)

    @invariant()
    def the_states_are_right(self) -> None:
        if hasattr(self, "jobs"):
            assert len(self.jobs) == len(self.order)
            for key in self.order:
                assert self.jobs.state(key) == ("running" if key in self.running else "waiting")


TestJobs = Jobs.TestCase

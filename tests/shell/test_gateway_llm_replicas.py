"""One answer of several replicas of the language service: asked again elsewhere, told once."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.events import FinishReason
from gateway.core.replica_choice import Condition
from gateway.llm_client import MOVES, Delta, LlmClient, Question
from gateway.replicas import Replicas
from shared.errors import (
    ContextLengthExceeded,
    EngineFailed,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
)
from tests.support.services import Body, sse

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

QUESTION = Question([{"role": "user", "content": "hi"}], None, 10, "key")
WORDS = ("Hello ", "there, ", "my ", "friend.")
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
BUSY = {"error": {"message": "secret", "code": "service_unavailable"}}
LONG = {"error": {"message": "secret", "code": "context_length_exceeded"}}


def said(*words: str) -> list[object]:
    return [{"choices": [{"delta": {"content": word}}]} for word in words]


@dataclass
class Answer:
    """What a replica does with one request: events, and then an end or a failure."""

    events: Sequence[object] = ()
    failure: Exception | None = None
    status: int = 200
    is_done: bool = False


WHOLE = Answer([*said(*WORDS), STOP], is_done=True)
LOST = httpx.ReadError("secret")


@dataclass
class House(httpx.AsyncBaseTransport):
    """Replicas by host; each does with its requests what its list says, and with all later ones what its last says."""

    scripts: dict[str, list[Answer]]
    asked: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    dismissed: list[str] = field(default_factory=list)
    closed: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if request.method == "DELETE":
            self.dismissed.append(host)
            return httpx.Response(204)
        self.asked.append(host)
        self.keys.add(request.headers["idempotency-key"])
        script = self.scripts[host]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer.failure, httpx.ConnectError | httpx.ConnectTimeout):
            raise answer.failure
        await request.aread()
        if answer.status != 200:
            return httpx.Response(answer.status, json=answer.events[0] if answer.events else {})
        return httpx.Response(200, stream=Body(self._body(answer), self._close))

    async def _body(self, answer: Answer) -> AsyncIterator[bytes]:
        for event in answer.events:
            assert isinstance(event, dict)
            yield sse(event)
        if answer.failure:
            raise answer.failure
        if answer.is_done:
            yield b"data: [DONE]\n\n"

    def _close(self) -> None:
        self.closed += 1


@dataclass
class Read:
    """What was told of an answer."""

    text: str = ""
    ends: list[FinishReason] = field(default_factory=list)
    failure: ParleyError | None = None
    replicas: Replicas = field(default_factory=lambda: Replicas("llm_service", "http://nobody"))

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.ends += [delta.finish_reason] if delta.finish_reason else []


async def read(house: House) -> Read:
    replicas = Replicas("llm_service", " ".join(f"http://{host}" for host in house.scripts))
    told = Read(replicas=replicas)
    async with LlmClient(replicas, 1.0, 1.0, house).opened() as client:
        try:
            async with client.answer(QUESTION) as deltas:
                async for delta in deltas:
                    told.add(delta)
        except ParleyError as failure:
            told.failure = failure
    assert set(replicas.users.values()) == {0}
    return told


def check_whole(told: Read) -> None:
    assert (told.failure, told.text, told.ends) == (None, "".join(WORDS), [FinishReason.STOP])


@pytest.mark.parametrize(
    ("bad", "condition"),
    [
        (Answer(failure=httpx.ConnectError("secret")), Condition.LOST),
        (Answer(failure=httpx.ConnectTimeout("secret")), Condition.LOST),
        (Answer(failure=LOST), Condition.LOST),
        (Answer(said("Hello ", "there"), LOST), Condition.LOST),
        (Answer(said(*WORDS)), Condition.LOST),
        (Answer(status=503), Condition.LOADING),
        (Answer(status=429), Condition.LOADING),
        (Answer([BUSY]), Condition.LOADING),
        (Answer([*said("Hello "), BUSY]), Condition.LOADING),
    ],
)
async def test_who_gives_no_whole_answer_is_made_up_for_by_another_one(bad: Answer, condition: Condition) -> None:
    house = House({"a": [bad], "b": [WHOLE]})
    told = await read(house)

    check_whole(told)
    assert (house.asked, house.keys, house.dismissed) == (["a", "b"], {"key"}, [])
    assert list(told.replicas.conditions.values()) == [condition, Condition.UNKNOWN]


async def test_an_answer_that_differs_from_what_was_told_ends_with_the_error_of_the_loss() -> None:
    told = await read(house := House({"a": [Answer(said("Hello ", "th"), LOST)], "b": [Answer(said("Hello you"))]}))

    assert isinstance(told.failure, ServiceUnavailable)
    assert (told.text, told.ends, house.dismissed) == ("Hello th", [], ["b"])


async def test_an_answer_that_is_shorter_than_what_was_told_differs() -> None:
    house = House({"a": [Answer(said("Hello there"), LOST)], "b": [Answer([*said("Hello"), STOP], is_done=True)]})
    told = await read(house)

    assert isinstance(told.failure, ServiceUnavailable)
    assert told.text == "Hello there"


async def test_as_long_as_nothing_was_told_any_answer_will_do() -> None:
    check_whole(await read(House({"a": [Answer(failure=LOST)], "b": [WHOLE]})))


async def test_an_end_that_was_told_is_the_end() -> None:
    told = await read(house := House({"a": [Answer([*said(*WORDS), STOP], LOST)], "b": [WHOLE]}))

    check_whole(told)
    assert house.asked == ["a"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(failure=httpx.ReadTimeout("secret")), ServiceTimeout),
        (Answer(status=400), EngineFailed),
        (Answer([{"error": {"message": "secret"}}]), EngineFailed),
        (Answer([LONG], status=400), ContextLengthExceeded),
    ],
)
async def test_what_another_one_would_not_do_better_is_not_asked_again(
    answer: Answer, error: type[ParleyError]
) -> None:
    told = await read(house := House({"a": [answer], "b": [WHOLE]}))

    assert isinstance(told.failure, error)
    assert house.asked == ["a"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(failure=httpx.ConnectTimeout("secret")), ServiceTimeout),
        (Answer(said("Hello "), LOST), ServiceUnavailable),
        (Answer(status=503), ServiceUnavailable),
        (Answer([BUSY]), EngineFailed),
    ],
)
async def test_a_single_replica_is_asked_once(answer: Answer, error: type[ParleyError]) -> None:
    told = await read(house := House({"a": [answer, WHOLE]}))

    assert type(told.failure) is error
    assert house.asked == ["a"]


async def test_those_that_refuse_wait_for_the_key_of_a_dead_one_and_are_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.llm_client.ROUND_S", 0.0)
    house = House({"a": [Answer(said("Hello "), LOST)], "b": [Answer(status=503), WHOLE]})

    check_whole(await read(house))
    assert house.asked == ["a", "b", "b"]


@pytest.mark.parametrize(("status", "failure"), [(429, Overloaded), (503, ServiceUnavailable)])
async def test_those_that_only_refuse_are_asked_once_each(status: int, failure: type[ParleyError]) -> None:
    told = await read(house := House({host: [Answer(status=status)] for host in "ab"}))

    assert isinstance(told.failure, failure)
    assert house.asked == ["a", "b"]


async def test_when_all_are_gone_the_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.llm_client.ROUND_S", 0.0)
    told = await read(house := House({host: [Answer(failure=LOST)] for host in "ab"}))

    assert isinstance(told.failure, ServiceUnavailable)
    assert (house.asked, house.closed) == (["a", "b"], 2)


async def test_nobody_is_asked_without_end() -> None:
    told = await read(house := House({host: [Answer(failure=LOST)] for host in "abcdefgh"}))

    assert isinstance(told.failure, ServiceUnavailable)
    assert len(house.asked) == MOVES + 1


async def test_a_shorter_question_goes_to_whoever_is_next_and_moves_as_well() -> None:
    turns = [{"role": role, "content": "x"} for _ in range(4) for role in ("user", "assistant")]
    house = House({"a": [Answer([LONG], status=400), WHOLE], "b": [Answer(failure=LOST)]})
    question = Question([*turns, QUESTION.messages[0]], None, 10, "key")
    client = LlmClient("http://a,http://b", 1.0, 1.0, house)
    async with client.opened(), client.answer(question) as deltas:
        text = "".join([delta.text async for delta in deltas])

    assert (text, house.asked, len(house.keys)) == ("".join(WORDS), ["a", "b", "a"], 2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 24), max_size=MOVES),
    pieces=st.lists(st.integers(1, 7), min_size=MOVES + 1, max_size=MOVES + 1),
)
async def test_wherever_replicas_die_the_text_is_told_once(cuts: list[int], pieces: list[int]) -> None:
    text = "".join(WORDS)
    scripts = {}
    for place, size in enumerate(pieces):
        cut = cuts[place] if place < len(cuts) else len(text)
        events = said(*(text[:cut][at : at + size] for at in range(0, cut, size)))
        scripts[f"r{place}"] = [Answer(events, LOST) if place < len(cuts) else Answer([*events, STOP], is_done=True)]

    check_whole(await read(House(scripts)))

"""Asking a tts_service to speak a text again: how long, how often, of whom, and what stays behind there."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from gateway import rerender_client
from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas
from gateway.rerender_client import NotRendered, Rendered, RerenderClient, RerenderParams, Wanted
from tests.support.finer_stand_in import (
    DONE,
    KEY,
    RUNNING,
    SOUND,
    WAITING,
    FinerStandIn,
    failed,
    refusal,
    stand_in,
)
from tests.support.uploads import wav

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

NOBODY = "ws://127.0.0.1:9"
HURRIED = RerenderParams(look_every_s=0.001, first_pause_s=0.001, tries=4)
WANTED = Wanted("rpl_1", "Hi. Bye.", "tone", "en")
MADE = Rendered(SOUND, 16_000, 16_000, (("Hi.", 0), ("Bye.", 9_000)))
NO_ENGINE = refusal(400, "unsupported")


@pytest.fixture
async def finer() -> AsyncIterator[tuple[FinerStandIn, str]]:
    async with stand_in() as found:
        yield found


async def asked(
    *addresses: str, wanted: Wanted = WANTED, params: RerenderParams = HURRIED, replicas: Replicas | None = None
) -> Rendered | str:
    """What came of it: the rendering, or why there is none."""
    client = RerenderClient(replicas or Replicas("tts_service", " ".join(addresses)), 1.0, params)
    async with client.opened():
        try:
            return await client.make(wanted)
        except NotRendered as why:
            return why.outcome


async def test_it_waits_until_it_is_made_and_fetches_it(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    assert await asked(address) == MADE
    assert service.wanted == [{"message_id": "rpl_1", "text": "Hi. Bye.", "voice": "tone", "language": "en"}]
    assert service.dropped == [KEY]


async def test_a_voice_that_nobody_named_is_not_named(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    assert await asked(address, wanted=Wanted("rpl_1", "Hi.", None, "ko")) == MADE
    assert service.wanted == [{"message_id": "rpl_1", "text": "Hi.", "language": "ko"}]


async def test_what_was_there_before_stays_there(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.posts = deque([(200, DONE)])
    assert await asked(address) == MADE
    assert service.dropped == []


async def test_without_a_finer_engine_nobody_waits(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.posts = deque([NO_ENGINE])
    assert await asked(address, params=RerenderParams()) == "no_engine"
    assert len(service.wanted) == 1


async def test_a_replica_that_has_one_is_found(finer: tuple[FinerStandIn, str]) -> None:
    without, address = finer
    without.posts = deque([NO_ENGINE])
    async with stand_in() as (service, other):
        assert await asked(address, other) == MADE
    assert len(without.wanted) <= 1
    assert (len(service.wanted), service.dropped, without.dropped) == (1, [KEY], [])


@pytest.mark.parametrize(
    "refused",
    [refusal(400, "invalid_message"), refusal(413, "message_too_large"), (422, "no JSON"), (400, {"error": None})],
    ids=["voice", "long", "no JSON", "odd"],
)
async def test_what_is_refused_is_not_asked_for_again(
    finer: tuple[FinerStandIn, str], refused: tuple[int, Any]
) -> None:
    service, address = finer
    service.posts = deque([refused])
    assert await asked(address) == "refused"
    assert (len(service.wanted), service.dropped) == (1, [])


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("posts", [refusal(429, "overloaded"), (202, WAITING)]),
        ("posts", [refusal(503, "service_unavailable"), refusal(503, "service_unavailable"), (202, WAITING)]),
        ("posts", [(202, "no JSON"), (202, WAITING)]),
        ("posts", [(202, {"id": "../voices", "state": "done"}), (202, WAITING)]),
        ("looks", [(404, {}), (200, DONE)]),
        ("looks", [(500, "oh"), (200, DONE)]),
        ("looks", [(200, failed(retryable=True)), (200, DONE)]),
        ("looks", [(200, DONE | {"total_samples": 15_999}), (200, DONE)]),
        ("looks", [(200, DONE | {"sample_rate": 24_000}), (200, DONE)]),
    ],
    ids=["full", "loading", "no JSON", "no key", "dropped", "fault", "failed", "cut", "another rate"],
)
async def test_what_may_pass_is_asked_for_again(
    finer: tuple[FinerStandIn, str], name: str, answers: list[tuple[int, Any]]
) -> None:
    service, address = finer
    setattr(service, name, deque(answers))
    assert await asked(address) == MADE
    assert len(service.wanted) == len(answers)


async def test_it_is_not_asked_for_for_ever(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.looks = deque([(200, failed(retryable=True))])
    assert await asked(address) == "failed"
    assert (len(service.wanted), service.dropped) == (HURRIED.tries, [KEY] * HURRIED.tries)


async def test_what_cannot_be_made_is_given_up_and_dropped(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.looks = deque([(200, failed(retryable=False))])
    assert await asked(address) == "failed"
    assert (len(service.wanted), service.dropped) == (1, [KEY])


async def test_what_takes_too_long_is_given_up_and_dropped(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.looks = deque([(200, RUNNING)])
    assert await asked(address, params=RerenderParams(look_every_s=0.001, give_up_s=0.02)) == "late"
    assert (len(service.wanted), service.dropped) == (1, [KEY])


@pytest.mark.parametrize(
    "sound", [b"no sound", SOUND[:30], wav(b"", 16_000), wav(b"\x03\x04" * 32_000, 16_000, channels=2)]
)
async def test_what_is_no_such_sound_is_not_taken(finer: tuple[FinerStandIn, str], sound: bytes) -> None:
    service, address = finer
    service.sound = sound
    assert await asked(address) == "failed"


async def test_a_sound_that_is_too_long_is_not_gathered(
    finer: tuple[FinerStandIn, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, address = finer
    monkeypatch.setattr(rerender_client, "MOST_BYTES", len(SOUND))
    assert await asked(address) == MADE
    service.looks = deque([(200, DONE)])
    monkeypatch.setattr(rerender_client, "MOST_BYTES", len(SOUND) - 1)
    assert await asked(address) == "refused"
    assert service.dropped == [KEY, KEY]


async def test_a_replica_that_is_gone_is_out_and_another_one_speaks(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    replicas = Replicas("tts_service", f"{NOBODY} {address}")
    assert await asked(replicas=replicas) == MADE
    assert replicas.conditions[NOBODY] is Condition.LOST
    assert (len(service.wanted), set(replicas.users.values())) == (1, {0})


async def test_a_replica_that_may_come_back_is_waited_for_where_the_others_have_no_engine(
    finer: tuple[FinerStandIn, str],
) -> None:
    service, address = finer
    service.posts = deque([NO_ENGINE])
    assert await asked(address, NOBODY) == "unreachable"
    assert len(service.wanted) == 1


async def test_where_nobody_is_it_is_given_up() -> None:
    assert await asked(NOBODY) == "unreachable"


async def test_a_cancel_leaves_it_where_it_is(finer: tuple[FinerStandIn, str]) -> None:
    service, address = finer
    service.looks = deque([(200, RUNNING)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asked, address)
        while not service.looked:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert service.dropped == []

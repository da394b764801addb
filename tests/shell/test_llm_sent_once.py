"""A request goes to a server once, unless the connection that carried it had ended before."""

from itertools import count

import anyio
import pytest

from llm_service.core.answer import Delta
from llm_service.engines.base import Manner
from llm_service.engines.carrier import Carrier
from llm_service.settings import LlmSettings
from llm_service.upstream import Upstream
from shared.errors import ServiceUnavailable
from tests.support.llm import HELLO
from tests.support.llm_kept import KeptServer

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PATIENT = LlmSettings(engine="fake", start_wait_s=0, max_requests=4)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is."""
    monkeypatch.setattr("llm_service.engines.carrier.now_s", lambda: 0.0)


FAR, LOCAL = Manner(model=None, is_local=False), Manner(model=None)


async def asked_of(server: KeptServer, times: int) -> list[str]:
    """What each of so many requests got, one after the other."""
    upstream, told = Upstream(server, PATIENT), list[str]()
    async with server.running(), upstream.opened():
        for _ in range(times):
            try:
                async with upstream.answer({"messages": HELLO}) as parts:
                    told.append("".join([part.text async for part in parts if isinstance(part, Delta)]))
            except ServiceUnavailable as failure:
                told.append(failure.code)
    return told


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("manner", [FAR, LOCAL], ids=["far", "local"])
async def test_what_went_out_on_a_new_connection_is_never_sent_again(manner: Manner, is_reset: bool) -> None:
    server = KeptServer(manner, ends={0}, is_reset=is_reset)

    assert (await asked_of(server, 1), server.asked) == (["service_unavailable"], [0])


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_what_went_out_on_a_kept_connection_that_had_ended_is_sent_once_more(is_reset: bool) -> None:
    server = KeptServer(FAR, ends={1}, is_reset=is_reset)

    assert (await asked_of(server, 3), server.asked) == (["hi", "hi", "hi"], [0, 0, 1, 1])


async def test_what_was_sent_once_more_is_not_sent_a_third_time() -> None:
    server = KeptServer(FAR, ends={1, 2})

    assert (await asked_of(server, 2), server.asked) == (["hi", "service_unavailable"], [0, 0, 1])


async def test_a_connection_to_an_engine_of_this_service_is_never_kept_so_nothing_is_sent_twice() -> None:
    server = KeptServer(LOCAL, ends={1})

    assert (await asked_of(server, 3), server.asked) == (["hi", "service_unavailable", "hi"], [0, 1, 2])


async def test_what_a_server_worked_at_before_it_ended_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr("llm_service.engines.carrier.now_s", lambda: float(next(seconds)))
    server = KeptServer(FAR, ends={1})

    assert (await asked_of(server, 2), server.asked) == (["hi", "service_unavailable"], [0, 0])


@pytest.mark.parametrize(
    "last_words",
    [b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["garbage", "an endless head", "a head without its answer"],
)
async def test_what_a_server_said_something_to_is_not_sent_again(last_words: bytes) -> None:
    server = KeptServer(FAR, ends={1}, last_words=last_words)

    assert (await asked_of(server, 2), server.asked) == (["hi", "service_unavailable"], [0, 0])


@pytest.mark.parametrize("failed", ["send_request_headers", "send_request_body"])
async def test_what_a_kept_connection_did_not_take_is_sent_again_however_late_that_was_seen(failed: str) -> None:
    carrier = Carrier()
    await carrier.note(f"http11.{failed}.failed", {"exception": OSError()})
    await carrier.note("http11.receive_response_headers.failed", {"exception": OSError()})

    assert carrier.came_too_late


async def test_what_was_given_up_is_not_sent_again() -> None:
    carrier = Carrier()
    await carrier.note("http11.send_request_body.complete", {})
    await carrier.note("http11.receive_response_headers.failed", {"exception": anyio.get_cancelled_exc_class()()})

    assert not carrier.came_too_late

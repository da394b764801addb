"""Servers that mean no good: one typed error each, and nothing left open."""

import pytest

from llm_service.engines.fake import Exchange, Script
from shared.errors import (
    EngineFailed,
    ParleyError,
    ServiceUnavailable,
)
from tests.support.llm import DONE, FINISH, delta, says, sends, stalls
from tests.support.llm_upstreams import Server, answer, fronted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


async def refuses_for_ever(exchange: Exchange) -> None:
    await exchange.begin(500)
    while True:
        await exchange.stream.send(b"x" * 2**16)


HOSTILE: dict[str, tuple[Script, type[ParleyError]]] = {
    "an endless answer": (says(*[delta("x" * 100)] * 50), EngineFailed),
    "endless empty events": (says(*[delta("")] * 2000), EngineFailed),
    "endless arguments": (
        says(*[{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 100}}]}}]}] * 50),
        EngineFailed,
    ),
    "an endless line": (sends(HEAD, b"data: " + b"x" * 2**21), EngineFailed),
    "an endless event": (sends(HEAD, b"data: x\n" * 2**18), EngineFailed),
    "an endless refusal": (refuses_for_ever, EngineFailed),
    "garbage": (sends(HEAD, bytes(range(256)) * 16, b"\n\n"), ServiceUnavailable),
    "a bad length": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), ServiceUnavailable),
    "a head without an end": (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2**15), ServiceUnavailable),
    "packed": (sends(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n", b"small"), EngineFailed),
    "silence after its end of the head": (stalls(), ParleyError),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_server_gives_one_typed_error_and_leaves_nothing_open(case: str) -> None:
    script, kind = HOSTILE[case]
    server = Server(script)
    bounds = {"far": {"answer_limit": 1000, "first_token_timeout_s": 0.1 if case.startswith("silence") else 20}}
    async with fronted(None, {"far": server}, bounds, engine="fake") as upstreams:
        with pytest.raises(kind):
            await answer(upstreams)
        await server.until_left()


async def test_an_answer_at_its_limit_is_whole() -> None:
    server = Server(says(delta("x" * 98), FINISH, DONE))
    async with fronted(None, {"far": server}, {"far": {"answer_limit": 99}}, engine="fake") as upstreams:
        assert await answer(upstreams) == ("far", "x" * 98)

"""The end of an answer, as it is read from a server."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from anyio.lowlevel import checkpoint

from llm_service.core.answer import AnswerReader, Delta, Finished, Part, Usage
from llm_service.exchange import parts_of
from llm_service.telling import event
from shared.clock import now_s
from tests.support.llm import FINISH, delta
from tests.support.llm_upstreams import Clock

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

COUNTS = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


async def read(chunks: AsyncGenerator[bytes, None]) -> list[Part]:
    async with aclosing(chunks), aclosing(parts_of(chunks, AnswerReader(), now_s() + 60, 60)) as parts:
        return [part async for part in parts]


async def test_a_server_that_goes_on_after_the_end_is_listened_to_for_a_second_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, sent = Clock(monkeypatch), list[int]()

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield event(delta("a")) + event(FINISH)
        for number in range(100):
            await checkpoint()
            sent.append(number)
            clock.ahead_s += 0.3
            yield event(COUNTS if number == 0 else delta("b"))

    assert await read(chunks()) == [Delta("a"), Finished("stop"), Usage(1, 2)]
    assert len(sent) <= 4


async def test_a_server_that_goes_on_before_the_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(10):
            await checkpoint()
            clock.ahead_s += 50
            yield event(delta("a"))
        yield event(FINISH)

    assert await read(chunks()) == [*[Delta("a")] * 10, Finished("stop")]

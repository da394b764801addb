"""What is told can be read by every client."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.engines.fake import Canned, FakeEngine
from llm_service.telling import as_json, event
from tests.support.llm import streamed, talking_to, text_of

pytestmark = pytest.mark.shell

LINE_ENDS = "".join(chr(code) for code in range(0x3000) if len(f"a{chr(code)}b".splitlines()) > 1)


def test_every_sign_that_ends_a_line_is_known_here() -> None:
    assert set(LINE_ENDS) > {"\n", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}", "\N{NEXT LINE}"}


@pytest.mark.parametrize("sign", LINE_ENDS, ids=ascii)
@pytest.mark.anyio
async def test_a_client_that_ends_lines_as_python_does_reads_the_whole_answer(sign: str) -> None:
    async with talking_to(FakeEngine(Canned(texts=("before ", sign, " after")))) as client:
        events = await streamed(client)

    assert text_of(events) == f"before {sign} after"


@given(st.text() | st.text(LINE_ENDS))
def test_what_is_told_is_one_line_and_reads_as_it_was(text: str) -> None:
    told = as_json({text: text})

    assert len(told.decode().splitlines()) == 1
    assert json.loads(told) == {text: text}


@given(st.lists(st.text() | st.text(LINE_ENDS), min_size=1, max_size=3))
@pytest.mark.anyio
async def test_httpx_reads_each_event_as_a_line(texts: list[str]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for text in texts:
            yield event(text)

    lines = [line async for line in httpx.Response(200, content=body()).aiter_lines() if line]

    assert [json.loads(line.removeprefix("data: ")) for line in lines] == texts

"""Bodies that would take long to parse are refused before they are."""

import json
from collections.abc import AsyncIterator

import pytest

from llm_service.bounded_route import MOST_SIGNS, has_too_many
from llm_service.engines.fake import Canned, FakeEngine
from llm_service.settings import LlmSettings
from tests.support.llm import HELLO, talking_to

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

MOST = MOST_SIGNS
TEXTS = {
    "signs": "[{," * MOST,
    "quotes": '"' * MOST,
    "backslashes": "\\" * (2 * MOST + 1),
    "all of them": '\\\\"[,\\\n' * MOST,
    "another alphabet": "≢天" * MOST,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_signs_within_a_text_are_not_counted(text: str) -> None:
    for is_ascii in (True, False):
        assert not has_too_many(json.dumps({"messages": [{"content": text}], "a": '"'}, ensure_ascii=is_ascii).encode())


@pytest.mark.parametrize("one", [b"[],", b"{},", b"0,", b'"",', b'"a":1,', b'"\\"",', b'"', b'"\\\\",[],'])
def test_signs_are_counted_to_the_most_that_are_parsed(one: bytes) -> None:
    assert has_too_many(b"[" + one * (MOST + 1 + MOST * (one == b'"')) + b"0]")
    assert not has_too_many(b"[" + one * (MOST // 5) + b"0]")


def test_another_encoding_hides_nothing() -> None:
    """`≢` has the byte of a quote; a parser takes the body for what it is."""
    body = '["≢"' + ",[]" * MOST + "]"

    assert has_too_many(body.encode("utf-16"))
    assert has_too_many(body.encode("utf-16-be"))
    assert has_too_many(body.encode("utf-32"))
    assert not has_too_many('["≢", "a"]'.encode("utf-16"))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/llm", "/v1/completions", "/v1/embeddings"])
@pytest.mark.parametrize("one", ["[]", "{}", '"a"', "0"])
async def test_a_body_of_very_many_values_is_refused_wherever_they_are(path: str, one: str) -> None:
    fields = json.dumps({"messages": HELLO, "prompt": "a", "input": "a", "x": []})
    body = fields.removesuffix("]}") + ",".join([one] * (MOST + 1)) + "]}"

    async with talking_to(FakeEngine(Canned()), LlmSettings(engine="fake")) as client:
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_message")


async def test_as_many_messages_as_may_be_are_read_whatever_signs_are_in_them() -> None:
    """The model alone finds them too long."""
    messages = [{"role": "user", "content": [{"type": "text", "text": '[{,"' * 100}] * 3}] * 4096

    async with talking_to(FakeEngine(Canned()), LlmSettings(engine="fake")) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": messages})

    assert answer.json()["error"]["code"] == "context_length_exceeded"


async def test_a_body_that_comes_in_pieces_is_refused_when_it_is_too_long() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1000

    async with talking_to(FakeEngine(Canned()), LlmSettings(engine="fake", body_limit_bytes=2048)) as client:
        answer = await client.post("/v1/chat/completions", content=pieces())

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "message_too_large")


def test_the_longest_message_can_be_sent_however_it_is_written() -> None:
    longest = json.dumps({"messages": [{"role": "user", "content": "天" * 1_000_000}]})

    assert len(longest) < LlmSettings().body_limit_bytes

"""Bytes from any server become the payloads of its events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.sse import EventParser

pytestmark = pytest.mark.core

lines = st.sampled_from(
    [
        "data: a",
        "data:b",
        "data:  c",
        ": keep alive",
        "",
        "event: x",
        "id: 1",
        '{"d": 1}',
        "error: {}",
        "data",
        "é",
        "nonsense",
    ]
)
streams = st.tuples(st.lists(lines, max_size=20), st.sampled_from(["\n", "\r\n"])).map(
    lambda found: "".join(line + found[1] for line in found[0]).encode()
)
streams |= streams.map(lambda stream: b"\xef\xbb\xbf" + stream)


def parsed(*chunks: bytes, limit_bytes: int = 1000) -> list[str]:
    parser = EventParser(limit_bytes)
    payloads = [payload for chunk in chunks for payload in parser.feed(chunk)]
    return payloads + parser.finish()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data:a\r\n\r\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b": ping\n\n: ping\n\ndata: a\n\n", ["a"]),
        (b"event: message\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        (b"data: a", ["a"]),
        (b'error: {"code":500}\n\n', ['{"error": {"code":500}}']),
        (b'{"error":"text"}', ['{"error":"text"}']),
        (b"data: \xe4\xbd\xa0\n\n", ["你"]),
        (b"data: \xff\n\n", ["\N{REPLACEMENT CHARACTER}"]),
        (b"data\n\n", [""]),
        (b"\n\n\n", []),
        (b"<html>\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", ["a", "c"]),
        (b"\xef\xbb\xbf\r\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", ["c"]),
        (b'\xef\xbb\xbf{"error":"text"}', ['{"error":"text"}']),
    ],
)
def test_payloads_are_read_as_servers_send_them(stream: bytes, expected: list[str]) -> None:
    assert parsed(stream) == expected


@given(streams, st.lists(st.integers(1, 30), max_size=30))
def test_where_the_bytes_are_cut_changes_nothing(stream: bytes, sizes: list[int]) -> None:
    chunks, rest = [], stream
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]

    assert parsed(*chunks, rest) == parsed(stream)


@given(streams, st.integers(1, 40), st.integers(1, 10))
def test_where_the_bytes_are_cut_does_not_move_the_limit(stream: bytes, limit_bytes: int, size: int) -> None:
    whole, pieces = EventParser(limit_bytes), EventParser(limit_bytes)

    at_once = whole.feed(stream)
    in_pieces = [
        payload for start in range(0, len(stream), size) for payload in pieces.feed(stream[start : start + size])
    ]

    assert (in_pieces, pieces.is_broken) == (at_once, whole.is_broken)


@given(st.binary(max_size=200))
def test_anything_at_all_can_be_fed(stream: bytes) -> None:
    assert all(isinstance(payload, str) for payload in parsed(stream))


def test_an_event_at_the_limit_is_read_and_one_above_it_breaks_the_parser() -> None:
    event = b"data: 12345"
    at_limit, above = EventParser(len(event)), EventParser(len(event) - 1)

    assert (at_limit.feed(event + b"\n\n"), at_limit.is_broken) == (["12345"], False)
    assert (above.feed(event + b"\n\n"), above.is_broken) == ([], True)
    assert above.feed(b"data: 1\n\n") == []
    assert above.finish() == []


def test_a_line_without_an_end_breaks_the_parser_at_the_limit() -> None:
    parser = EventParser(10)

    assert parser.feed(b"data: a\n\ndata: " + b"x" * 20) == ["a"]
    assert parser.is_broken

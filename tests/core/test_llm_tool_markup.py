"""Tool calls in what a model writes, however its text is cut into pieces."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.answer import Delta, ToolCallDelta
from llm_service.core.tool_markup import CLOSE, OPEN, TAIL, CallFinder, ForcedCalls, Piece, PlainText, Reading, head

pytestmark = pytest.mark.core

NAMES = ("look", "say it")
Told = tuple[str, list[tuple[str, str]]]


def told(pieces: Sequence[Piece]) -> Told:
    """The text, and the calls as name and arguments."""
    calls: dict[int, tuple[str, str]] = {}
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            name, arguments = calls.get(piece.index, ("", ""))
            calls[piece.index] = (name + (piece.name or ""), arguments + piece.arguments)
    assert list(calls) == list(range(len(calls)))
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta)), list(calls.values())


def read(reading: Reading, pieces: Sequence[str], is_cut: bool = False) -> Told:
    found = [part for piece in pieces for part in reading.feed(piece)]
    return told([*found, *reading.finish(is_cut)])


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def found(text: str, is_cut: bool = False) -> Told:
    return read(CallFinder(NAMES), [text], is_cut)


def call(name: str = "look", arguments: Any = None) -> str:
    return f"{OPEN}{json.dumps({'name': name, 'arguments': arguments or {}})}{CLOSE}"


def test_text_that_calls_nothing_is_told_as_it_comes() -> None:
    reading = PlainText()

    assert [reading.feed("a"), reading.feed(""), reading.finish(is_cut=True)] == [[Delta("a")], [], []]
    assert not reading.has_called


def test_a_call_is_told_when_it_is_complete_and_the_text_before_it_at_once() -> None:
    reading = CallFinder(NAMES)

    assert reading.feed("I look.\n<tool") == [Delta("I look.")]
    assert reading.feed('_call>\n{"name": "look", "argum') == []
    assert not reading.has_called
    assert reading.feed('ents": {"at": "天\\n"}}\n</tool_call>') == [ToolCallDelta(0, None, "look", '{"at": "天\\n"}')]
    assert reading.has_called
    assert reading.finish(is_cut=False) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", [])),
        ("a < b <tool", ("a < b <tool", [])),
        ("a \n", ("a \n", [])),
        (f"{call()}\n{call('say it', {'a': 1})}\n", ("", [("look", "{}"), ("say it", '{"a": 1}')])),
        (f"a {call()} b \n", ("a b \n", [("look", "{}")])),
        (f'{OPEN} {{"name": "look", "parameters": {{"a": 2}}}} {CLOSE}', ("", [("look", '{"a": 2}')])),
        (f'{OPEN}{{"name": "look"}}{CLOSE}', ("", [("look", "{}")])),
        (f'{OPEN}{{"name": "look", "arguments": "{{\\"a\\": 3}}"}}{CLOSE}', ("", [("look", '{"a": 3}')])),
        (f'{OPEN}{{"name": "look", "arguments": {{"a": "x\ny"}}}}{CLOSE}', ("", [("look", '{"a": "x\\ny"}')])),
        (f'{OPEN}{{"name": "look"}}', ("", [("look", "{}")])),  # its end was taken for a stop, or forgotten
        (f'{OPEN}{{"name": "look"}}</tool_c', ("", [("look", "{}")])),
    ],
)
def test_calls_are_found_in_text(text: str, expected: Told) -> None:
    assert found(text) == expected


@pytest.mark.parametrize("name", ["arguments", "parameters"])
def test_an_answer_that_is_nothing_but_a_call_is_one(name: str) -> None:
    bare = f'\n {{"name": "look", "{name}": {{"at": "x"}}}}'
    reading = CallFinder(NAMES)

    assert reading.feed(bare) == []
    assert reading.finish(is_cut=False) == [ToolCallDelta(0, None, "look", '{"at": "x"}')]
    assert found(bare[:-3], is_cut=True) == ("", [("look", '{"at": "x')])


@pytest.mark.parametrize("more", [" and more", '; {"name": "look"}', f" {OPEN}"])
def test_an_answer_that_is_more_than_a_call_without_markers_is_text(more: str) -> None:
    bare = '{"name": "look"}'

    assert found(bare + more) == (bare + more, [])
    assert found(bare + more + call()) == (bare + more, [("look", "{}")])
    assert found('{"name": "unknown"}') == ('{"name": "unknown"}', [])


def test_other_json_is_not_held_back() -> None:
    assert CallFinder(NAMES).feed('{"nam": 1') == [Delta('{"nam": 1')]


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "look",
        "[1]",
        '{"name": "look", "arguments": {}',
        '{"name": "unknown", "arguments": {}}',
        '{"name": 7, "arguments": {}}',
        '{"arguments": {}}',
        '{"name": "look", "arguments": [1]}',
        '{"name": "look", "arguments": "nothing"}',
        '{"name": "look", "arguments": {"a": NaN}}',
        '{"name": "look", "arguments": {"a": 1e999}}',
        '{"name": "look", "arguments": {"a": "\\ud800"}}',
        '{"name": "look", "arguments": {"a": ' + "[" * 100_000,
    ],
)
def test_what_is_no_call_is_told_as_text(inner: str) -> None:
    whole = f"a\n {OPEN}{inner}{CLOSE} b"

    assert found(whole) == (whole, [])
    assert found(f"{OPEN}{inner}") == (f"{OPEN}{inner}", [])
    assert found(whole + call()) == (whole, [("look", "{}")])


def test_text_after_a_marker_that_is_no_call_is_not_held_back() -> None:
    reading = CallFinder(NAMES)

    assert reading.feed(f"The marker {OPEN} is") == [Delta(f"The marker {OPEN} is")]


def test_a_call_inside_a_broken_one_is_found() -> None:
    assert found(f'{OPEN}{{"name": {call()}') == (f'{OPEN}{{"name":', [("look", "{}")])


def test_a_call_that_a_limit_cut_is_told_as_far_as_it_came() -> None:
    begun = f'{OPEN}\n{{"name": "look", "arguments": {{"at": "h'

    assert found(begun, is_cut=True) == ("", [("look", '{"at": "h')])
    assert found(begun) == (begun, [])


@pytest.mark.parametrize("begun", [OPEN, f'{OPEN}{{"na', f'{OPEN}{{"name": "unknown", "arguments": {{"a'])
def test_a_call_that_a_limit_cut_before_its_name_is_told_as_text(begun: str) -> None:
    assert found(begun, is_cut=True) == (begun, [])


def test_of_more_calls_than_anybody_takes_the_rest_is_text() -> None:
    text, calls = found(call() * 130)

    assert (text, len(calls)) == (call() * 2, 128)
    assert found(call() * 128 + f'{OPEN}{{"name": "look", "arguments": {{', is_cut=True)[0] != ""


fragments = st.sampled_from(
    [OPEN, CLOSE, "<", " ", "\n", "a", '{"name": "look", "arguments": {"a": "b"}}', '{"name": "look"', call(), "{", '"']
)


@given(st.lists(fragments, max_size=9).map("".join), st.booleans(), st.data())
def test_where_the_pieces_are_cut_never_changes_what_is_found(text: str, is_cut: bool, data: st.DataObject) -> None:
    assert read(CallFinder(NAMES), cut(text, data), is_cut) == found(text, is_cut)


@given(st.lists(fragments, max_size=9).map("".join))
def test_nothing_is_lost_but_white_space_and_every_call_is_sound(text: str) -> None:
    """What is told as text was written in that order, and no more is missing of it than the calls took to write."""
    said, calls = found(text)
    wrote, told_letters = ["".join(one.split()) for one in (text, said)]
    letters = iter(wrote)
    sizes = [len(f"{OPEN}{CLOSE}") for _ in calls]
    for place, (name, arguments) in enumerate(calls):
        assert name in NAMES
        assert isinstance(json.loads(arguments), dict)
        sizes[place] += len("".join(json.dumps({"name": name, "arguments": json.loads(arguments)}).split()))

    assert calls or said == text
    assert all(letter in letters for letter in told_letters)
    assert len(wrote) - len(told_letters) <= sum(sizes)


@given(
    st.lists(st.sampled_from(("look", "say it", 'q"\\天')), min_size=1, max_size=3),
    st.recursive(st.none() | st.text('a"\\{}[]<', max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    st.data(),
)
def test_forced_calls_are_told_as_they_are_written(names: list[str], value: Any, data: st.DataObject) -> None:
    arguments = json.dumps({"a": value, "end": CLOSE})
    text = "\n".join(head(name) + arguments + TAIL for name in names)
    reading = ForcedCalls(names)

    assert read(reading, cut(text, data)) == ("", [(name, arguments) for name in names])
    assert reading.has_called


def test_the_arguments_of_a_forced_call_are_not_held_back() -> None:
    reading = ForcedCalls(NAMES)

    assert reading.feed(head("look")[:-1]) == []
    assert not reading.has_called
    assert reading.feed(' {"a') == [ToolCallDelta(0, None, "look"), ToolCallDelta(0, arguments='{"a')]
    assert reading.feed('": 1}') == [ToolCallDelta(0, arguments='": 1}')]
    assert reading.feed(TAIL) == []
    assert reading.finish(is_cut=False) == []


def test_arguments_that_are_no_object_end_with_the_call() -> None:
    assert read(ForcedCalls(NAMES), [head("look"), "7", TAIL]) == ("", [("look", "7")])


@pytest.mark.parametrize(("names", "expected"), [(["look"], [("look", "")]), (NAMES, [])])
def test_a_forced_call_that_was_cut_before_its_name_is_told_by_the_only_one(
    names: Sequence[str], expected: list[tuple[str, str]]
) -> None:
    assert read(ForcedCalls(names), [OPEN, '\n{"na'], is_cut=True) == ("", expected)


def test_a_forced_call_that_was_cut_is_told_as_far_as_it_came() -> None:
    assert read(ForcedCalls(["look"]), [head("look"), '{"a'], is_cut=True) == ("", [("look", '{"a')])

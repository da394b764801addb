"""When two requests are the same one."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_service.core.fingerprint import DEFAULTS, WITHOUT_EFFECT, fingerprint, is_key, scoped

pytestmark = pytest.mark.core

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
plain: st.SearchStrategy[Any] = st.sampled_from([None, False, True, 0, 1, 1.0, "", "1", {}, []])
names = st.text(max_size=10) | st.sampled_from(sorted({*WITHOUT_EFFECT, *DEFAULTS, "temperature"}))
bodies = st.dictionaries(names, values | plain, max_size=5)
names_known = (*WITHOUT_EFFECT, *DEFAULTS, "temperature", "made_up")
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "你好"}], "temperature": 0.5}


def told(body: object, **style: Any) -> bytes:
    return json.dumps(body, **style).encode()


@given(bodies, st.randoms(use_true_random=False), st.booleans(), st.sampled_from([None, 1, 4]))
def test_how_a_body_is_written_changes_nothing(body: dict[str, Any], random: Any, is_ascii: bool, indent: Any) -> None:
    names = list(body)
    random.shuffle(names)
    other = json.dumps({name: body[name] for name in names}, ensure_ascii=is_ascii, indent=indent)

    assert fingerprint(told(body)) == fingerprint(other.encode("utf-8", "surrogatepass"))


def shape(value: object) -> object:
    """What compares equal for what asks the same: numbers by their value, and true is no number."""
    match value:
        case dict():
            return {name: shape(one) for name, one in value.items()}
        case list():
            return [shape(one) for one in value]
        case bool() | None:
            return (value,)
    return value


def asked(body: dict[str, Any]) -> object:
    """What is left of a body without what has no effect."""
    defaults = [(name, shape(json.loads(text))) for name, text in DEFAULTS.items()]
    kept = {name: value for name, value in body.items() if name not in WITHOUT_EFFECT and value is not None}
    return shape({name: value for name, value in kept.items() if (name, shape(value)) not in defaults})


@given(bodies, bodies)
def test_what_a_body_asks_does(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(asked(one) != asked(other))

    assert fingerprint(told(one)) != fingerprint(told(other))


@given(bodies, st.dictionaries(st.sampled_from(sorted(WITHOUT_EFFECT)), values))
def test_what_has_no_effect_does_not(body: dict[str, Any], idle: dict[str, Any]) -> None:
    without = {name: value for name, value in body.items() if name not in WITHOUT_EFFECT}
    nulls = {name: None for name in names_known if name not in without}
    defaults = {name: json.loads(text) for name, text in DEFAULTS.items() if name not in without}

    assert (
        fingerprint(told(without))
        == fingerprint(told({**without, **idle}))
        == fingerprint(told({**without, **nulls}))
        == fingerprint(told({**without, **defaults}))
    )


@pytest.mark.parametrize("written", ["5.0", "5e0", "0.5E+1", "50e-1", "5.000"])
def test_how_a_number_is_written_changes_nothing(written: str) -> None:
    body = '{"max_tokens": %s, "tools": [{"n": [%s]}]}'

    assert fingerprint((body % (written, written)).encode()) == fingerprint((body % (5, 5)).encode())


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_is_the_same_with_a_point(number: int) -> None:
    assert fingerprint(told({"n": number})) == fingerprint(told({"n": float(number)}))


@pytest.mark.parametrize(
    "pair", [("5", "5.5"), ("5", '"5"'), ("1", "true"), ("0", "null"), ("1e400", "5"), ("5", "-5")]
)
def test_numbers_are_the_same_only_where_their_values_are(pair: tuple[str, str]) -> None:
    one, other = (fingerprint(f'{{"n": {written}}}'.encode()) for written in pair)

    assert one != other


@pytest.mark.parametrize(
    "change",
    [{"stream": True}, {"temperature": 0.6}, {"made_up": 1}, {"messages": []}, {"n": True}, {"n": 2}, {"stream": 0}],
)
def test_each_field_counts(change: dict[str, Any]) -> None:
    assert fingerprint(told(BODY)) != fingerprint(told({**BODY, **change}))


@pytest.mark.parametrize(
    "idle",
    [
        {"user": "me", "metadata": {"a": "b"}},
        {"session_id": "s"},
        {"store": False, "service_tier": "auto"},
        {"seed": None, "stop": None},
        {"n": 1, "stream": False},
        {"n": 1.0, "best_of": 1, "echo": False, "suffix": "", "logit_bias": {}},
    ],
)
def test_fields_without_effect_do_not_count(idle: dict[str, Any]) -> None:
    assert fingerprint(told(BODY)) == fingerprint(told({**BODY, **idle}))


def test_inside_of_a_field_everything_counts() -> None:
    nested = {"messages": [{"user": "me"}]}
    assert fingerprint(told(nested)) != fingerprint(told({"messages": [{}]}))


@given(st.binary())
def test_any_bytes_have_a_fingerprint(body: bytes) -> None:
    assert len(fingerprint(body)) == 64


def test_a_list_and_a_body_without_an_end_have_one_too() -> None:
    assert fingerprint(b"[1, 2]") == fingerprint(b"[1,2]")
    assert fingerprint(b"[" * 100_000) != fingerprint(b"[" * 100_001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("ses_1:utt_2:9f86d0", True),
        ('"quoted"', True),
        ("!~", True),
        ("k" * 255, True),
        ("k" * 256, False),
        ("", False),
        ("two words", False),
        ("tab\t", False),
        ("line\n", False),
        ("é", False),
        ("\x7f", False),
    ],
)
def test_a_key_is_visible_ascii(text: str, expected: bool) -> None:
    assert is_key(text) is expected


places = st.tuples(st.text(), st.text(), st.text(), st.text())


@given(places, places)
def test_keys_meet_only_when_everything_is_the_same(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    assert (scoped(*one) == scoped(*other)) is (one == other)


def test_who_asks_cannot_be_read_from_a_scoped_key() -> None:
    found = scoped("Bearer s3cret", "POST", "/llm", "k")

    assert (len(found), "s3cret" in found) == (64, False)

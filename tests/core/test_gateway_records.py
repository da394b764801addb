"""What is written down comes back as it was, and what is no record is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.records import Noted, Opened, Posted, Record, Sounded, Spoken, Told, decode, encode

pytestmark = pytest.mark.core

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS = st.dictionaries(TEXT, st.one_of(st.none(), st.booleans(), st.integers(), TEXT), max_size=4)
COUNTS = st.integers(0, 2**39)
RECORDS = st.one_of(
    st.builds(Opened, TEXT, TEXT, TEXT, TEXT, st.booleans()),
    st.builds(Noted, TEXT, FIELDS),
    st.builds(Posted, TEXT),
    st.builds(Told, TEXT),
    st.builds(Sounded, st.one_of(TEXT, st.binary()), COUNTS, COUNTS),
    st.builds(Spoken, st.binary()),
)


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(encode(record)) == record


@given(st.binary())
def test_any_bytes_are_a_record_or_none(content: bytes) -> None:
    record = decode(content)
    assert record is None or isinstance(record, Record)


@pytest.mark.parametrize("content", [b"", b"?", b"O{}x", b"N[1]", b"T\xff", b"P\xff", b"S" + bytes(10) + b"t\xff"])
def test_what_is_torn_or_unknown_is_no_record(content: bytes) -> None:
    assert decode(content) is None

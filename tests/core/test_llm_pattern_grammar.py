"""Texts that a grammar of a pattern allows are written here and held against the pattern."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.pattern_grammar import MOST_POSITIONS, text_like
from tests.support.gbnf import Grammar

pytestmark = pytest.mark.core

KNOWN = [
    "", "a+", "^", "$", "^$", "a|b", "^(a|b)$", "^(?:x|y){2}?$", "^((a{2}){3}b?){2}$", "^.*$", "^a?b{0,2}c??$",
    "^a{2,}$",
    r"^[0-9]{3}-[a-z]{2}$", r"^\d{1,3}(\.\d{1,3}){3}$", r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$", r"^\S+$", r"\D\W\S\s\d\w",
    r"^(\+\d{1,3} )?\d{3,}$", r'^"[\\"]$', r"^[\w.+-]+$", "^[a-z-]$", "^[+-.]+$", r"^[\]\-\\/]+$", "^é{2}[α-ω]天$",
    r"^[A-Z]{2,3}?\u0041\x42$", r"^\n\t[\n]\r\f$", r"^[^a-z\d-]$", "^#/[^/]+$", "^[\x7f-\x80]\x7f$", "^(a|)b$",
    "^[\x01-#]$", "^a*b*$", "a*", "^a*", "^]}$",
]  # fmt: skip


def written(pattern: str, data: st.DataObject) -> str:
    piece = text_like(pattern)
    assert piece is not None
    grammar = Grammar(rf'rule ::= "\"" {piece.text} "\""')
    text: str = json.loads(grammar.write("rule", lambda count: data.draw(st.integers(0, count - 1))))
    return text


@pytest.mark.parametrize("pattern", KNOWN)
@given(st.data())
def test_what_is_allowed_matches(pattern: str, data: st.DataObject) -> None:
    text = written(pattern, data)

    assert re.search(pattern, text, re.ASCII), text


pieces = st.recursive(
    st.sampled_from(["a", "天", ".", r"\d", r"\w", "[b-d]", r"[^a\s]", r"\"", r"\\", "-"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "?", "{2}", "{1,3}", "{0,2}", "{2,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: f"(?:{'|'.join(ways)})"),
    ),
    max_leaves=8,
)  # fmt: skip


@given(pieces, st.sampled_from(["", "^"]), st.sampled_from(["", "$"]), st.data())
def test_whatever_is_known_of_patterns_that_are_put_together_matches(
    piece: str, begin: str, end: str, data: st.DataObject
) -> None:
    pattern = begin + piece + end
    found = text_like(pattern)
    if found is not None:
        text = written(pattern, data)
        assert re.search(pattern, text, re.ASCII), text
        assert not found.is_empty or re.search(pattern, "")


@given(st.text(st.sampled_from(list(r"ab\dw[]^$(){}|?*+-,12:." "" + '"\ud800')), max_size=12))
def test_whatever_comes_is_read_without_an_error(pattern: str) -> None:
    assert text_like(pattern) is None or text_like(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    ["^a|b$", "a|b$", "(?=a)", "(?!a)", "(?<n>a)", r"\p{L}", r"(a)\1", r"\bx", "^a$b", "a^b", "[", "^[a", r"[\q]",
     "[z-a]", "[^]a]", "[]a]", "[a-", r"[a-\d]", "(a", "a)", "(a$)", "a**", "*", "a{2,1}", "a{0}", "a{1234567}",
     "a{,2}", "a{x}", "\\", "[\\", "\\\ud800", "\ud800", "[\ud800]", "[^\ud800]", 7, None, "(" * 25 + "a" + ")" * 25,
     "a" * 1001],
)  # fmt: skip
def test_of_what_is_not_known_there_is_none(pattern: object) -> None:
    assert text_like(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    ["(a?)*", "(a*)+", "(a?b?){2}", "(a?)?", "(|a){3}", "a?|b?", "^((a|b)?(c|d)?){1,40}e$", "(a?|b?)c"],
)
def test_nothing_is_never_written_in_two_ways(pattern: str) -> None:
    """Who follows the grammar would go through all of them."""
    assert text_like(pattern) is None


def test_no_pattern_repeats_without_bounds() -> None:
    most, above = f"^a{{{MOST_POSITIONS}}}$", f"^a{{{MOST_POSITIONS + 1}}}$"

    assert [bool(text_like(pattern)) for pattern in (most, above)] == [True, False]
    assert text_like("^(([a-z]{1,100}){1,100}){1,100}$") is None
    assert text_like("^((a{20}){20}|b{400}|c{400})$") is None


def test_what_a_pattern_counts_is_told() -> None:
    piece = text_like("^(ab{3}|c){2,5}$")

    assert piece is not None
    assert (piece.positions - 2, piece.is_empty) == (5 * 5, False)

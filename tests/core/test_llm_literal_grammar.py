"""Texts as they are, in a grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.literal_grammar import literal, one_of
from tests.support.gbnf import Grammar, Node

pytestmark = pytest.mark.core

signs = st.characters(exclude_categories=["Cs", "Zl", "Zp"], exclude_characters="\x85")  # ends of lines, elsewhere
texts = st.lists(
    st.text(st.sampled_from('ab"\\\n天'), max_size=5) | st.text(signs, max_size=3), min_size=1, max_size=12
)


def all_of(grammar: Grammar, rule: str = "rule") -> list[str]:
    """Every text that is allowed."""

    def written(node: Node) -> list[str]:
        if node.kind == "text":
            return [node.text]
        if node.kind == "ways":
            return [text for part in node.parts for text in written(part)]
        assert node.kind == "row"
        found = [""]
        for part in node.parts:
            found = [before + after for before in found for after in written(part)]
        return found

    return written(grammar.rules[rule])


@given(st.text(signs))
def test_a_text_is_written_as_it_is(text: str) -> None:
    assert all_of(Grammar(f"rule ::= {literal(text)}")) == [text]


def test_what_a_grammar_would_read_as_a_sign_is_escaped() -> None:
    assert literal('a"\\\n\x7f天') == '"a\\"\\\\\\x0A\\x7F天"'


@given(texts)
def test_any_of_the_texts_is_written_and_nothing_else(wanted: list[str]) -> None:
    found = all_of(Grammar(f"rule ::= {one_of(wanted)}"))

    assert sorted(found) == sorted(set(wanted))


def test_what_texts_begin_alike_is_written_once() -> None:
    assert one_of(["value 2", "value 10", "value 11", "v"]) == '"v" ("" | "alue " ("1" ("0" | "1") | "2"))'


def test_beginnings_within_beginnings_have_an_end() -> None:
    wanted = ["a" * count for count in range(1, 400)]

    written = one_of(wanted)

    assert written.count("(") < 50
    assert sorted(all_of(Grammar(f"rule ::= {written}"))) == sorted(wanted)

"""Apologies: in every language something is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.apologies import APOLOGIES, apology_in

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("language", "apology"), APOLOGIES.items())
def test_who_speaks_a_language_is_told_in_it(language: str, apology: str) -> None:
    assert apology_in(language) == apology_in(f"{language.upper()}-XX") == apology
    assert 10 < len(apology) < 160


@given(st.text(max_size=12))
def test_in_any_language_something_is_said(language: str) -> None:
    assert apology_in(language) in APOLOGIES.values()


def test_where_no_sentence_is_known_it_is_english() -> None:
    assert apology_in("tlh") == apology_in("") == APOLOGIES["en"]

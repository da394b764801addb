"""Which names mean the model that is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.model_names import means

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("asked", "name", "is_meant"),
    [
        (None, "all-minilm-l6-v2", True),
        ("", "all-minilm-l6-v2", True),
        ("all-minilm-l6-v2", "all-minilm-l6-v2", True),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2", True),
        ("parley-demo", "local/parley-demo", True),
        ("all-minilm-l12-v2", "all-minilm-l6-v2", False),
        ("minilm-l6-v2", "all-minilm-l6-v2", False),
        ("all-minilm-l6-v2/", "all-minilm-l6-v2", False),
    ],
)
def test_a_name_in_full_or_bare_in_any_case_means_the_model(asked: str | None, name: str, is_meant: bool) -> None:
    assert means(asked, name) is is_meant


@given(st.text())
def test_every_model_is_meant_by_its_own_name(name: str) -> None:
    assert means(name, name)

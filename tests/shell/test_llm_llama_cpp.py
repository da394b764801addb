"""Which Python the engine `llama_cpp` runs in, and what it says when there is none that could."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_service.engines import load
from llm_service.engines.base import SetupProblem
from llm_service.settings import LlmSettings

pytestmark = pytest.mark.shell


def settings(**fields: object) -> LlmSettings:
    return LlmSettings.model_validate({"engine": "llama_cpp", **fields})


def test_the_chosen_python_is_taken_as_it_is() -> None:
    assert load(settings(llama_cpp_python=sys.executable)).name == "llama_cpp"


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(SetupProblem, match="There is no Python at nowhere/python; set LLM_LLAMA_CPP_PYTHON"):
        load(settings(llama_cpp_python="nowhere/python"))


@pytest.mark.skipif(find_spec("llama_cpp") is not None, reason="it is installed here")
def test_without_the_library_the_operator_is_told_what_to_set() -> None:
    with pytest.raises(SetupProblem, match="not installed here; set LLM_LLAMA_CPP_PYTHON"):
        load(settings())


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupProblem, match="There is no model file"):
        load(settings(llama_cpp_python=sys.executable, model_path=tmp_path / "none.gguf"))

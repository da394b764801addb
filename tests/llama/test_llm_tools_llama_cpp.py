"""The tests of tools in chats, with llama.cpp in batches of our own making."""

import pytest

from tests.service import test_llm_tools as tool_tests

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def engine() -> str:
    return "llama_cpp"


houses, house = tool_tests.houses, tool_tests.house
toolless_houses, toolless = tool_tests.toolless_houses, tool_tests.toolless
found = {name: thing for name, thing in vars(tool_tests).items() if name.startswith("test_")}
globals().update(found)


def test_the_tests_are_there() -> None:
    assert len(found) >= 12

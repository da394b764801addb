"""OpenAI's own client against llama.cpp in batches of our own making, and against a Parley that asks such a one."""

import pytest

from tests.service import test_llm_openai_client as client_tests
from tests.service.test_llm_openai_client import House

pytestmark = [pytest.mark.contract, pytest.mark.anyio]

# Of what this engine refuses: texts that go on without roles.
ELSEWHERE = {
    "test_a_text_is_completed_whole",
    "test_a_text_is_completed_as_it_is_made",
    "test_a_completion_that_cannot_be_had_is_refused",
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def engine() -> str:
    return "llama_cpp"


def is_of_a_house(thing: object) -> bool:
    """Whether a test of the client asks a model."""
    code = getattr(thing, "__code__", None)
    return code is not None and "house" in code.co_varnames[: code.co_argcount]


# The tests themselves, with the houses of this file's engine.
houses, house = client_tests.houses, client_tests.house
found = {name: thing for name, thing in vars(client_tests).items() if name.startswith("test_") and is_of_a_house(thing)}
globals().update({name: thing for name, thing in found.items() if name not in ELSEWHERE})


def test_what_is_tested_elsewhere_is_tested_there() -> None:
    assert found.keys() >= ELSEWHERE
    assert len(found.keys() - ELSEWHERE) >= 12


async def test_it_is_the_engine_of_this_file_that_answers(houses: dict[str, House]) -> None:
    assert [one.engine for one in houses.values()] == ["llama_cpp", "openai"]

"""The contract of every engine, kept by llama.cpp in batches of our own making, on the demo model."""

from collections.abc import AsyncIterator

import pytest

from llm_service.engines import load
from llm_service.settings import LlmSettings
from tests.contract import test_llm_engines as contract
from tests.contract.test_llm_engines import Running
from tests.support.llm import talking_to

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=contract.ELSEWHERE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def services(anyio_backend: str, name: str) -> AsyncIterator[dict[str, Running]]:
    settings = LlmSettings(engine=name, start_wait_s=20)
    engine = load(settings)
    async with talking_to(engine, settings) as client:
        yield {name: Running(engine, client)}


def is_of_every_engine(thing: object) -> bool:
    """Whether a test of the contract asks for the engine under test."""
    code = getattr(thing, "__code__", None)
    return code is not None and {"services", "name"} <= set(code.co_varnames[: code.co_argcount])


# The contract itself, with the engine of this file.
found = {
    name: thing for name, thing in vars(contract).items() if name.startswith("test_") and is_of_every_engine(thing)
}
globals().update(found)


def test_the_contract_is_not_empty() -> None:
    assert len(found) >= 8

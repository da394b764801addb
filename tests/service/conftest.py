"""What the tests of the gateway's REST share: one gateway a file, with its services behind it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.rest_house import RestHouse, name_of, rest_house


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RestHouse]:
    async with rest_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def conversation_id(request: pytest.FixtureRequest) -> str:
    """One of the test's own."""
    return name_of(request)

"""One Parley for all end-to-end tests, started as a person starts it."""

from collections.abc import Iterator

import pytest

from tests.support.house_processes import RunningParley, make_run


@pytest.fixture(scope="session")
def parley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningParley]:
    """A running Parley on the embedded engines, with its memory."""
    with make_run(tmp_path_factory.mktemp("parley"), GATEWAY_MEMORY="true", GATEWAY_MAX_SESSIONS="16") as running:
        yield running

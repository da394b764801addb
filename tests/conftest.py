"""Profiles, markers and the event loop: what every test shares."""

import os
import tempfile

import hypothesis
import pytest

hypothesis.settings.register_profile("dev", max_examples=50, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

os.environ.setdefault("GATEWAY_MEMORY", "false")  # one gateway holds a memory at a time; tests of it open their own
JOURNALS = tempfile.TemporaryDirectory(prefix="parley-journals-")  # of gateways whose test names no folder
os.environ.setdefault("GATEWAY_SESSIONS_DIR", JOURNALS.name)

ROOMS = {"core", "contract", "shell", "service", "e2e", "docs"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that belongs to no room: it would run nowhere when one room is asked for."""
    for item in items:
        if not ROOMS & {mark.name for mark in item.iter_markers()}:
            raise pytest.UsageError(f"{item.nodeid} has none of the markers {sorted(ROOMS)}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

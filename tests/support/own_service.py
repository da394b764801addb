"""One of Parley's services as a process of its own, ended with the block."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from tests.support.house_processes import TOP, free_ports


@contextmanager
def started(
    package: str, settings: Mapping[str, str], stderr: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m package` with these settings; killed at the end unless it has ended by then."""
    with subprocess.Popen(
        [sys.executable, "-m", package],
        cwd=TOP,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def ready(package: str, prefix: str, **settings: str) -> Iterator[str]:
    """A started service that is ready: the base of its OpenAI paths. It may end by itself, within 20 s."""
    port = str(free_ports(1))
    with started(package, {**settings, f"{prefix}_PORT": port}) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while not _is_ready(client):
                assert process.poll() is None, "the service has ended"
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()
        process.wait(20)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False

"""The tts_service as a process of its own, as a benchmark sees it. Run as a module it serves without priorities."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.app import serve
from tests.support.house_processes import free_ports
from tts_service import slots
from tts_service.app import build_app
from tts_service.core.synthesis_queue import K, SynthesisQueue, Urgency
from tts_service.settings import TtsSettings

TOP = Path(__file__).parents[2]
START_LIMIT_S = 60


class FirstComeQueue(SynthesisQueue[K]):
    """Who asked first is served first, whatever for."""

    def ask(self, key: K, urgency: Urgency, due_s: float = 0.0) -> None:
        super().ask(key, Urgency.LATER)


@contextmanager
def service(*, has_priorities: bool = True, **environment: str) -> Iterator[str]:
    """The address of a service on a free port that is ready; it is ended as the block is left."""
    port = free_ports(1)
    known = {name: value for name, value in os.environ.items() if not name.startswith("TTS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tts_service" if has_priorities else "tests.bench.tts_process"],
        cwd=TOP,
        env=known | {"TTS_PORT": str(port), "TTS_LOG_LEVEL": "ERROR"} | environment,
    )
    address = f"127.0.0.1:{port}"
    try:
        limit_s = time.monotonic() + START_LIMIT_S
        while not _is_ready(address):
            if process.poll() is not None or time.monotonic() > limit_s:
                raise RuntimeError("the tts_service did not start")
            time.sleep(1 / 20)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    setattr(slots, "SynthesisQueue", FirstComeQueue)  # noqa: B010 (a name that the module only borrows)
    settings = TtsSettings.load()
    serve(build_app(settings), settings, "tts")

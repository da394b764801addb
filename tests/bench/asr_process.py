"""The asr_service as a process of its own, as a benchmark sees it: its memory, its CPU time and its figures."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.house_processes import free_ports

TOP = Path(__file__).parents[2]
START_LIMIT_S = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Service:
    """A service that runs; all figures are of its own process."""

    def __init__(self, port: int, pid: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.pid = pid

    @property
    def memory_bytes(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    @property
    def cpu_s(self) -> float:
        """CPU time since it was started."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def figures(self) -> dict[str, float]:
        """What /metrics says: the samples of each name, summed over their labels but `service`, which is asr."""
        found: dict[str, float] = {}
        text = httpx.get(f"http://{self.address}/metrics", trust_env=False).raise_for_status().text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("service", "asr") == "asr" and "le" not in sample.labels:
                    found[sample.name] = found.get(sample.name, 0) + sample.value
        return found

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://{self.address}/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False


def machine_cpu_s() -> float:
    """CPU time of everybody on this machine since it was started; what waited and what was idle are not in it."""
    user, nice, system, _idle, _waiting, *interrupts = Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    return sum(map(int, (user, nice, system, *interrupts))) / TICKS_PER_S


@contextmanager
def service(**environment: str) -> Iterator[Service]:
    """A service on a free port that is ready, with its models counted; it is ended as the block is left."""
    port = free_ports(1)
    known = {name: value for name, value in os.environ.items() if not name.startswith("ASR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.asr_counted"],
        cwd=TOP,
        env=known | {"ASR_PORT": str(port), "ASR_LOG_LEVEL": "ERROR"} | environment,
    )
    try:
        running = Service(port, process.pid)
        limit_s = time.monotonic() + START_LIMIT_S
        while not running.is_ready():
            if process.poll() is not None or time.monotonic() > limit_s:
                raise RuntimeError("the asr_service did not start")
            time.sleep(1 / 20)
        yield running
    finally:
        process.terminate()
        process.wait(10)

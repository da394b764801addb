"""`python -m deploy.preflight PORT`: before a start, say in plain words what would keep Parley from starting."""

import shutil
import socket
import sys
from pathlib import Path

SERVICES = ("gateway", "llm_service", "asr_service", "tts_service")
NEEDED_MB = 200


def busy_ports(first: int) -> list[str]:
    """A sentence for each of the four ports that somebody else listens on."""
    found = []
    for offset, service in enumerate(SERVICES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", first + offset))
            except OSError:
                found.append(f"Port {first + offset} ({service}) is taken. Choose others with `make run PORT=9000`.")
    return found


def problems(port: str) -> list[str]:
    """What is wrong, one sentence each; empty when Parley can start."""
    if not port.isdecimal() or not 1 <= int(port) <= 65_532:
        return [f"PORT={port} is no port; use a number from 1 to 65532, since three more follow it."]
    found = busy_ports(int(port))
    free_mb = shutil.disk_usage(Path.cwd()).free // 2**20
    if free_mb < NEEDED_MB:
        found.append(f"Only {free_mb} MB of disk are free here; Parley wants {NEEDED_MB} MB for its logs and turns.")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(sys.argv[1])) or 0)

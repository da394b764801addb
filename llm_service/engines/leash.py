"""How a child process ends when its parent has: at once by the kernel's hand, or when the pipe on its stdin closes."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Ask the kernel for a SIGKILL when the parent ends; where there is no such thing, `hold` does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it ended before the kernel was asked


def hold(let_go: Callable[[], object]) -> None:
    """Call `let_go` from another thread when stdin closes."""
    threading.Thread(target=_wait, args=(let_go,), daemon=True).start()


def _wait(let_go: Callable[[], object]) -> None:
    sys.stdin.read()
    let_go()

"""Live and ready: a service lives when it answers at all, and is ready when every part it needs says so."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

Check = Callable[[], Awaitable[str]]  # "ready", or a sentence that says what is missing
READY = "ready"
CHECK_TIMEOUT_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The named parts that a service needs, asked one beside the other, each for a second at most."""

    checks: dict[str, Check] = field(default_factory=dict)

    async def report(self) -> dict[str, str]:
        """Part → `ready`, or what is missing in plain words."""
        found = dict.fromkeys(self.checks, "does not answer")

        async def ask(name: str, check: Check) -> None:
            try:
                with anyio.move_on_after(CHECK_TIMEOUT_S):
                    found[name] = await check()
            except Exception:  # the border of a check: a fault in one part leaves the others' answers
                found[name] = "failed"
                log.exception("a readiness check failed", extra={"part": name})

        async with anyio.create_task_group() as tasks:
            for name, check in self.checks.items():
                tasks.start_soon(ask, name, check)
        return found

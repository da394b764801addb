"""What an engine is to the rest of the service: an OpenAI-compatible HTTP server that may come and go.

The service always speaks to it over HTTP, so that a server in a child process, one on another machine and a canned one
are exercised by the same code.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

# What becomes of the tools of a request: a server elsewhere sees to all that is asked of them (`passed`), or an engine
# of this service does (`forced`); it knows them, and a call that must be made is asked of it as JSON of that shape
# (`shaped`); its chat template knows none (`unknown`). Schemas are bounded in all but `passed`: they become grammars.
ToolManner = Literal["passed", "forced", "shaped", "unknown"]


class SetupProblem(Exception):
    """Why the service cannot start, as one sentence for its operator."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is now (`http://host:port/v1`, no slash at the end) and the headers it asks for."""

    address: str
    headers: Mapping[str, str] = field(repr=False)  # they carry its key


@dataclass(frozen=True, slots=True)
class Manner:
    """How the server wants to be asked: its name for the model, fields set unless the client sets them, its markers,
    the texts that it would read as control tokens, whether it counts tokens as llama.cpp's server does (`/tokenize`,
    `/apply-template`), and what becomes of tools."""

    model: str | None
    defaults: Mapping[str, object] = field(default_factory=dict)
    markers: tuple[str, ...] = ()
    is_local: bool = True
    counts_tokens: bool = False
    tools: ToolManner = "passed"


class Engine(Protocol):
    """One server behind this service."""

    name: str
    manner: Manner

    def running(self) -> AbstractAsyncContextManager[None]:
        """Start it and keep it running inside the block; left only when everything of it has ended."""
        ...

    async def target(self, within_s: float) -> Target | None:
        """Where it answers, waited for at most so long; None while it is down."""
        ...

    async def readiness(self) -> str:
        """`ready`, or a sentence that says what is missing."""
        ...

"""A client that leaves before its reply is complete: how long the model goes on for nobody.

Through the whole service, on the demo model, with each engine. The client leaves while tokens come, and in the middle
of a prompt of about 800 tokens, half-way through the time that such a prompt takes to its first token; a reply that has
begun by then does not count as the middle of a prompt.

- closed: from leaving to the service having closed its connection to the model's server, as a relay between them sees.
- free: from leaving to no slot being at work, as the model's server says at `/slots`. It answers between two steps, so
  the figure is as coarse as its steps.

Run: python -m tests.bench.llm_cancel [--engines llama_server,llama_cpp] [--python .venv-llama/bin/python]. The last
line is JSON. The goal in the middle of a prompt is 250 ms, and at once for engine llama_cpp.
"""

import argparse
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import anyio
import httpx

from llm_service.settings import LlmSettings
from tests.bench.llm_long import CHAT, Relay, chat_body, fronted, heard

ENGINES = ("llama_server", "llama_cpp")
PYTHON = Path(".venv-llama/bin/python")
TIMES = 10
TRIES = 3 * TIMES
LOOK_EVERY_S = 0.001
PROMPT_SENTENCES = 98  # about 800 tokens
CONTEXT_TOKENS = 1024
LONG_REPLY_TOKENS = 400
TOKENS_HEARD = 10  # of the replies that are left while they are told
WARM_PROMPTS = 5
GOAL_MS = 250


@dataclass(frozen=True, slots=True)
class Left:
    """Milliseconds since a client left."""

    closed: float
    free: float


class Leaving:
    """When a client left, and what came of it: None when it did not leave in time."""

    def __init__(self) -> None:
        self.left: Left | None = None
        self._left_s: float | None = None

    def now(self) -> None:
        self._left_s = perf_counter()

    def ended(self, closed_s: float, free_s: float) -> None:
        if self._left_s is not None:
            self.left = Left(1000 * (closed_s - self._left_s), 1000 * (free_s - self._left_s))


class Scene:
    """The service, the relay behind it, the model's server, and clients that leave."""

    def __init__(self, relay: Relay, client: httpx.AsyncClient, slots: httpx.AsyncClient) -> None:
        self._relay = relay
        self._client = client
        self._slots = slots
        self._count = 0
        self.prompt_tokens = 0

    def prompt(self) -> bytes:
        """A long prompt like no other from its beginning on, and one token as its reply."""
        self._count += 1
        text = f"{self._count}. " + "Tell me a story about a cat. " * PROMPT_SENTENCES
        return chat_body([{"role": "user", "content": text}], 1)

    async def prompt_ms(self) -> float:
        """What such a prompt takes to its first token, when nobody leaves."""
        replies = [await heard(self._client, self.prompt()) for _ in range(WARM_PROMPTS)]
        assert all(reply.status == 200 for reply in replies), "the prompt is too long"
        self.prompt_tokens = replies[-1].prompt_tokens
        return median(reply.ttft_ms for reply in replies)

    async def while_it_tells(self) -> Left | None:
        """Leave when some tokens have come; None when the reply was complete before."""
        self._count += 1
        body = chat_body([{"role": "user", "content": f"{self._count}. Tell me a long story."}], LONG_REPLY_TOKENS)
        has_heard = anyio.Event()
        async with self._left() as leaving, anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, body, TOKENS_HEARD, has_heard, tasks.cancel_scope)
            await has_heard.wait()
            leaving.now()
            tasks.cancel_scope.cancel()
        return leaving.left

    async def while_it_reads(self, wait_s: float) -> Left | None:
        """Leave after so long; None when the reply had begun by then."""
        has_heard = anyio.Event()
        async with self._left() as leaving, anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, self.prompt(), 1, has_heard, tasks.cancel_scope)
            await anyio.sleep(wait_s)
            if not has_heard.is_set():
                leaving.now()
            tasks.cancel_scope.cancel()
        return leaving.left

    async def _hear(self, body: bytes, tokens: int, has_heard: anyio.Event, scope: anyio.CancelScope) -> None:
        """Read a reply, and say when so many tokens of it have come; a reply that ends before ends the scope."""
        count, headers = 0, {"Content-Type": "application/json"}
        async with self._client.stream("POST", CHAT, content=body, headers=headers) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                count += bool(_text(line))
                if count >= tokens:
                    has_heard.set()
        scope.cancel()

    @asynccontextmanager
    async def _left(self) -> AsyncIterator["Leaving"]:
        """A client inside the block; after it, what was left behind has ended."""
        leaving = Leaving()
        self._relay.has_left = anyio.Event()
        yield leaving
        free_s = await self._free_s()
        await self._relay.has_left.wait()
        leaving.ended(self._relay.left_s, free_s)

    async def _free_s(self) -> float:
        """When all slots are free."""
        while True:
            found = (await self._slots.get("/slots")).raise_for_status().json()
            if not any(slot["is_processing"] for slot in found):
                return perf_counter()
            await anyio.sleep(LOOK_EVERY_S)


def _text(line: str) -> str:
    event = json.loads(line[6:]) if line.startswith("data: {") else {}
    return "".join(choice["delta"].get("content", "") for choice in event.get("choices", []))


@asynccontextmanager
async def scene(engine: str, python: Path) -> AsyncIterator[Scene]:
    settings = LlmSettings(
        engine=engine,
        llama_cpp_python=str(python),
        slots=1,
        context_tokens=CONTEXT_TOKENS,
        temperature=1.0,
        start_wait_s=30,
    )
    async with fronted(settings) as (relay, client):
        target = await relay.engine.target(1)
        assert target is not None
        fresh = httpx.Limits(max_keepalive_connections=0)  # a kept one may hold small answers back
        async with httpx.AsyncClient(
            limits=fresh,
            base_url=target.address.removesuffix("/v1"),
            headers=dict(target.headers),
            timeout=60,
            trust_env=False,
        ) as slots:
            yield Scene(relay, client, slots)


async def measure(engine: str, python: Path) -> dict[str, float]:
    async with scene(engine, python) as found:
        prompt_ms = await found.prompt_ms()
        telling = await _several(found.while_it_tells)
        reading = await _several(lambda: found.while_it_reads(prompt_ms / 2000))
        figures = {"prompt_tokens": float(found.prompt_tokens), "prompt_ms": prompt_ms}
    for name, lefts in (("telling", telling), ("reading", reading)):
        figures[f"{name}_times"] = len(lefts)
        figures[f"{name}_closed_ms"] = median(left.closed for left in lefts)
        figures[f"{name}_free_ms"] = median(left.free for left in lefts)
        figures[f"{name}_free_max_ms"] = max(left.free for left in lefts)
    return {name: round(value, 1) for name, value in figures.items()}


async def _several(leave: Callable[[], Awaitable[Left | None]]) -> list[Left]:
    found: list[Left] = []
    for _ in range(TRIES):
        left = await leave()
        if left is not None:
            found.append(left)
        if len(found) == TIMES:
            break
    assert found, "no client left in time"
    return found


def main(engines: list[str], python: Path) -> None:
    found = {engine: anyio.run(measure, engine, python) for engine in engines}
    print(f"{'':<24}" + "".join(f"{engine:>14}" for engine in found))
    for figure in found[engines[0]]:
        print(f"{figure:<24}" + "".join(f"{figures[figure]:>14.1f}" for figures in found.values()))
    print(f"goal of reading_free_ms at most {GOAL_MS}")
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--python", type=Path, default=PYTHON)
    options = parser.parse_args()
    main(options.engines.split(","), options.python)

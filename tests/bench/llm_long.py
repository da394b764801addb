"""A conversation of 500 turns in a context of 2,048 tokens, through the whole service and llama.cpp's server.

Each turn sends everything that was said before, so the service has to leave more and more of it out. The model is small
and its weights are random: what it says is noise, what it takes to read and to write is not. Service, client and relay
share one process, the model's server has its own.

A relay between the service and that server keeps what the server was asked. It is checked that no turn was refused, and
that each prompt began with the instructions and ended with the newest message.

- The delay of the first token, from sending a turn whose body is ready: medians and 95th percentiles of turns 51 to 150
  and of turns 401 to 500. The turn that leaves old ones out reads most of the prompt anew, and is in the 95th. The
  early ones are those of a second conversation that takes turns with the end of the first, so that what else the
  machine does meets both alike.

Run: python -m tests.bench.llm_long. The last line is JSON; `ratio` is that of the medians, its goal at most 1.2.
"""

import json
import math
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

import anyio
import httpx
from anyio.abc import SocketAttribute, SocketStream

from llm_service.app import assemble
from llm_service.engines import load
from llm_service.engines.base import Engine, Target
from llm_service.settings import LlmSettings
from tests.bench import random_gguf
from tests.support.llm import serving

CHAT = "/v1/chat/completions"
TURNS = 500
CONTEXT_TOKENS = 2048
REPLY_TOKENS = 12
EARLY, LATE = slice(50, 150), slice(400, 500)
GOAL = 1.2
SMALL = random_gguf.Shape(width=256, layers=8, inner=1024, heads=4, key_heads=2, context=CONTEXT_TOKENS)  # 9 million
PERSONA = {
    "role": "system",
    "content": "You are Luna, a warm and caring companion. Speak naturally, in short sentences, and never give lists.",
}
ASKED = ("Tell me a story about a cat.", "What do you like to eat?", "How is the weather today?", "Tell me a joke.")

SAID = ("Once there was a small cat who liked the rain.", "I like noodles, and a cup of tea after them.")


class Relay:
    """An engine with a listener before it, that hands every byte on and keeps what was asked and what was left."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.manner = engine.manner
        self.engine = engine
        self.chats: list[tuple[float, bytes]] = []  # when each was whole, and its body
        self.left_s = math.nan  # when the connection of a chat last ended
        self.has_left = anyio.Event()
        self._port = 0
        self._far_port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """As Engine has it."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self._port = listener.extra(SocketAttribute.local_port)
        async with self.engine.running(), listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._relay)
            yield
            tasks.cancel_scope.cancel()

    async def target(self, within_s: float) -> Target | None:
        """Our own address in the place of the engine's."""
        found = await self.engine.target(within_s)
        if found is None:
            return None
        self._far_port = urlsplit(found.address).port or 0
        return Target(f"http://127.0.0.1:{self._port}/v1", found.headers)

    async def readiness(self) -> str:
        """As Engine has it."""
        return await self.engine.readiness()

    async def _relay(self, near: SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", self._far_port)
        async with near, far, anyio.create_task_group() as tasks:
            tasks.start_soon(_pumped, far, near, tasks.cancel_scope)
            await self._forwarded(near, far)
            tasks.cancel_scope.cancel()

    async def _forwarded(self, near: SocketStream, far: SocketStream) -> None:
        heard, is_chat = Heard(), False
        try:
            async for chunk in near:
                for path, body in heard.feed(chunk):
                    if path == CHAT:
                        is_chat = True
                        self.chats.append((perf_counter(), body))
                await far.send(chunk)
        except anyio.BrokenResourceError:
            pass
        finally:  # the server may close it first
            if is_chat:
                self.left_s = perf_counter()
                self.has_left.set()


async def _pumped(far: SocketStream, near: SocketStream, scope: anyio.CancelScope) -> None:
    with suppress(anyio.BrokenResourceError):
        async for chunk in far:
            await near.send(chunk)
    scope.cancel()


class Heard:
    """The requests of one connection; bodies have a length, as our own client sends them."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """The path and the body of each request that is whole now."""
        self._pending += chunk
        while b"\r\n\r\n" in self._pending:
            head, _, rest = self._pending.partition(b"\r\n\r\n")
            first, *fields = head.decode().split("\r\n")
            lengths = [int(field.split(":")[1]) for field in fields if field.lower().startswith("content-length:")]
            length_bytes = sum(lengths)
            if len(rest) < length_bytes:
                return
            self._pending = rest[length_bytes:]
            yield first.split()[1], rest[:length_bytes]


@asynccontextmanager
async def fronted(settings: LlmSettings) -> AsyncIterator[tuple[Relay, httpx.AsyncClient]]:
    """The service on loopback around a relay and the engine that the settings name, warm, and a client of it."""
    relay = Relay(load(settings))
    async with (
        serving(assemble(settings, relay)) as address,
        httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client,
    ):
        assert await relay.target(60) is not None, "the engine did not start"
        await heard(client, chat_body([{"role": "user", "content": "Hello."}], 2))
        yield relay, client


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `status` 200 unless it was refused; a stream that failed counts as refused."""

    asked_s: float
    status: int
    text: str
    ttft_ms: float
    prompt_tokens: int


def chat_body(messages: Sequence[dict[str, str]], max_tokens: int) -> bytes:
    options = {"stream": True, "stream_options": {"include_usage": True}, "seed": 1}
    return json.dumps({"messages": messages, "max_tokens": max_tokens, **options}).encode()


async def heard(client: httpx.AsyncClient, body: bytes) -> Reply:
    """A chat, read to its end."""
    text, ttft_ms, tokens, asked_s = "", math.nan, 0, perf_counter()
    async with client.stream("POST", CHAT, content=body, headers={"Content-Type": "application/json"}) as response:
        status = response.status_code
        async for line in response.aiter_lines():
            event = json.loads(line[6:]) if line.startswith("data: {") else {}
            if "error" in event:
                status = 500
            for choice in event.get("choices", []):
                text += choice["delta"].get("content", "")
                if math.isnan(ttft_ms) and (text or choice["finish_reason"]):
                    ttft_ms = 1000 * (perf_counter() - asked_s)
            tokens = (event.get("usage") or {}).get("prompt_tokens", tokens)
    return Reply(asked_s, status, text, ttft_ms, tokens)


class Talk:
    """One conversation. In it sentences stand for the replies: noise is not read as it was written."""

    def __init__(self, relay: Relay, client: httpx.AsyncClient, first: int) -> None:
        self._relay = relay
        self._client = client
        self._first = first
        self._messages = [PERSONA]
        self.replies: list[Reply] = []
        self.ours_ms: list[float] = []  # from sending a turn to the engine being asked
        self.lengths: list[int] = []  # messages of each prompt

    async def turn(self) -> None:
        """Say something, and check what the engine was asked."""
        number = len(self.replies)
        asked = {"role": "user", "content": f"{self._first + number:03}: {ASKED[number % len(ASKED)]}"}
        self._messages.append(asked)
        self._relay.chats.clear()
        reply = await heard(self._client, chat_body(self._messages, REPLY_TOKENS))
        self.replies.append(reply)
        self._messages.append({"role": "assistant", "content": SAID[number % len(SAID)]})
        if reply.status == 200:
            ((asked_s, chat),) = self._relay.chats
            told = [{name: message[name] for name in PERSONA} for message in json.loads(chat)["messages"]]
            assert told[0] == PERSONA, "the instructions were left out"
            assert told[-1] == asked, "the newest message was left out"
            self.ours_ms.append(1000 * (asked_s - reply.asked_s))
            self.lengths.append(len(told))

    def show(self, name: str, turns: slice) -> float:
        """Print the delays of some turns; their median."""
        delays_ms = sorted(reply.ttft_ms for reply in self.replies[turns])
        p95_ms = delays_ms[math.ceil(0.95 * len(delays_ms)) - 1]
        figures = f"median {median(delays_ms):.1f} ms, 95th percentile {p95_ms:.1f} ms"
        print(f"{name}: first token {figures}; median before the engine is asked {median(self.ours_ms[turns]):.1f} ms")
        return median(delays_ms)


async def converse(path: Path) -> tuple[Talk, Talk]:
    """The whole conversation, and the beginning of another one, whose turns take turns with its last ones."""
    settings = LlmSettings(engine="llama_server", model_path=path, context_tokens=CONTEXT_TOKENS, start_wait_s=30)
    async with fronted(settings) as (relay, client):
        old, young = Talk(relay, client, 0), Talk(relay, client, TURNS)
        for number in range(TURNS):
            await old.turn()
            if number >= TURNS - EARLY.stop:
                await young.turn()
    return old, young


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small-q4_0.gguf"
        random_gguf.write(path, SMALL)
        began_s = perf_counter()
        old, young = anyio.run(converse, path)
        took_s = perf_counter() - began_s
    refused = sum(reply.status != 200 for reply in [*old.replies, *young.replies])
    drops = sum(after < before for before, after in pairwise(old.lengths))
    print(f"turns {TURNS} and {EARLY.stop} in {took_s:.0f} s, refused {refused}; old turns were left out {drops} times")
    print(f"longest prompt {max(reply.prompt_tokens for reply in old.replies)} tokens, {max(old.lengths)} messages")
    early_ms, late_ms = young.show("turns  51-150", EARLY), old.show("turns 401-500", LATE)
    ratio = late_ms / early_ms
    print(f"ratio {ratio:.2f}, goal at most {GOAL}")
    found: dict[str, float] = {"turns": TURNS, "context_tokens": CONTEXT_TOKENS, "refused": refused}
    found |= {"ttft_ms_early": round(early_ms, 1), "ttft_ms_late": round(late_ms, 1), "ratio": round(ratio, 2)}
    print(json.dumps(found))
    assert refused == 0


if __name__ == "__main__":
    main()

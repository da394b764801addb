"""Many chats at once on one GGUF: one after the other, through llama.cpp's server, and in batches of our own making.

Serial is what `Llama.create_chat_completion` of llama-cpp-python gives: one chat holds the model to its end. The
engines are asked over HTTP on loopback, as the service asks them. All have the same threads and the same context for a
chat, and share the machine with this process. The demo model is so small that much of its time is not the model's; the
larger one, with random weights in Q4_0, is what the goals are for.

- Tokens a second of all replies, for 1, 2, 4 and 8 chats that begin together; also for each second of CPU time, which
  says more on a machine that is busy with other things.
- Eight dialogues of several turns, each turn asked as soon as the last was told: the delay of the first token after the
  first turn, 95th percentile.
- A second turn after a long first one, alone: with what the slot still holds, and the same prompt with nothing held.
- From closing the connection in the middle of a long prompt to the slot being free.

Run in an environment with llama-cpp-python: python -m tests.bench.llm_batching [--models demo,random]. The last line is
JSON; its gains are those of engine llama_cpp over serial, on the last model.
"""

import argparse
import json
import math
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Protocol

import anyio
import httpx
from anyio.lowlevel import checkpoint
from llama_cpp import Llama

from llm_service.engines import load
from llm_service.engines.supervised import SupervisedServer
from llm_service.settings import DEMO_MODEL, LlmSettings
from tests.bench import random_gguf
from tests.bench.asr_process import Service

Messages = list[dict[str, str]]

ENGINES = ("llama_server", "llama_cpp")
AT_ONCE = (1, 2, 4, 8)
CONTEXT_TOKENS = 1024
REPLY_TOKENS = 48
TURNS = 4
SECOND_TURNS = 3
PERSONA = "You are {name}, a warm and caring companion. Speak naturally, in short sentences, and never give lists."
NAMES = ("Luna", "Max", "Mia", "Leo", "Ada", "Tom", "Eva", "Ben")
ASKED = ("Tell me a story about a cat.", "What do you like to eat?", "How is the weather today?", "Tell me a joke.")


@dataclass(frozen=True, slots=True)
class Heard:
    """One reply: its text, its tokens, and how long its first one took."""

    text: str
    tokens: int
    ttft_s: float


class Speaker(Protocol):
    """Something that answers chats, several at once or not, in a process of its own or this one."""

    process: Service

    async def chat(self, messages: Messages, max_tokens: int) -> Heard: ...


class Serial:
    """One model, one chat at a time, in the order in which they came."""

    def __init__(self, path: Path) -> None:
        self._model = Llama(str(path), n_ctx=CONTEXT_TOKENS, n_threads=1, n_threads_batch=1, verbose=False)
        self._turn = anyio.Lock()
        self.process = Service(0, os.getpid())

    async def chat(self, messages: Messages, max_tokens: int) -> Heard:
        asked_s = perf_counter()
        async with self._turn:
            return await anyio.to_thread.run_sync(self._chat, messages, max_tokens, asked_s)

    def _chat(self, messages: Messages, max_tokens: int, asked_s: float) -> Heard:
        texts: list[str] = []
        ttft_s = math.nan
        stream: Any = self._model.create_chat_completion(
            messages=messages,  # type: ignore[arg-type,unused-ignore]
            max_tokens=max_tokens,
            temperature=0.8,
            seed=1,
            logit_bias={self._model.token_eos(): -100.0},  # what `ignore_eos` does
            stream=True,
        )
        for event in stream:
            if text := event["choices"][0]["delta"].get("content"):
                ttft_s = perf_counter() - asked_s if not texts else ttft_s
                texts.append(text)
        return Heard("".join(texts), len(texts), ttft_s)


class Server:
    """An engine over HTTP."""

    def __init__(self, client: httpx.AsyncClient, process: Service) -> None:
        self.client = client
        self.process = process

    async def chat(self, messages: Messages, max_tokens: int) -> Heard:
        texts: list[str] = []
        tokens, ttft_s, asked_s = 0, math.nan, perf_counter()
        body = {"messages": messages, "max_tokens": max_tokens, "temperature": 0.8, "seed": 1, "ignore_eos": True}
        options = {"stream": True, "stream_options": {"include_usage": True}}
        async with self.client.stream("POST", "/v1/chat/completions", json={**body, **options}) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                event = json.loads(line[6:]) if line.startswith("data: {") else {"choices": []}
                for choice in event["choices"]:
                    if text := choice["delta"].get("content"):
                        ttft_s = perf_counter() - asked_s if not texts else ttft_s
                        texts.append(text)
                tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        return Heard("".join(texts), tokens, ttft_s)

    async def freed_s(self, messages: Messages) -> float:
        """How long a slot stays busy after its client left in the middle of the prompt."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.chat, messages, 1)
            await self._until_busy(True)
            tasks.cancel_scope.cancel()
        left_s = perf_counter()
        await self._until_busy(False)
        return perf_counter() - left_s

    async def _until_busy(self, is_busy: bool) -> None:
        while True:
            slots = (await self.client.get("/slots")).json()
            if any(slot["is_processing"] for slot in slots) == is_busy:
                return
            await checkpoint()


@asynccontextmanager
async def running(engine: str, path: Path) -> AsyncIterator[Server]:
    settings = LlmSettings(engine=engine, model_path=path, slots=8, context_tokens=CONTEXT_TOKENS, threads=1)
    found = load(settings)
    assert isinstance(found, SupervisedServer)
    async with found.running():
        target = await found.target(60)
        assert target is not None, "the engine did not start"
        assert found.pid is not None
        address, headers = target.address.removesuffix("/v1"), dict(target.headers)
        fresh = httpx.Limits(max_keepalive_connections=0)  # llama.cpp closes some, though it says otherwise
        async with httpx.AsyncClient(
            base_url=address, headers=headers, limits=fresh, timeout=120, trust_env=False
        ) as client:
            yield Server(client, Service(0, found.pid))


def opening(number: int) -> Messages:
    return [
        {"role": "system", "content": PERSONA.format(name=NAMES[number])},
        {"role": "user", "content": ASKED[number % len(ASKED)]},
    ]


def answered(messages: Messages, heard: Heard, asked: str) -> Messages:
    return [*messages, {"role": "assistant", "content": heard.text}, {"role": "user", "content": asked}]


async def tokens_a_second(speaker: Speaker, count: int) -> tuple[float, float]:
    """Of all replies to so many chats: by the clock, and by the CPU time of the process that holds the model."""
    tokens = 0

    async def ask(number: int) -> None:
        nonlocal tokens
        heard = await speaker.chat(opening(number), REPLY_TOKENS)
        tokens += heard.tokens

    began_s, began_cpu_s = perf_counter(), speaker.process.cpu_s
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(ask, number)
    return tokens / (perf_counter() - began_s), tokens / max(speaker.process.cpu_s - began_cpu_s, 0.01)


async def delays_s(speaker: Speaker) -> list[float]:
    """Of the first tokens in eight dialogues at once, after their first turns. Replies differ in length."""
    found: list[float] = []

    async def talk(number: int) -> None:
        messages = opening(number)
        for turn in range(TURNS):
            heard = await speaker.chat(messages, REPLY_TOKENS // 2 + 7 * ((number + turn) % 5))
            if turn:
                found.append(heard.ttft_s)
            messages = answered(messages, heard, ASKED[(number + turn) % len(ASKED)])

    async with anyio.create_task_group() as tasks:
        for number in range(len(NAMES)):
            tasks.start_soon(talk, number)
    return found


async def second_turn_s(speaker: Speaker) -> tuple[float, float]:
    """The first token of a second turn: with what the first left in the memory, and with nothing of it; medians."""
    kept, anew = [], []
    for name, other in zip(NAMES[:SECOND_TURNS], NAMES[SECOND_TURNS:], strict=False):
        heard = await speaker.chat(long_prompt(name), 16)
        kept.append((await speaker.chat(answered(long_prompt(name), heard, "And now?"), 6)).ttft_s)
        anew.append((await speaker.chat(answered(long_prompt(other), heard, "And now?"), 6)).ttft_s)
    return median(kept), median(anew)


def long_prompt(name: str) -> Messages:
    return [
        {"role": "system", "content": f"{name} is your name. " + "Speak naturally. " * 150},
        {"role": "user", "content": "Hello, who are you?"},
    ]


async def measure(speaker: Speaker) -> dict[str, float]:
    await speaker.chat(opening(0), 4)  # warm
    found = {}
    for count in AT_ONCE:
        found[f"tokens_a_second_at_{count}"], found[f"tokens_a_cpu_second_at_{count}"] = await tokens_a_second(
            speaker, count
        )
    delays = sorted(await delays_s(speaker))
    found["ttft_p50_ms"] = 1000 * delays[len(delays) // 2]
    found["ttft_p95_ms"] = 1000 * delays[math.ceil(0.95 * len(delays)) - 1]
    kept_s, anew_s = await second_turn_s(speaker)
    found |= {"second_turn_ms": 1000 * kept_s, "second_turn_anew_ms": 1000 * anew_s}
    if isinstance(speaker, Server):
        found["freed_ms"] = 1000 * await speaker.freed_s(long_prompt("Nora"))
    return {name: round(value, 1) for name, value in found.items()}


async def compare(path: Path) -> dict[str, dict[str, float]]:
    """The figures of each, one after the other."""
    found = {"serial": await measure(Serial(path))}
    for engine in ENGINES:
        async with running(engine, path) as server:
            found[engine] = await measure(server)
    return found


def gains(found: dict[str, dict[str, float]], engine: str) -> dict[str, float]:
    """How many times better an engine is than serial; a second turn: than the same prompt with nothing held."""
    serial, batched = found["serial"], found[engine]
    return {
        "throughput_gain_at_8": round(batched["tokens_a_second_at_8"] / serial["tokens_a_second_at_8"], 2),
        "cpu_gain_at_8": round(batched["tokens_a_cpu_second_at_8"] / serial["tokens_a_cpu_second_at_8"], 2),
        "ttft_gain_at_8": round(serial["ttft_p95_ms"] / batched["ttft_p95_ms"], 1),
        "second_turn_gain": round(batched["second_turn_anew_ms"] / batched["second_turn_ms"], 1),
    }


def show(model: str, found: dict[str, dict[str, float]]) -> None:
    print(f"\n{model:<28}" + "".join(f"{name:>14}" for name in found))
    for figure in found[ENGINES[0]]:
        print(f"{figure:<28}" + "".join(f"{values.get(figure, math.nan):>14.1f}" for values in found.values()))
    for figure in gains(found, ENGINES[0]):
        print(f"{figure:<28}{'':>14}" + "".join(f"{gains(found, name)[figure]:>14.1f}" for name in ENGINES))


def main(models: Sequence[str]) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            path = DEMO_MODEL
            if model == "random":
                path = Path(folder) / "random-q4_0.gguf"
                random_gguf.write(path)
            found[model] = anyio.run(compare, path)
            show(model, found[model])
    print(json.dumps({**gains(found[models[-1]], "llama_cpp"), "models": found}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default="demo,random")
    main(parser.parse_args().models.split(","))

"""A gateway and its services as processes of their own, and behind these models that a test may stall."""

import json
import random
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from llm_service.engines.fake import Exchange, FakeEngine
from tests.support import own_service
from tests.support.house_processes import free_ports
from tests.support.http_stand_in import HttpStandIn
from tests.support.live_client import LiveClient
from tests.support.llm import DONE, FINISH, delta
from tests.support.replicas import ServiceReplica
from tests.support.tts_upstreams import STALL, Handler, Reply

CHAR_BYTES = 24 * 2 * 20  # a letter is spoken in 20 ms
BYTES_PER_MS = 48
PIECE_BYTES = 1_920
AT_ONCE = {"TTS_SLOTS": "8", "TTS_ADMISSION_LOAD": "0", "TTS_LEAD_MS": "60000"}  # nothing waits for its turn
LOOK_EVERY_S = 0.05
BUSY = {"asr": "parley_sessions", "llm": "parley_llm_running", "tts": "parley_sessions"}


class Writer(FakeEngine):
    """A model that gives everybody the same answer, in small pieces; it stalls once in the middle if it is told to."""

    def __init__(self, answer: str) -> None:
        super().__init__(self._script)
        self.text = answer
        self.stalls = False
        self.asked = 0
        self.gate: anyio.Event | None = None  # answers end when it is set

    async def _script(self, exchange: Exchange) -> None:
        if exchange.method != "POST":
            return await exchange.tell(200, {})
        self.asked += 1
        stalls, self.stalls = self.stalls, False
        pieces = [self.text[at : at + 6] for at in range(0, len(self.text), 6)]
        await exchange.begin()
        for place, piece in enumerate(pieces):
            if 2 * place >= len(pieces):
                await (anyio.sleep_forever() if stalls else self._gate())
            await exchange.event(delta(piece))
        await exchange.event(FINISH)
        await exchange.event(DONE)

    async def _gate(self) -> None:
        if self.gate is not None:
            await self.gate.wait()


def sound_of(text: str) -> bytes:
    """What an Orator makes of a text: noise that is the same for the same text, and for no other."""
    return random.Random(text).randbytes(CHAR_BYTES * len(text))


class Orator(HttpStandIn):
    """A speech server whose sound follows the text; of the text in `stalls_in` it once gives the first half alone."""

    def __init__(self) -> None:
        self.models = Reply(404, [b"{}"])
        self.left = threading.Event()
        self.stalls_in = ""
        self.asked: list[str] = []
        super().__init__(_Speaker)

    def reply_to(self, text: str) -> Reply:
        sound = sound_of(text)
        pieces: list[bytes | None] = [sound[at : at + PIECE_BYTES] for at in range(0, len(sound), PIECE_BYTES)]
        self.asked.append(text)
        if text == self.stalls_in:
            self.stalls_in = ""
            pieces[len(pieces) // 2 :] = [STALL]
        return Reply(pieces=pieces)


class _Speaker(Handler):
    def do_POST(self) -> None:  # noqa: N802  # the name is the library's
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._answer(self._stand_in.reply_to(body["input"]))


class Caller(LiveClient):
    """A client that plays at once what it is sent, and says so."""

    async def play(self) -> None:
        """Until the connection closes."""
        heard_bytes = 0
        while True:
            await self.hear(heard_bytes + 1)
            heard_bytes = len(self.audio)
            with suppress(ConnectionClosed):
                ms = heard_bytes // BYTES_PER_MS
                await self.send(type="played", reply_id=self.of("reply_started", "reply_id")[-1], ms=ms)

    async def say(self, pcm: bytes) -> None:
        """As fast as it is taken."""
        for at in range(0, len(pcm), 640):
            await self.connection.send(pcm[at : at + 640])

    def of(self, kind: str, name: str) -> list[Any]:
        """A field of all messages of a type."""
        return [event[name] for event in self.events if event["type"] == kind]


@dataclass
class WholeHouse:
    """Where things are, and what is told of them."""

    gateway: ServiceReplica
    replicas: dict[str, list[ServiceReplica]]
    model: Writer
    voice: Orator
    http: httpx.AsyncClient = field(repr=False)

    @asynccontextmanager
    async def call(self, path: str = "/ws") -> AsyncIterator[Caller]:
        """A session; of a connection that is refused the refusal is raised."""
        address = f"ws://{self.gateway.address}{path}"
        async with connect(address, compression=None, proxy=None, max_size=None) as connection:
            caller = Caller(connection)
            first = json.loads(await connection.recv())
            assert first["type"] == "ready", first
            caller.frames.append(first)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.read)
                tasks.start_soon(caller.play)
                yield caller
                tasks.cancel_scope.cancel()

    async def figure(self, replica: ServiceReplica, name: str, **labels: str) -> float:
        """A figure of its metrics, all that fit together."""
        text = (await self.http.get(f"http://{replica.address}/metrics")).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    async def busy(self, service: str) -> ServiceReplica:
        """The only replica that has something to do, as soon as there is one."""
        while True:
            living = [one for one in self.replicas[service] if one.process.poll() is None]
            busy = [one for one in living if await self.figure(one, BUSY[service]) > 0]
            if len(busy) == 1:
                return busy[0]
            await checkpoint()

    async def moved(self, service: str) -> float:
        """How much work went on at another replica so far."""
        labels = {"service": f"{service}_service", "what": "moved"}
        return await self.figure(self.gateway, "parley_replica_changes_total", **labels)

    async def turns(self, caller: Caller) -> list[dict[str, Any]]:
        """What is kept of a session."""
        session_id = caller.of("ready", "session_id")[0]
        found = await self.http.get(f"http://{self.gateway.address}/v1/conversations/{session_id}")
        return list(found.json()["turns"])


@asynccontextmanager
async def whole_house(folder: Path, answer: str, replicas: int = 2, **settings: str) -> AsyncIterator[WholeHouse]:
    """Started and ready; what is still running is killed at the end. `settings` are the gateway's."""
    model, voice = Writer(answer), Orator()
    with ExitStack() as processes, voice.running():
        async with httpx.AsyncClient(trust_env=False) as http, model.running():
            target = await model.target(0)
            assert target is not None
            llm = {"LLM_ENGINE": "openai", "LLM_UPSTREAM_URL": target.address}
            tts = {"TTS_ENGINE": "openai", "TTS_UPSTREAM_BASE": voice.url, "TTS_UPSTREAM_VOICES": "en-us", **AT_ONCE}
            wanted = {"asr": {"ASR_ENGINE": "fake"}, "llm": llm, "tts": tts}
            services = {
                name: [_start(processes, f"{name}_service", name, own) for _ in range(replicas)]
                for name, own in wanted.items()
            }
            kept = {
                "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{folder}/t.db",
                "GATEWAY_SESSIONS_DIR": f"{folder}/sessions",
            }
            gateway = _start(processes, "gateway", "gateway", {**kept, **_urls(services), **settings})
            async with anyio.create_task_group() as tasks:
                for replica in [*chain(*services.values()), gateway]:
                    tasks.start_soon(_until_ready, http, replica)
            yield WholeHouse(gateway, services, model, voice, http)


def _start(processes: ExitStack, package: str, prefix: str, settings: Mapping[str, str]) -> ServiceReplica:
    port = str(free_ports(1))
    started = own_service.started(package, {**settings, f"{prefix.upper()}_PORT": port})
    return ServiceReplica(processes.enter_context(started), f"127.0.0.1:{port}")


def _urls(services: Mapping[str, list[ServiceReplica]]) -> dict[str, str]:
    """Where the gateway finds the services."""
    schemes = {"asr": "ws", "llm": "http", "tts": "ws"}
    return {
        f"GATEWAY_{name.upper()}_URL": ",".join(f"{schemes[name]}://{one.address}" for one in replicas)
        for name, replicas in services.items()
    }


async def _until_ready(http: httpx.AsyncClient, replica: ServiceReplica) -> None:
    """Ask now and then: the cores are needed by those that start."""
    is_ready = False
    while not is_ready:
        assert replica.process.poll() is None, "it has ended"
        with suppress(httpx.TransportError):
            is_ready = (await http.get(f"http://{replica.address}/ready")).status_code == 200
        await anyio.sleep(LOOK_EVERY_S)

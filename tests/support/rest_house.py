"""A gateway on a real port with all three services behind it, in one process, on engines that a test commands."""

import base64
import io
import json
import re
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI

from asr_service import app as asr_app
from asr_service.engines import fake as fake_asr
from asr_service.settings import AsrSettings
from gateway.app import build_app
from gateway.routes import add_routes
from gateway.settings import GatewaySettings
from llm_service.app import assemble
from llm_service.engines import fake as fake_llm
from llm_service.settings import LlmSettings
from tests.support.llm import serving
from tests.support.speech import silence, tone
from tests.support.uploads import wav
from tests.support.voices import voice_wav
from tts_service import app as tts_app
from tts_service.engines import fake as fake_tts
from tts_service.settings import TtsSettings

NOBODY = "127.0.0.1:9"
SPOKEN = wav(silence(300) + tone(1_500) + silence(800))  # the recogniser reads "one two three"
HEARD = "one two three"
ANSWER = "This is a canned answer."
VOICE = voice_wav()
RECORDING = {"audio_file": ("question.wav", SPOKEN)}


class Model:
    """What the language model's server does: it answers `texts`, and notes what it was asked."""

    def __init__(self) -> None:
        self.texts = fake_llm.Canned().texts
        self.gates: dict[int, anyio.Event] = {}
        self.asked: list[dict[str, Any]] = []
        self.breaks_after: int | None = None  # texts

    async def __call__(self, exchange: fake_llm.Exchange) -> None:
        self.asked.append(dict(exchange.body))
        if self.breaks_after is None:
            return await fake_llm.Canned(self.texts, gates=self.gates)(exchange)
        await exchange.begin()
        for text in self.texts[: self.breaks_after]:
            await exchange.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


@dataclass
class RestHouse:
    """The gateway as its client sees it, its app, and the engines of the services behind it."""

    client: httpx.AsyncClient
    app: FastAPI
    model: Model
    llm: fake_llm.FakeEngine
    tts: fake_tts.FakeEngine
    addresses: dict[str, str]

    def prompt(self) -> list[dict[str, str]]:
        """The messages of the last question."""
        messages: list[dict[str, str]] = self.model.asked[-1]["messages"]
        return messages


def gateway_app(settings: GatewaySettings) -> FastAPI:
    """The gateway with all its routes."""
    app = build_app(settings)
    if "/stt" not in {getattr(route, "path", "") for route in app.router.routes}:
        page = app.router.routes.pop()
        add_routes(app)
        app.router.routes.append(page)
    return app


@asynccontextmanager
async def rest_house(folder: Path, **settings: Any) -> AsyncIterator[RestHouse]:
    """All four, ready; `settings` are the gateway's."""
    model = Model()
    llm, tts = fake_llm.FakeEngine(model), fake_tts.FakeEngine()
    services = {
        "asr": asr_app.build_app(AsrSettings(engine="fake"), fake_asr.FakeEngine),
        "llm": assemble(LlmSettings(engine="fake", embedding_engine="onnx"), llm),
        "tts": tts_app.build_app(
            TtsSettings(
                engine="fake",
                voices_dir=folder / "own",
                seed_voices_dir=folder / "voices",
                speakers_dir=folder / "speakers",
                hq_dir=folder / "hq",
            ),
            tts,
        ),
    }
    async with AsyncExitStack() as stack:
        addresses = {name: await stack.enter_async_context(serving(app)) for name, app in services.items()}
        app, client = await stack.enter_async_context(gateway(folder, **urls_of(addresses), **settings))
        while (await client.get("/ready")).status_code != 200:
            await checkpoint()
        yield RestHouse(client, app, model, llm, tts, addresses)


def urls_of(addresses: dict[str, str]) -> dict[str, str]:
    """The gateway's settings for these services."""
    return {
        "asr_url": addresses["asr"].replace("http", "ws"),
        "llm_url": addresses["llm"],
        "tts_url": addresses["tts"].replace("http", "ws"),
    }


@asynccontextmanager
async def gateway(
    folder: Path, kind: type[GatewaySettings] = GatewaySettings, /, **settings: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """A gateway alone; services that no setting names are not there."""
    nowhere = {"asr_url": f"ws://{NOBODY}", "llm_url": f"http://{NOBODY}", "tts_url": f"ws://{NOBODY}"}
    database = f"sqlite+aiosqlite:///{folder}/t.db"
    app = gateway_app(kind(**{"database_url": database, **nowhere, **settings}))
    async with serving(app) as address, httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
        yield app, client


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal, whose shape is the same everywhere."""
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"].endswith(".")
    assert "Traceback" not in answer.text
    return answer.status_code, body["error"]["code"], body["error"]["param"]


async def turns(house: RestHouse, conversation_id: str) -> list[dict[str, Any]]:
    """Those that are kept of a conversation."""
    kept: list[dict[str, Any]] = (await house.client.get(f"/v1/conversations/{conversation_id}")).json()["turns"]
    return kept


def sound_of(audio: str | bytes) -> tuple[int, int]:
    """(rate, samples) of a WAV, plain or as base64."""
    with wave.open(io.BytesIO(base64.b64decode(audio) if isinstance(audio, str) else audio)) as file:
        return file.getframerate(), file.getnframes()


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """What a stream of events says."""
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]


def name_of(request: pytest.FixtureRequest) -> str:
    """An id for a conversation of the test's own."""
    return re.sub(r"\W+", ".", request.node.name)[:60]

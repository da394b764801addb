"""A client of a tts_service that takes voices, and what it asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.voices import FORM, voice_wav
from tts_service.app import build_app
from tts_service.engines.fake import FakeEngine
from tts_service.settings import TtsSettings


@contextmanager
def serving(top: Path, engine: FakeEngine | None = None, **settings: Any) -> Iterator[TestClient]:
    """A client of the service, whose folders are in `top`."""
    wanted = TtsSettings(
        engine="fake",
        voices_dir=top / "own",
        seed_voices_dir=top / "voices",
        speakers_dir=top / "speakers",
        **settings,
    )
    with TestClient(build_app(wanted, engine or FakeEngine()), raise_server_exceptions=False) as client:
        while client.get("/ready").json()["parts"]["engine"] == "The speech engine is loading.":
            pass
        yield client


def upload(client: TestClient, file: bytes | None = None, called: str = "a.wav", /, **fields: str | None) -> Response:
    form = {key: value for key, value in {**FORM, **fields}.items() if value is not None}
    return client.post("/v1/voices", data=form, files={"file": (called, voice_wav() if file is None else file)})


def refusal(response: Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert error["message"].endswith(".")
    assert error["type"] in ("invalid_request_error", "rate_limit_error", "server_error")
    return response.status_code, error["code"], error["param"]


def listed(client: TestClient, kind: str) -> list[dict[str, Any]]:
    return [voice for voice in client.get("/v1/voices").json()["voices"] if voice["kind"] == kind]

"""The gateway's HTTP side whole, without its services."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.app import build_app
from gateway.core.load_ladder import Level
from gateway.load import HouseLoad
from gateway.settings import GatewaySettings

pytestmark = pytest.mark.service

NOBODY = "127.0.0.1:9"


def alone(folder: Path, **wanted: Any) -> GatewaySettings:
    """Settings of a gateway none of whose services is there."""
    return GatewaySettings(
        database_url=f"sqlite+aiosqlite:///{folder}/t.db",
        sessions_dir=folder / "sessions",
        asr_url=f"ws://{NOBODY}",
        llm_url=f"http://{NOBODY}",
        tts_url=f"ws://{NOBODY}",
        **wanted,
    )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A gateway with one session, none of whose services is there."""
    with TestClient(build_app(alone(tmp_path, max_sessions=1))) as started:
        yield started


def test_it_lives_and_says_what_is_missing(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "healthy"
    ready = client.get("/ready")

    assert ready.status_code == 503
    assert ready.json()["parts"]["store"] == "ready"
    assert set(ready.json()["parts"]) == {"store", "asr_service", "llm_service", "tts_service"}


def test_personas_are_listed_without_their_prompts(client: TestClient) -> None:
    personas = client.get("/v1/personas").json()["data"]

    assert {persona["id"] for persona in personas} == {"assistant", "sun_wukong", "harry_potter", "iron_man"}
    assert not [persona for persona in personas if "system_prompt" in persona]


def test_conversations_are_empty_and_an_unknown_one_is_not_found(client: TestClient) -> None:
    assert client.get("/v1/conversations").json() == {"data": []}
    missing = client.get("/v1/conversations/ses_nobody")

    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "not_found"


def test_a_bad_page_number_names_itself(client: TestClient) -> None:
    refused = client.get("/v1/conversations?limit=0")

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_message"
    assert "limit" in refused.json()["error"]["param"]


def test_the_page_is_served_and_an_unknown_path_is_not_found(client: TestClient) -> None:
    assert "<title>" in client.get("/").text
    assert client.get("/nothing/here").status_code == 404


def test_a_session_too_many_is_refused_at_once_with_a_time_to_come_back(client: TestClient) -> None:
    with client.websocket_connect("/ws") as first:
        assert first.receive_json()["type"] == "ready"
        with client.websocket_connect("/ws/somebody/some-session") as second:
            refusal = second.receive_json()

    assert (refusal["type"], refusal["code"], refusal["retryable"]) == ("error", "too_many_sessions", True)
    assert refusal["retry_after_ms"] > 0


def told(client: TestClient) -> list[list[str]]:
    """The levels that each of two sessions is told of: the first when the second comes, that one at its beginning."""
    with client.websocket_connect("/ws") as first, client.websocket_connect("/ws") as second:
        levels: list[list[str]] = [[], []]
        for session, heard in zip((first, second), levels, strict=True):
            session.send_json({"type": "ping"})
            while (message := session.receive_json())["type"] != "pong":
                heard += [message["level"]] if message["type"] == "degraded" else []
        return levels


def test_a_house_that_is_nearly_full_tells_everybody_that_it_does_with_less(tmp_path: Path) -> None:
    with TestClient(build_app(alone(tmp_path, max_sessions=2))) as client:
        assert told(client) == [["no_hq"], ["no_hq"]]
        assert client.app.state.house.load.level is Level.NO_HQ  # type: ignore[attr-defined]


@pytest.mark.parametrize("wanted", [{"max_sessions": 3}, {"max_sessions": 2, "degrades_to": "full"}])
def test_a_house_with_room_and_one_that_never_does_with_less_tell_nothing(
    wanted: dict[str, Any], tmp_path: Path
) -> None:
    with TestClient(build_app(alone(tmp_path, **wanted))) as client:
        assert told(client) == [[], []]


def test_the_settings_say_what_load_is(tmp_path: Path) -> None:
    params = alone(tmp_path, late_speech_ms=700, degrades_to="fast_voice").ladder_params()

    assert (params.late_sound_s, params.deepest) == (0.7, Level.FAST_VOICE)


def test_a_gateway_looks_after_its_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(HouseLoad):
        async def run(self) -> None:
            looked.append(self)

        def note_sessions(self, open_sessions: int, most: int) -> None:
            counts.append((open_sessions, most))

    looked, counts = list[HouseLoad](), list[tuple[int, int]]()
    monkeypatch.setattr("gateway.app.HouseLoad", Noting)
    with TestClient(build_app(alone(tmp_path, max_sessions=3))) as client:
        told(client)
        load = client.app.state.house.load  # type: ignore[attr-defined]

    assert looked == [load]
    assert counts == [(1, 3), (2, 3), (1, 3), (0, 3)]


def test_services_that_are_away_are_told_and_the_session_answers_still(client: TestClient) -> None:
    with client.websocket_connect("/ws/chat") as session:
        assert session.receive_json()["type"] == "ready"
        error = session.receive_json()
        session.send_json({"type": "ping"})

        assert (error["code"], error["service"]) == ("service_unavailable", "asr")
        assert session.receive_json()["type"] == "pong"

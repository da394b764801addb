"""The gateway's HTTP side whole, without its services."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gateway.app import build_app
from gateway.settings import GatewaySettings

pytestmark = pytest.mark.service

NOBODY = "127.0.0.1:9"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A gateway with one session, none of whose services is there."""
    settings = GatewaySettings(
        database_url=f"sqlite+aiosqlite:///{tmp_path}/t.db",
        asr_url=f"ws://{NOBODY}",
        llm_url=f"http://{NOBODY}",
        tts_url=f"ws://{NOBODY}",
        max_sessions=1,
    )
    with TestClient(build_app(settings)) as started:
        yield started


def test_it_lives_and_says_what_is_missing(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "healthy"}
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


def test_services_that_are_away_are_told_and_the_session_answers_still(client: TestClient) -> None:
    with client.websocket_connect("/ws/chat") as session:
        assert session.receive_json()["type"] == "ready"
        error = session.receive_json()
        session.send_json({"type": "ping"})

        assert (error["code"], error["service"]) == ("service_unavailable", "asr")
        assert session.receive_json()["type"] == "pong"

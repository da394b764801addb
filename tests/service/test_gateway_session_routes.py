"""Sessions, people and what is kept of them over HTTP: each path with good and bad input."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from gateway.memory_store import MemoryUnavailable
from gateway.turn_audio import KeptAudio
from shared import clock
from tests.support.rest_house import ANSWER, RECORDING, VOICE, RestHouse, name_of, refusal
from tests.support.voices import FORM

pytestmark = [pytest.mark.service, pytest.mark.anyio]


@pytest.fixture
def user_id(request: pytest.FixtureRequest) -> str:
    """A person of the test's own."""
    return name_of(request)


PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
LISTED = """
POST /v1/audio/transcriptions, POST /v1/audio/speech, POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models,
POST /v1/sessions, GET /v1/sessions/{session_id}, POST /v1/sessions/{session_id}/end,
GET /v1/sessions/{session_id}/stats, GET /v1/users/{user_id}/stats, GET /v1/conversations,
GET /v1/conversations/search, GET /v1/conversations/{conversation_id}, DELETE /v1/conversations/{conversation_id},
GET /v1/turns/{turn_id}/audio, POST /v1/voices, GET /v1/voices, DELETE /v1/voices/{voice_id}, GET /v1/personas,
POST /stt, POST /chat, POST /tts, POST /conversation, GET /speaker_info, POST /llm, GET /api/ping, GET /api/health,
POST /api/sessions/new, GET /api/sessions/{some_id}/stats, GET /api/users/{user_id}/stats,
POST /api/sessions/{session_id}/end, POST /api/tts/synthesize, POST /api/voice-chat, POST /api/voice-profile,
GET /api/voice-profiles, DELETE /api/voice-profile/{voice_id}, GET /api/conversations, GET /health
"""


async def test_every_path_is_described(house: RestHouse) -> None:
    described = (await house.client.get("/openapi.json")).json()["paths"]
    wanted = {tuple(one.split()) for one in LISTED.replace("\n", " ").split(",")}

    assert wanted <= {(method.upper(), path) for path, methods in described.items() for method in methods}


async def test_every_path_of_the_page_about_rest_is_there(house: RestHouse) -> None:
    described = (await house.client.get("/openapi.json")).json()["paths"]
    there = {(method.upper(), nameless(path)) for path, methods in described.items() for method in methods}
    told = re.findall(r"`(GET|POST|DELETE) (/[^`? (]*)", PAGE.read_text(encoding="utf-8"))

    assert len(told) > 40
    assert {(method, nameless(path)) for method, path in told} <= there


def nameless(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


async def begun(house: RestHouse, path: str, user_id: str) -> dict[str, Any]:
    answer = await house.client.post(path, json={"user_id": user_id})
    assert answer.status_code == (201 if path == "/v1/sessions" else 200)
    session: dict[str, Any] = answer.json()
    return session


async def said(house: RestHouse, user_id: str, text: str, session_id: str = "") -> dict[str, Any]:
    answer = await house.client.post("/chat", data={"text": text, "user_id": user_id, "conversation_id": session_id})
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize(("new", "under"), [("/v1/sessions", "/v1/sessions"), ("/api/sessions/new", "/api/sessions")])
async def test_a_session_is_begun_used_counted_and_ended(house: RestHouse, user_id: str, new: str, under: str) -> None:
    session = await begun(house, new, user_id)
    session_id = session["session_id"]
    sent = {"conversation_id": session_id, "voice": "tone"}
    turn = (await house.client.post("/api/voice-chat", files=RECORDING, data=sent)).json()
    stats = (await house.client.get(f"{under}/{session_id}/stats")).json()
    ended = (await house.client.post(f"{under}/{session_id}/end")).json()
    again = (await house.client.post(f"{under}/{session_id}/end")).json()

    assert (session["user_id"], session["ended_at"], session["turns"]) == (user_id, None, 0)
    assert (stats["session_id"], stats["turns"], stats["heard_ms"]) == (session_id, 1, turn["audio_ms"])
    assert "first_token" in stats["average_timings_ms"]
    assert ended["ended_at"]
    assert again == ended
    assert (await house.client.get(f"/v1/sessions/{session_id}")).json() == ended


@pytest.mark.parametrize("path", ["/v1/sessions/nobody/stats", "/api/sessions/nobody/stats", "/v1/sessions/nobody"])
async def test_an_unknown_session_is_not_found(house: RestHouse, path: str) -> None:
    assert refusal(await house.client.get(path))[:2] == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/sessions/nobody/end", "/api/sessions/nobody/end"])
async def test_an_unknown_session_cannot_be_ended(house: RestHouse, path: str) -> None:
    assert refusal(await house.client.post(path))[:2] == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/sessions", "/api/sessions/new"])
async def test_a_session_without_a_name_is_the_house_s_and_a_wrong_name_is_refused(house: RestHouse, path: str) -> None:
    nobody = (await house.client.post(path)).json()
    queried = (await house.client.post(f"{path}?user_id=ada")).json()
    wrong = await house.client.post(path, json={"user_id": 7})

    assert (nobody["user_id"], queried["user_id"]) == ("local", "ada")
    assert refusal(wrong) == (400, "invalid_message", "user_id")


async def test_an_open_session_is_closed(house: RestHouse) -> None:
    address = str(house.client.base_url).replace("http", "ws", 1).rstrip("/")
    async with connect(f"{address}/ws", proxy=None) as socket:
        session_id = json.loads(await socket.recv())["session_id"]
        ended = await house.client.post(f"/v1/sessions/{session_id}/end")
        await socket.wait_closed()

    assert ended.json()["session_id"] == session_id


@pytest.mark.parametrize("path", ["/v1/users/{}/stats", "/api/users/{}/stats", "/api/sessions/{}/stats"])
async def test_the_figures_of_a_person(house: RestHouse, user_id: str, path: str) -> None:
    assert refusal(await house.client.get(path.format(user_id)))[:2] == (404, "not_found")
    for text in ("One.", "Two."):
        await said(house, user_id, text)
    stats = (await house.client.get(path.format(user_id))).json()

    assert (stats["user_id"], stats["sessions"], stats["turns"]) == (user_id, 2, 2)


async def test_turns_are_found_by_their_words(house: RestHouse, user_id: str) -> None:
    turn = await said(house, user_id, "Where do marmalade foxes live?")
    found = (
        await house.client.get("/v1/conversations/search", params={"text": "marmalade", "user_id": user_id})
    ).json()
    other = (await house.client.get("/v1/conversations/search", params={"text": "marmalade"})).json()
    empty = await house.client.get("/v1/conversations/search?text=")

    assert [one["turn_id"] for one in found["data"]] == [turn["turn_id"]]
    assert other["data"] == []
    assert refusal(empty) == (400, "invalid_message", "text")


async def test_a_conversation_is_forgotten(house: RestHouse, user_id: str) -> None:
    session_id = (await said(house, user_id, "Forget me."))["conversation_id"]
    gone = await house.client.delete(f"/v1/conversations/{session_id}")
    again = await house.client.delete(f"/v1/conversations/{session_id}")

    assert gone.json() == {"id": session_id, "deleted": True}
    assert refusal(again)[:2] == (404, "not_found")
    assert (await house.client.get(f"/v1/conversations/{session_id}")).status_code == 404


async def test_the_sound_of_an_answer_is_heard_again(house: RestHouse, user_id: str) -> None:
    turn_id = (await said(house, user_id, "Speak."))["turn_id"]
    none = await house.client.get(f"/v1/turns/{turn_id}/audio")
    kept = KeptAudio(b"RIFF", "audio/wav", 24_000, 10, (0,), "hq", clock.today())
    await house.app.state.house.store.audio.put(turn_id, kept)
    sound = await house.client.get(f"/v1/turns/{turn_id}/audio")

    assert refusal(none)[:2] == (404, "not_found")
    assert (sound.content, sound.headers["content-type"], sound.headers["x-tier"]) == (b"RIFF", "audio/wav", "hq")


async def test_a_person_takes_all_that_is_kept_of_them_and_is_erased(house: RestHouse, user_id: str) -> None:
    turn_id = (await said(house, user_id, "Remember me."))["turn_id"]
    kept = KeptAudio(b"RIFF", "audio/wav", 24_000, 10, (0,), "fast", clock.today())
    await house.app.state.house.store.audio.put(turn_id, kept)
    labels = {**FORM, "name": "Me", "user_id": user_id}
    voice = (await house.client.post("/v1/voices", files={"file": VOICE}, data=labels)).json()
    lines = (await house.client.get(f"/v1/users/{user_id}/export")).text.splitlines()
    records = {record["kind"]: record for record in map(json.loads, lines)}
    gone = await house.client.delete(f"/v1/users/{user_id}")
    after = await house.client.get(f"/v1/users/{user_id}/export")
    again = await house.client.delete(f"/v1/users/{user_id}")

    assert list(records) == ["user", "voice", "session", "turn", "audio"]
    assert (records["turn"]["user_text"], records["turn"]["heard_text"]) == ("Remember me.", ANSWER)
    assert base64.b64decode(records["audio"]["content"]) == b"RIFF"
    assert records["voice"]["voice_id"] == voice["id"]
    assert gone.json() == {"user_id": user_id, "deleted": True}
    assert after.text == ""
    assert refusal(again)[:2] == (404, "not_found")
    assert (await house.client.get(f"/v1/voices/{voice['id']}")).status_code == 404


class Memory:
    """What is remembered of people; it can be away."""

    def __init__(self) -> None:
        self.forgotten: list[tuple[str, ...]] = []
        self.is_away = True

    async def forget(self, *whose: str) -> None:
        if self.is_away:
            raise MemoryUnavailable("It is away.")
        self.forgotten.append(whose)

    forget_conversation = forget


async def test_what_is_remembered_goes_first(house: RestHouse, user_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, one = Memory(), (await said(house, user_id, "Remember me."))["conversation_id"]
    remembering = SimpleNamespace(store=house.app.state.house.store, memory=memory)
    monkeypatch.setattr(house.app.state, "house", remembering)
    paths = [f"/v1/conversations/{one}", f"/v1/users/{user_id}"]
    refused = [await house.client.delete(path) for path in paths]
    memory.is_away = False
    gone = [await house.client.delete(path) for path in paths]

    assert [refusal(answer)[:2] for answer in refused] == [(503, "service_unavailable")] * 2
    assert [answer.json()["deleted"] for answer in gone] == [True, True]
    assert memory.forgotten == [(user_id, one), (user_id,)]

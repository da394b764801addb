"""The client of the Voice Chat Backend: pings, Korean speech, a voice file answered, live talk under a user's name."""

import base64

import httpx
import pytest

from tests.support.house_processes import RunningParley
from tests.support.live_client import SPEECH, open_client

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


async def test_seed_voice_chat_backend(parley: RunningParley) -> None:
    async with httpx.AsyncClient(base_url=parley.url, timeout=60, trust_env=False) as client:
        assert (await client.get("/api/ping")).json()["message"] == "pong"
        health = (await client.get("/api/health")).json()
        assert (health["status"], health["database"]) == ("healthy", "connected")
        assert "milvus" in health

        spoken = await client.post("/api/tts/synthesize", json={"text": "안녕하세요"})
        assert spoken.headers["content-type"] == "audio/wav"
        assert len(spoken.content) > 10_000

        session = (await client.post("/api/sessions/new", json={"user_id": "user-1"})).json()
        session_id = session["session_id"]
        await sends_a_file(client, session_id)
        stats = (await client.get(f"/api/sessions/{session_id}/stats")).json()
        assert (stats["user_id"], stats["turns"]) == ("user-1", 1)
        assert (await client.get("/api/sessions/user-1/stats")).json()["sessions"] == 1
        await talks(parley, session_id)
        assert (await client.get(f"/api/sessions/{session_id}/stats")).json()["turns"] == 2
        assert (await client.post(f"/api/sessions/{session_id}/end")).json()["ended_at"]
        assert (await client.post("/api/sessions/nobody/end")).status_code == 404


async def sends_a_file(client: httpx.AsyncClient, session_id: str) -> None:
    recording = (SPEECH / "annyeonghaseyo.wav").read_bytes()
    file = {"file": ("hello.wav", recording)}
    answer = (
        await client.post("/api/voice-chat", files=file, data={"language": "ko", "conversation_id": session_id})
    ).json()
    torn = await client.post("/api/voice-chat", files={"file": ("hello.wav", recording[:2_000])})

    assert answer["transcription"] == "안녕하세요"
    assert answer["response"]
    assert base64.b64decode(answer["audio"])[:4] == b"RIFF"
    assert torn.json()["error"]["code"] == "invalid_audio"


async def talks(parley: RunningParley, session_id: str) -> None:
    async with open_client(parley.url, f"/ws/user-1/{session_id}") as caller:
        await caller.send(type="text", text="What is the capital of France?")
        done = await caller.see("reply_done")

        assert "Paris" in done["text"]
        assert caller.audio

"""AVATAR's client: talk over `/ws/chat` in JSON, voice profiles, conversations, health."""

import base64

import httpx
import pytest

from tests.support.house_processes import RunningParley
from tests.support.live_client import SPEECH, LiveClient, open_client, read_pcm

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

PIECE_BYTES = 9_600  # 300 ms at 16 kHz


async def test_seed_avatar(parley: RunningParley) -> None:
    async with httpx.AsyncClient(base_url=parley.url, timeout=60, trust_env=False) as client:
        assert (await client.get("/health")).json() == {
            "status": "healthy",
            "models": {"vllm": "running", "whisper": "ready", "tts": "ready"},
        }
        async with open_client(parley.url, "/ws/chat") as avatar:
            session_id = (await avatar.see("ready"))["session_id"]
            await talks(avatar)
        await has_voices(client)
        listed = (await client.get("/api/conversations")).json()["conversations"]
        assert session_id in [one["id"] for one in listed]


async def talks(avatar: LiveClient) -> None:
    pcm = read_pcm("what_is_the_capital_of_france") + bytes(32 * 1_500)
    for at in range(0, len(pcm), PIECE_BYTES):
        await avatar.send(type="audio_chunk", audio=base64.b64encode(pcm[at : at + PIECE_BYTES]).decode())
    said = await avatar.see("transcription")
    done = await avatar.see("reply_done")
    tokens = "".join(event["text"] for event in avatar.events if event["type"] == "llm_token")
    audio = [event for event in avatar.events if event["type"] == "audio_response"]
    await avatar.send(type="audio_chunk", audio="no base64")
    error = await avatar.see("error")

    assert "france" in said["text"].lower()
    assert tokens == done["text"]
    assert {event["tier"] for event in audio} == {"fast"}
    assert len(b"".join(base64.b64decode(event["audio"]) for event in audio)) > 24_000
    assert error["code"] == "invalid_audio"
    assert not avatar.audio


async def has_voices(client: httpx.AsyncClient) -> None:
    """The voice that comes with Parley cannot speak like a recording, and says so; nothing is kept."""
    sample = (SPEECH / "tell_me_a_story.wav").read_bytes()
    refused = await client.post("/api/voice-profile", files={"file": ("me.wav", sample)})
    missing = await client.delete("/api/voice-profile/nobody")

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported")
    assert (await client.get("/api/voice-profiles")).json() == {"voice_profiles": []}
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")

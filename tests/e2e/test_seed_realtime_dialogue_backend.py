"""The client of the Realtime Dialogue Backend: health, speech to text, chat, text to speech, speech to speech."""

import base64
import io
import wave

import httpx
import pytest

from tests.support.house_processes import RunningParley
from tests.support.live_client import SPEECH, read_pcm
from tests.support.uploads import encoded

pytestmark = pytest.mark.e2e

QUESTION = "what_is_the_capital_of_france"
LONG = "The fox walked through the forest, and it looked for its friends. " * 4  # above 150 characters


def seconds_of(wav: bytes) -> float:
    """How long a WAV sounds whose header may not know it yet."""
    with wave.open(io.BytesIO(wav)) as file:
        samples = len(file.readframes(file.getnframes())) // 2
        return float(samples / file.getframerate())


def test_seed_realtime_dialogue_backend(parley: RunningParley) -> None:
    with httpx.Client(base_url=parley.url, timeout=60, trust_env=False) as client:
        assert client.get("/health").json()["status"] == "healthy"
        assert {"speakers", "loaded"} <= client.get("/speaker_info").json().keys()
        hears(client)
        chats(client)
        speaks(client)
        converses(client)


def hears(client: httpx.Client) -> None:
    """`POST /stt` with each format that its document names."""
    files = {
        "question.wav": (SPEECH / f"{QUESTION}.wav").read_bytes(),
        "question.mp3": encoded(read_pcm(QUESTION), "mp3"),
        "question.flac": encoded(read_pcm(QUESTION), "flac"),
    }
    for name, content in files.items():
        assert "france" in client.post("/stt", files={"file": (name, content)}).json()["text"].lower(), name


def chats(client: httpx.Client) -> None:
    """`POST /chat`, twice in one conversation."""
    first = client.post("/chat", data={"text": "What is the capital of France?"}).json()
    again = {"text": "Thank you.", "conversation_id": first["conversation_id"]}
    second = client.post("/chat", data=again).json()
    turns = client.get(f"/v1/conversations/{first['conversation_id']}").json()["turns"]

    assert "Paris" in first["response"]
    assert second["conversation_id"] == first["conversation_id"]
    assert [turn["heard_text"] for turn in turns] == [first["response"], second["response"]]


def speaks(client: httpx.Client) -> None:
    """`POST /tts`, short and long, and with the file of a speaker that is not here."""
    short = client.post("/tts", json={"text": "Hello.", "cfg_scale": 1.0})
    long = client.post("/tts", json={"text": LONG})
    missing = {"text": "Hello.", "speaker_voice_path": "/app/voices/zh-Xinran_woman.wav"}
    refused = client.post("/tts", json=missing)

    assert 0.2 < seconds_of(short.content) < 3 < 8 < seconds_of(long.content)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "speaker_voice_path"


def converses(client: httpx.Client) -> None:
    """`POST /conversation`: speech in, speech out."""
    with (SPEECH / f"{QUESTION}.wav").open("rb") as recording:
        answer = client.post("/conversation", files={"audio_file": recording}).json()

    assert "france" in answer["transcription"].lower()
    assert "Paris" in answer["response"]
    assert seconds_of(base64.b64decode(answer["audio"])) > 0.5

"""The paths of earlier systems at the gateway: each with good and bad input, and a turn without a socket whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.rest_house import (
    ANSWER,
    HEARD,
    RECORDING,
    SPOKEN,
    VOICE,
    RestHouse,
    gateway,
    refusal,
    sound_of,
    turns,
)  # fmt: skip
from tests.support.speech import silence, tone
from tests.support.uploads import wav

pytestmark = [pytest.mark.service, pytest.mark.anyio]

NO_SOUND = {"audio_file": ("question.wav", b"no sound at all")}


async def test_stt(house: RestHouse) -> None:
    heard = await house.client.post("/stt", files={"file": ("a.wav", SPOKEN)})
    torn = await house.client.post("/stt", files={"file": ("a.wav", b"no sound at all")})

    assert heard.json()["text"] == HEARD
    assert refusal(torn) == (400, "invalid_audio", "file")


async def test_chat(house: RestHouse, conversation_id: str) -> None:
    first = await house.client.post("/chat", data={"text": "Who are you?", "conversation_id": conversation_id})
    await house.client.post("/chat", data={"text": "And I?", "conversation_id": conversation_id})

    assert first.json()["response"] == ANSWER
    assert first.json()["conversation_id"] == conversation_id
    assert "audio" not in first.json()
    asked = [(message["role"], message["content"]) for message in house.prompt()[1:]]
    assert asked == [("user", "Who are you?"), ("assistant", ANSWER), ("user", "And I?")]
    kept = await turns(house, conversation_id)
    assert [(turn["user_text"], turn["heard_text"]) for turn in kept] == [("Who are you?", ANSWER), ("And I?", ANSWER)]
    assert {(turn["finish_reason"], turn["heard_ms"]) for turn in kept} == {("stop", 0)}


async def test_chat_as_json_begins_a_conversation_of_its_own(house: RestHouse) -> None:
    half, kind = r'{"text": "Hi \ud83d there."}', {"content-type": "application/json"}
    first = (await house.client.post("/chat", content=half, headers=kind)).json()
    second = (await house.client.post("/chat", json={"text": "Hi."})).json()

    assert first["conversation_id"] != second["conversation_id"]
    assert [turn["user_text"] for turn in await turns(house, first["conversation_id"])] == ["Hi \ufffd there."]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"data": {"conversation_id": "one"}}, "text"),
        ({"data": {"text": "  "}}, "text"),
        ({"data": {"text": "Hi.", "conversation_id": "a/b"}}, "conversation_id"),
        ({"data": {"text": "Hi.", "persona": "nobody"}}, "persona"),
        ({"json": {"text": ["Hi."]}}, "text"),
        ({"json": ["Hi."]}, None),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, None),
        ({"content": b'"\xff"', "headers": {"content-type": "application/json"}}, None),
    ],
)
async def test_a_chat_without_sense_is_refused(house: RestHouse, sent: dict[str, Any], fault: str | None) -> None:
    status, code, param = refusal(await house.client.post("/chat", **sent))
    assert (status, param) == (400, fault)
    assert code in ("invalid_message", "invalid_json")


async def test_a_chat_that_is_too_long_is_refused(house: RestHouse) -> None:
    long = await house.client.post("/chat", data={"text": "a" * 9_000})
    longer = await house.client.post("/chat", json={"text": "a" * 200_000})

    assert refusal(long) == (400, "invalid_message", "text")
    assert refusal(longer)[:2] == (413, "message_too_large")


async def test_tts(house: RestHouse) -> None:
    spoken = await house.client.post("/tts", json={"text": "Hello.", "cfg_scale": 1.5})
    other = await house.client.post("/tts", json={"text": "Hello.", "speaker_voice_path": "/app/voices/nobody.wav"})
    scaled = await house.client.post("/tts", json={"text": "Hello.", "cfg_scale": 9})

    assert (spoken.headers["content-type"], spoken.content[:4]) == ("audio/wav", b"RIFF")
    assert refusal(other) == (400, "invalid_message", "speaker_voice_path")
    assert refusal(scaled) == (400, "invalid_message", "cfg_scale")


async def test_api_tts_synthesize(house: RestHouse) -> None:
    spoken = await house.client.post("/api/tts/synthesize", json={"text": "안녕하세요"})
    empty = await house.client.post("/api/tts/synthesize", json={"text": ""})

    assert spoken.content[:4] == b"RIFF"
    assert house.tts.requests[-1].text.startswith("안녕하세요")
    assert refusal(empty) == (400, "invalid_message", "text")


async def test_speaker_info(house: RestHouse) -> None:
    told = (await house.client.get("/speaker_info")).json()
    assert {"speakers", "loaded", "cache"} <= told.keys()
    assert (await house.client.post("/speaker_info")).status_code == 405


async def test_llm(house: RestHouse) -> None:
    asked = {"messages": [{"role": "user", "content": "Hello?"}], "session_id": "s"}
    keyed = {"X-Idempotency-Key": "s:0:abc"}
    first = (await house.client.post("/llm", json=asked, headers=keyed)).json()
    again = (await house.client.post("/llm", json=asked, headers=keyed)).json()
    none = await house.client.post("/llm", json={"messages": []})

    assert (first["text"], first["cached"]) == (ANSWER, False)
    assert again == first | {"cached": True}
    assert refusal(none) == (400, "invalid_message", "messages")


@pytest.mark.parametrize(("path", "name"), [("/conversation", "audio_file"), ("/api/voice-chat", "file")])
async def test_speech_in_and_speech_out(house: RestHouse, conversation_id: str, path: str, name: str) -> None:
    fields = {"conversation_id": conversation_id, "voice": "tone"}
    answer = await house.client.post(path, files={name: ("a.wav", SPOKEN)}, data=fields)
    told = answer.json()
    rate, samples = sound_of(told["audio"])

    assert answer.status_code == 200
    assert (told["transcription"], told["response"], told["finish_reason"]) == (HEARD, ANSWER, "stop")
    assert told["conversation_id"] == conversation_id
    assert [segment["text"] for segment in told["segments"]] == [HEARD]
    assert (rate, told["sample_rate"], told["audio_format"]) == (24_000, 24_000, "wav")
    assert told["audio_ms"] == samples * 1000 // rate > 100
    kept = await turns(house, conversation_id)
    assert [(turn["turn_id"], turn["user_text"], turn["heard_text"], turn["heard_ms"]) for turn in kept] == [
        (told["turn_id"], HEARD, ANSWER, told["audio_ms"])
    ]
    assert list(kept[0]["timings"]) == ["final", "first_token", "first_audio", "last_token", "done"]


@pytest.mark.parametrize("path", ["/conversation", "/api/voice-chat"])
async def test_what_is_no_question_is_refused(house: RestHouse, path: str) -> None:
    silent = {"file": ("a.wav", wav(silence(2_000)))}
    answers = [
        await house.client.post(path, files=NO_SOUND),
        await house.client.post(path, files=silent),
        await house.client.post(path, data={"conversation_id": "one"}),
        await house.client.post(path, files=RECORDING, data={"language": "tlh"}),
        await house.client.post(path, files={"file": bytes(26 * 1024 * 1024)}),
    ]
    assert [refusal(answer) for answer in answers] == [
        (400, "invalid_audio", "file"),
        (400, "invalid_audio", "file"),
        (400, "invalid_message", "file"),
        (400, "unsupported", "language"),
        (413, "message_too_large", None),
    ]


async def test_services_that_are_away_are_told(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (_, client):
        answers = [
            await client.post("/stt", files={"file": SPOKEN}),
            await client.post("/chat", data={"text": "Hi."}),
            await client.post("/tts", json={"text": "Hi."}),
            await client.post("/conversation", files=RECORDING),
            await client.post("/llm", json={"messages": []}),
            await client.get("/speaker_info"),
            await client.get("/api/voice-profiles"),
            await client.post("/api/voice-profile", files={"file": VOICE}),
            await client.delete("/api/voice-profile/voice"),
        ]
        health, detail = (await client.get("/health")).json(), (await client.get("/api/health")).json()

    assert [refusal(answer)[:2] for answer in answers] == [(503, "service_unavailable")] * len(answers)
    assert (health["status"], set(health["models"].values())) == ("healthy", {"unavailable"})
    assert (detail["status"], detail["database"]) == ("degraded", "connected")


async def test_voice_profiles(house: RestHouse) -> None:
    refused = await house.client.post("/api/voice-profile", files={"file": VOICE}, data={"consent": "false"})
    made = await house.client.post("/api/voice-profile", files={"file": ("Bob's voice.wav", VOICE)})
    named = await house.client.post(
        "/api/voice-profile", files={"sample": VOICE}, data={"name": "Eve", "language": "en"}
    )
    again = await house.client.post("/api/voice-profile", files={"sample": VOICE}, data={"name": "Eve"})
    listed = (await house.client.get("/api/voice-profiles")).json()["voice_profiles"]
    gone = [await house.client.delete(f"/api/voice-profile/{one.json()['id']}") for one in (made, named)]
    missing = await house.client.delete("/api/voice-profile/nobody")
    none = await house.client.post("/api/voice-profile", data={"name": "Eve"})

    assert refusal(refused) == (400, "invalid_message", "consent")
    assert (made.status_code, made.json()["name"], made.json()["transcript"]) == (201, "Bob's voice", HEARD)
    assert {one["name"] for one in listed} == {"Bob's voice", "Eve"}
    assert refusal(again)[0] == 400
    assert [one.json()["deleted"] for one in gone] == [True, True]
    assert refusal(missing)[:2] == (404, "not_found")
    assert refusal(none) == (400, "invalid_message", "file")


async def test_a_sample_in_which_nothing_is_said_needs_its_words(house: RestHouse) -> None:
    quiet = await house.client.post("/api/voice-profile", files={"file": wav(silence(4_000))})
    assert refusal(quiet) == (400, "invalid_audio", "file")


async def test_api_conversations(house: RestHouse, conversation_id: str) -> None:
    await house.client.post("/chat", data={"text": "Hi.", "conversation_id": conversation_id})
    listed = (await house.client.get("/api/conversations?limit=200")).json()["conversations"]
    bad = await house.client.get("/api/conversations?limit=0")

    assert [one["turns"] for one in listed if one["id"] == conversation_id] == [1]
    assert refusal(bad) == (400, "invalid_message", "limit")


async def test_health(house: RestHouse) -> None:
    assert (await house.client.get("/health")).json() == {
        "status": "healthy",
        "models": {"vllm": "running", "whisper": "ready", "tts": "ready"},
    }


async def test_api_ping_and_api_health(house: RestHouse) -> None:
    detail = (await house.client.get("/api/health")).json()

    assert (await house.client.get("/api/ping")).json()["message"] == "pong"
    assert (detail["status"], detail["database"]) == ("healthy", "connected")
    assert detail["services"] == {"asr_service": "ready", "llm_service": "ready", "tts_service": "ready"}
    assert "milvus" in detail
    assert (await house.client.post("/api/ping")).status_code == 405


async def test_ws_asr_writes_down_and_never_answers(house: RestHouse) -> None:
    asked = len(house.model.asked)
    address = str(house.client.base_url).replace("http", "ws", 1).rstrip("/")
    told: list[dict[str, Any]] = []
    async with connect(f"{address}/ws_asr", proxy=None) as socket:
        await socket.send('{"op":"config","sampleRate":16000}')
        await socket.send(b"".join([silence(300), tone(1_500), silence(3_000)]))
        while not told or told[-1]["type"] not in ("final", "error"):
            told.append(json.loads(await socket.recv()))
        await socket.send('{"type":"nonsense"}')
        while told[-1]["type"] != "error":
            told.append(json.loads(await socket.recv()))

    kinds = [one["type"] for one in told]
    final = told[kinds.index("final")]
    assert kinds.index("partial") < kinds.index("final")
    assert (final["text"], [part["text"] for part in final["segments"]]) == (HEARD, [HEARD])
    assert told[-1]["code"] == "unknown_type"
    assert len(house.model.asked) == asked

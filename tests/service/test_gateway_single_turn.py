"""One turn without a socket: how its answer is told, what is kept of it, and what becomes of it when a part fails."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from gateway.settings import GatewaySettings
from gateway.store import KeptTurn
from shared import clock
from tests.support.replicas import Narrator, started
from tests.support.rest_house import (
    ANSWER,
    HEARD,
    RECORDING,
    VOICE,
    RestHouse,
    events_of,
    gateway,
    refusal,
    rest_house,
    sound_of,
    turns,
    urls_of,
)
from tests.support.tts_caller import Caller

pytestmark = [pytest.mark.service, pytest.mark.anyio]


async def test_an_answer_is_told_as_it_is_made(house: RestHouse, conversation_id: str) -> None:
    fields = {"conversation_id": conversation_id, "voice": "tone"}
    accept = {"accept": "text/event-stream"}
    events = events_of(await house.client.post("/conversation", files=RECORDING, data=fields, headers=accept))
    kinds = [event["type"] for event in events]

    assert (kinds[0], kinds[-1], events[0]["text"]) == ("transcription", "reply_done", HEARD)
    assert "".join(event["text"] for event in events if event["type"] == "llm_token") == ANSWER
    assert [event["text"] for event in events if event["type"] == "segment"] == [ANSWER]
    assert kinds.index("segment") < kinds.index("audio_response")
    assert {(event["conversation_id"], event["turn_id"]) for event in events} == {
        (conversation_id, events[-1]["turn_id"])
    }
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "audio_response")
    (kept,) = await turns(house, conversation_id)
    assert (kept["heard_text"], kept["heard_ms"]) == (ANSWER, len(audio) // 48)


async def test_a_chat_is_told_as_it_is_made_without_speech(house: RestHouse) -> None:
    events = events_of(await house.client.post("/chat", data={"text": "Hi.", "stream": "true"}))
    assert {event["type"] for event in events} == {"llm_token", "reply_done"}
    assert events[-1]["text"] == ANSWER


async def test_the_speech_alone(house: RestHouse) -> None:
    accept = {"accept": "audio/wav"}
    answer = await house.client.post("/conversation", files=RECORDING, data={"voice": "tone"}, headers=accept)
    (kept,) = await turns(house, answer.headers["x-conversation-id"])

    assert answer.headers["content-type"] == "audio/wav"
    assert sound_of(answer.content)[1] > 2_400
    assert kept["turn_id"] == answer.headers["x-turn-id"]


async def test_another_persona_remembers_nothing_and_is_remembered(house: RestHouse, conversation_id: str) -> None:
    for fields in ({"text": "One."}, {"text": "Two.", "persona": "iron_man"}, {"text": "Three."}):
        await house.client.post("/chat", data={**fields, "conversation_id": conversation_id})
    system, *told = [message["content"] for message in house.prompt()]

    assert "Stark" in system
    assert told == ["Two.", ANSWER, "Three."]


async def test_who_leaves_keeps_what_was_told(house: RestHouse, conversation_id: str) -> None:
    house.model.gates[2] = anyio.Event()
    cut_short = house.llm.cut_short
    fields = {"text": "Wait.", "stream": "true", "conversation_id": conversation_id}
    async with house.client.stream("POST", "/chat", data=fields) as response:
        told = [json.loads(line[6:])["text"] async for line in first(response.aiter_lines(), 3) if line]
        assert told == ["This", " is"]
    await house.llm.until(lambda engine: engine.cut_short > cut_short)
    house.model.gates.clear()
    (kept,) = await until_kept(house, conversation_id)

    assert (kept["user_text"], kept["heard_text"], kept["finish_reason"]) == ("Wait.", "This is", "interrupted")


async def test_a_model_that_is_away_is_told_and_nothing_is_kept(house: RestHouse, tmp_path: Path) -> None:
    urls = {name: url for name, url in urls_of(house.addresses).items() if name != "llm_url"}
    async with gateway(tmp_path, **urls) as (_, client):
        whole = await client.post("/conversation", files=RECORDING)
        events = events_of(await client.post("/conversation", files=RECORDING, data={"stream": "1"}))
        kept = (await client.get("/v1/conversations")).json()["data"]

    assert refusal(whole)[:2] == (503, "service_unavailable")
    assert [event["type"] for event in events] == ["transcription", "error"]
    assert (events[1]["code"], events[1]["service"], events[1]["retryable"]) == ("service_unavailable", "llm", True)
    assert kept == []


async def test_speech_that_fails_costs_only_the_speech(house: RestHouse, tmp_path: Path) -> None:
    urls = {name: url for name, url in urls_of(house.addresses).items() if name != "tts_url"}
    async with gateway(tmp_path, **urls) as (_, client):
        told = (await client.post("/conversation", files=RECORDING)).json()
        events = events_of(await client.post("/conversation", files=RECORDING, data={"stream": "true"}))
        alone = await client.post("/conversation", files=RECORDING, headers={"accept": "audio/wav"})

    assert (told["response"], told["audio"], told["error"]["code"]) == (ANSWER, None, "service_unavailable")
    assert {event["type"] for event in events} == {"transcription", "llm_token", "error", "reply_done"}
    assert events[-1]["text"] == ANSWER
    assert refusal(alone)[:2] == (503, "service_unavailable")


class Switches(GatewaySettings):
    """Settings by which a part may be off."""

    llm_enabled: bool = True
    tts_enabled: bool = True


async def test_without_a_language_model_speech_is_written_down_and_nothing_answers(
    house: RestHouse, tmp_path: Path
) -> None:
    async with gateway(tmp_path, Switches, llm_enabled=False, **urls_of(house.addresses)) as (_, client):
        told = (await client.post("/conversation", files=RECORDING)).json()
        events = events_of(await client.post("/conversation", files=RECORDING, data={"stream": "true"}))
        refused = [
            await client.post("/chat", data={"text": "Hi."}),
            await client.post("/llm", json={"messages": []}),
            await client.post("/v1/chat/completions", json={"messages": []}),
            await client.post("/conversation", files=RECORDING, headers={"accept": "audio/wav"}),
        ]
        health = (await client.get("/health")).json()["models"]

    assert (told["transcription"], told["response"]) == (HEARD, "")
    assert "audio" not in told
    assert [event["type"] for event in events] == ["transcription", "reply_done"]
    assert {refusal(answer) for answer in refused} == {(400, "unsupported", None)}
    assert health["vllm"] == "off"


async def test_without_a_voice_answers_are_written(house: RestHouse, tmp_path: Path) -> None:
    async with gateway(tmp_path, Switches, tts_enabled=False, **urls_of(house.addresses)) as (_, client):
        told = (await client.post("/conversation", files=RECORDING)).json()
        events = events_of(await client.post("/conversation", files=RECORDING, data={"stream": "true"}))
        refused = [
            await client.post("/tts", json={"text": "Hi."}),
            await client.post("/v1/audio/speech", json={"input": "Hi."}),
            await client.get("/api/voice-profiles"),
            await client.post("/api/voice-profile", files={"file": VOICE}),
            await client.post("/conversation", files=RECORDING, headers={"accept": "audio/wav"}),
        ]
        health = (await client.get("/health")).json()["models"]

    assert told["response"] == ANSWER
    assert "audio" not in told
    assert {event["type"] for event in events} == {"transcription", "llm_token", "reply_done"}
    assert {refusal(answer) for answer in refused} == {(400, "unsupported", None)}
    assert health["tts"] == "off"


async def test_one_turn_too_many_is_refused(house: RestHouse, tmp_path: Path) -> None:
    house.model.gates[0] = anyio.Event()
    asked = len(house.model.asked)
    async with (
        gateway(tmp_path, max_sessions=1, **urls_of(house.addresses)) as (_, client),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_chat, client)
        while len(house.model.asked) == asked:
            await checkpoint()
        second = await client.post("/chat", data={"text": "Hi."})
        house.model.gates[0].set()
    house.model.gates.clear()
    assert refusal(second)[:2] == (429, "too_many_sessions")
    assert second.headers["retry-after"] == "2"


async def _chat(client: httpx.AsyncClient, **fields: str) -> None:
    assert (await client.post("/chat", data={"text": "Hi.", **fields})).status_code == 200


async def first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """So many of them."""
    for _ in range(count):
        yield await anext(lines)


async def until_kept(house: RestHouse, conversation_id: str) -> list[dict[str, Any]]:
    """The turns, once there are any; the test's own timeout is the limit."""
    while (await house.client.get(f"/v1/conversations/{conversation_id}")).status_code != 200:
        pass
    return await turns(house, conversation_id)


async def test_an_answer_that_breaks_off_is_kept_as_far_as_it_was_told(tmp_path: Path) -> None:
    async with rest_house(tmp_path) as house:
        house.model.breaks_after = 2
        fields = {"text": "Go on.", "conversation_id": "broken"}
        whole = await house.client.post("/chat", data=fields)
        events = events_of(await house.client.post("/chat", data={**fields, "stream": "true"}))
        kept = await turns(house, "broken")

    assert refusal(whole)[0] in (502, 503)
    assert [event["type"] for event in events] == ["llm_token", "llm_token", "error"]
    assert [(turn["heard_text"], turn["finish_reason"]) for turn in kept] == [("This is", "error")]


async def test_who_leaves_before_anything_was_given_out_keeps_nothing(house: RestHouse, conversation_id: str) -> None:
    house.model.gates[2] = anyio.Event()
    cut_short, asked = house.llm.cut_short, len(house.model.asked)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(_chat, house.client, conversation_id=conversation_id))
        while len(house.model.asked) == asked:
            await checkpoint()
        tasks.cancel_scope.cancel()
    await house.llm.until(lambda engine: engine.cut_short > cut_short)
    house.model.gates.clear()

    assert (await house.client.get(f"/v1/conversations/{conversation_id}")).status_code == 404


async def test_speech_that_breaks_off_is_told_and_the_text_goes_on(house: RestHouse, tmp_path: Path) -> None:
    voice = Narrator(dies_after=5)
    async with started(voice) as url, gateway(tmp_path, **{**urls_of(house.addresses), "tts_url": url}) as (_, client):
        events = events_of(await client.post("/conversation", files=RECORDING, data={"stream": "true"}))
        kinds = [event["type"] for event in events]

    assert kinds.count("audio_response") == 5
    assert [(one["code"], one["service"]) for one in events if one["type"] == "error"] == [
        ("service_unavailable", "tts")
    ]
    assert (kinds[-1], events[-1]["text"]) == ("reply_done", ANSWER)


class FullStore:
    """It keeps nothing."""

    async def add_turn(self, *_: object) -> None:
        raise OSError("no room")


async def test_a_turn_that_cannot_be_kept_is_told_as_such(house: RestHouse, tmp_path: Path) -> None:
    async with gateway(tmp_path, **urls_of(house.addresses)) as (app, client):
        app.state.house = replace(app.state.house, store=FullStore())
        whole = await client.post("/chat", data={"text": "Hi."})
        events = events_of(await client.post("/chat", data={"text": "Hi.", "stream": "true"}))

    assert (whole.status_code, whole.json()["response"], whole.json()["error"]["code"]) == (
        200,
        ANSWER,
        "internal_error",
    )
    assert [event["type"] for event in events][-2:] == ["error", "reply_done"]


async def test_a_line_that_nobody_asked_for_and_an_apology_are_remembered_as_such(
    house: RestHouse, conversation_id: str
) -> None:
    store = house.app.state.house.store
    for turn in (turn_of("one", "", "Welcome!"), turn_of("two", "Are you there?", "Sorry.", "error")):
        await store.add_turn(conversation_id, "local", turn)
    await house.client.post("/chat", data={"text": "And now?", "conversation_id": conversation_id})
    system, *asked = [message["content"] for message in house.prompt()]

    assert system.endswith("You have just opened this conversation with: Welcome!")
    assert asked == ["Are you there?\nAnd now?"]


def turn_of(turn_id: str, user_text: str, heard_text: str, finish_reason: str = "stop") -> KeptTurn:
    return KeptTurn(
        turn_id=f"trn_{turn_id}",
        persona="assistant",
        user_text=user_text,
        heard_text=heard_text,
        heard_ms=0,
        finish_reason=finish_reason,
        timings={},
        ended_at=clock.today(),
    )


async def test_a_conversation_goes_on_as_its_person_and_as_nobody_else(house: RestHouse, conversation_id: str) -> None:
    mine = {"conversation_id": conversation_id, "user_id": "ada"}
    await house.client.post("/chat", data={"text": "I am Ada.", **mine})
    await house.client.post("/chat", data={"text": "Go on.", "conversation_id": conversation_id})
    other = await house.client.post("/chat", data={"text": "Go on.", **mine, "user_id": "eve"})

    assert refusal(other) == (404, "not_found", "conversation_id")
    assert [turn["user_text"] for turn in await turns(house, conversation_id)] == ["I am Ada.", "Go on."]


async def test_who_is_told_events_when_the_gateway_ends_is_told_that_too(
    house: RestHouse, conversation_id: str
) -> None:
    house.model.gates[1] = anyio.Event()
    caller = Caller({"text": "Wait.", "stream": True, "conversation_id": conversation_id}, "/chat")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.call, house.app)
        await caller.until(lambda sent: len(sent) > 1)
        tasks.cancel_scope.cancel()
    house.model.gates.clear()
    (kept,) = await turns(house, conversation_id)

    assert caller.is_whole
    assert json.loads(caller.body.rpartition(b"data: ")[2])["code"] == "service_unavailable"
    assert (kept["heard_text"], kept["finish_reason"]) == ("This", "interrupted")

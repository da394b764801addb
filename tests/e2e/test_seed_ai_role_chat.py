"""The page of AI Role Chat: personas, a microphone that streams to the recogniser, an answer by `POST /llm`."""

import hashlib
from itertools import pairwise

import httpx
import pytest

from tests.support.house_processes import RunningParley
from tests.support.live_client import Event, LiveClient, open_client

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


async def test_seed_ai_role_chat(parley: RunningParley) -> None:
    async with httpx.AsyncClient(base_url=parley.url, timeout=60, trust_env=False) as client:
        personas = {one["id"]: one for one in (await client.get("/v1/personas")).json()["data"]}
        assert {"sun_wukong", "harry_potter", "iron_man"} <= personas.keys()
        assert all(one["avatar"] and one["opening_line"] for one in personas.values())

        async with open_client(parley.url, "/ws_asr") as microphone:
            final = await said(microphone)
        await is_answered(client, final["text"])


async def test_seed_ai_role_chat_hears_on_its_other_path(parley: RunningParley) -> None:
    async with open_client(parley.url, "/ws") as microphone:
        assert "france" in (await said(microphone))["text"].lower()
        await microphone.send(type="ping")
        await microphone.see("pong")
        assert "reply_started" not in [event["type"] for event in microphone.events]  # its page asks by itself


async def said(microphone: LiveClient) -> Event:
    """What is understood of a recording that is sent as the page sends it: 20 ms a packet."""
    await microphone.send(op="config", sampleRate=16_000)
    await microphone.speak("what_is_the_capital_of_france")
    final = await microphone.see("final")
    partials = [(one["text"], one["committed"]) for one in microphone.events if one["type"] == "partial"]

    assert partials
    assert all(one != other for one, other in pairwise(partials))
    assert [event["type"] for event in microphone.events].count("final") == 1
    assert {"start", "end", "text"} <= final["segments"][0].keys()
    return final


async def is_answered(client: httpx.AsyncClient, text: str) -> None:
    """The page asks by itself, and once more under the same key when it is unsure."""
    asked = {"messages": [{"role": "user", "content": text}], "max_tokens": 200, "session_id": "page"}
    key = {"X-Idempotency-Key": f"page:0:{hashlib.sha256(text.encode()).hexdigest()[:16]}"}
    first = (await client.post("/llm", json=asked, headers=key)).json()
    again = (await client.post("/llm", json=asked, headers=key)).json()
    spoilt = await client.post("/llm", json={"messages": []})

    assert "Paris" in first["text"]
    assert (first["cached"], again["cached"]) == (False, True)
    assert first["model"]
    assert (again["text"], again["model"]) == (first["text"], first["model"])
    assert spoilt.json()["error"]["param"] == "messages"

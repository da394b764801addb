"""The browser of the local voice dialogue: speech in, text token by token, speech sentence by sentence, one socket."""

import httpx
import pytest

from tests.support.house_processes import RunningParley
from tests.support.live_client import LiveClient, open_client

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

SAMPLES_PER_MS = 24


async def test_seed_local_voice_dialogue(parley: RunningParley) -> None:
    async with httpx.AsyncClient(base_url=parley.url, timeout=60, trust_env=False) as client:
        assert (await client.get("/health")).json()["status"] == "healthy"
        local = (await client.get("/v1/models")).json()["data"][0]["id"]

    async with open_client(parley.url) as browser:
        await browser.send(type="config", persona="sun_wukong", model=local)
        await browser.speak("jintian_tianqi_zenmeyang")
        final = await browser.see("final")
        done = await browser.see("reply_done")

        assert (final["text"], final["language"]) == ("今天天气怎么样", "zh")
        assert "".join(event["text"] for event in browser.events if event["type"] == "token") == done["text"]
        is_gapless(browser)


async def test_seed_local_voice_dialogue_switches_its_mode_in_mid_session(parley: RunningParley) -> None:
    async with open_client(parley.url) as browser:
        told: list[str] = []
        for model in ("gpt-4o-mini", "grok-4", "local"):  # one server is here, and answers to any name
            await browser.send(type="config", model=model)
            await browser.send(type="text", text="What is the capital of France?")
            done = await browser.see("reply_done", lambda event: event["turn_id"] not in told)
            told.append(done["turn_id"])

            assert "Paris" in done["text"]


def is_gapless(browser: LiveClient) -> None:
    """Each sentence begins where the audio before it ends, so a queue plays them without a gap."""
    samples, starts = 0, []
    for frame in browser.frames:
        if isinstance(frame, bytes):
            samples += len(frame) // 2
        elif frame["type"] == "segment":
            starts.append((frame["start_ms"], samples // SAMPLES_PER_MS))
    assert samples
    assert [told for told, _ in starts] == [heard for _, heard in starts]

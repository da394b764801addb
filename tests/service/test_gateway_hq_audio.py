"""A whole Parley with two engines for speech: an answer is kept, spoken again, and its client told where to hear it."""

from pathlib import Path

import pytest
from anyio.lowlevel import checkpoint

from tests.support.live_client import open_client
from tests.support.llm import sample
from tests.support.rest_house import ANSWER, gateway, rest_house, urls_of
from tests.support.two_tier_voices import Voices

pytestmark = [pytest.mark.service, pytest.mark.anyio]


async def test_an_answer_is_heard_anew_in_the_finer_voice(tmp_path: Path) -> None:
    made = sample("parley_kept_audio_total", outcome="hq")
    async with rest_house(tmp_path / "services") as others, Voices(tmp_path / "tts").served() as voices:
        addresses = others.addresses | {"tts": voices.address}
        settings = {**urls_of(addresses), "sessions_dir": tmp_path / "sessions", "memory": False}
        async with gateway(tmp_path, **settings) as (_, client), open_client(str(client.base_url).rstrip("/")) as talk:
            while (await client.get("/ready")).status_code != 200:
                await checkpoint()
            await talk.send(type="config", voice="tone")
            await talk.send(type="text", text="Who is there?")
            done = await talk.see("reply_done")
            told = await talk.see("hq_audio")
            sound = (await client.get(told["url"])).raise_for_status()

    assert (told["reply_id"], done["text"], voices.said()) == (done["reply_id"], ANSWER, [ANSWER])
    assert (sound.headers["X-Tier"], sound.headers["content-type"]) == ("hq", "audio/wav")
    assert len(sound.content) > 24_000
    assert (sample("parley_kept_audio_total", outcome="hq") - made, voices.kept()) == (1, [])


async def test_where_no_sound_is_to_be_kept_none_is(tmp_path: Path) -> None:
    async with (
        rest_house(tmp_path, keeps_audio=False, sessions_dir=tmp_path / "sessions", memory=False) as house,
        open_client(str(house.client.base_url).rstrip("/")) as talk,
    ):
        await talk.send(type="config", voice="tone")
        await talk.send(type="text", text="Who is there?")
        done = await talk.see("reply_done")
        answer = await house.client.get(f"/v1/turns/{done['turn_id']}/audio")
        assert (done["text"], answer.status_code) == (ANSWER, 404)

"""A service with two engines: replies in high quality, and finished messages that are spoken again."""

import io
import wave
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from shared.errors import EngineFailed
from shared.wire.tts import Cancel, TtsError, TtsReady
from tests.support.tts_peer import audio_of, connected, dones, peer_of, report, service
from tests.support.tts_stage import tone_samples
from tests.support.tts_tiers import house
from tts_service.app import build_app
from tts_service.engines.fake import FAILS, FakeEngine
from tts_service.settings import TtsSettings

pytestmark = [pytest.mark.service, pytest.mark.anyio]

MESSAGE = "Alpha one, and so on. Alpha two."


async def test_a_reply_that_asks_for_hq_is_spoken_by_the_hq_engine(tmp_path: Path) -> None:
    async with house(tmp_path) as on, peer_of(on.app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        peer.say("fine", "Hello.", tier="hq")
        peer.say("quick", "Hi.")
        received = await peer.until_done("fine", "quick")
        assert (on.hq_texts(), [request.text for request in on.fast.requests]) == (["Hello."], ["Hi."])
    assert len(audio_of(received, "fine")) == 2 * tone_samples("Hello.")


async def test_without_an_hq_engine_hq_is_refused() -> None:
    async with connected(FakeEngine()) as peer:
        peer.say("a", "Hello.", tier="hq")
        received = await peer.until_done("a")
    error = next(item for item in received if isinstance(item, TtsError))
    assert (error.code, error.reply_id) == ("unsupported", "a")
    assert dones(received) == {"a": "failed"}


async def test_a_message_is_spoken_again_whole_and_says_where_its_segments_begin(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        asked = await on.ask(MESSAGE, language="ko", speed=1.5, voice="tone")
        assert asked.status_code == 202
        assert asked.json()["state"] == "waiting"
        made = await on.until("done", asked.json()["id"])
        sound = await on.client.get(f"/v1/rerenders/{made['id']}/audio")
        assert [(request.language, request.speed, request.voice) for request in on.hq.requests] == [
            ("ko", 1.5, "tone"), ("ko", 1.5, "tone"),
        ]  # fmt: skip
        assert on.fast.requests == []
    assert (made["engine"], made["sample_rate"], made["error"]) == ("fake", 24_000, None)
    texts = [segment["text"] for segment in made["segments"]]
    assert texts == ["Alpha one, and so on.", "Alpha two."], "nobody is in a hurry for a first clause"
    starts = [segment["start_samples"] for segment in made["segments"]]
    assert starts[0] == 0
    assert starts[1] > tone_samples(texts[0], 24_000)
    assert sound.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(sound.content)) as file:
        assert (file.getframerate(), file.getnframes()) == (24_000, made["total_samples"])
    assert made["total_samples"] == starts[1] + tone_samples(texts[1], 24_000)


async def test_what_was_made_is_there_at_once_for_whoever_asks_also_after_a_start(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        key = (await on.ask(MESSAGE)).json()["id"]
        made = await on.until("done", key)
        again = await on.ask(MESSAGE, "msg_2")
        assert (again.status_code, again.json()) == (200, made)
        assert len(on.hq.requests) == 2
        other = await on.ask(MESSAGE, "msg_2", speed=1.1)
        assert (other.status_code, other.json()["id"] != key) == (202, True)
    async with house(tmp_path) as on:
        assert (await on.client.get(f"/v1/rerenders/{key}")).json() == made
        assert (await on.ask(MESSAGE)).status_code == 200
        assert on.hq.requests == []


async def test_two_messages_that_say_the_same_are_made_once(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        on.hq.hold()
        first, second = await on.ask("Alpha."), await on.ask("Alpha.", "msg_2")
        assert first.json()["id"] == second.json()["id"]
        on.hq.let()
        await on.until("done", first.json()["id"])
        assert on.hq_texts() == ["Alpha."]


async def test_a_newer_text_of_a_message_drops_the_older_one_also_while_it_is_made(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        on.hq.hold()
        older = (await on.ask("Alpha.")).json()["id"]
        await on.until_hq_requests(1)
        newer = (await on.ask("Beta.")).json()["id"]
        assert (await on.client.get(f"/v1/rerenders/{older}")).status_code == 404
        on.hq.let()
        await on.until("done", newer)
        assert on.hq_texts() == ["Alpha.", "Beta."]
        assert (await on.client.get(f"/v1/rerenders/{older}")).status_code == 404


async def test_what_was_dropped_is_made_when_it_is_wanted_anew(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        on.hq.hold()
        key = (await on.ask("Alpha.")).json()["id"]
        await on.until_hq_requests(1)
        assert (await on.client.delete(f"/v1/rerenders/{key}")).status_code == 200
        assert (await on.ask("Alpha.")).json()["id"] == key
        on.hq.let()
        await on.until("done", key)


async def test_a_live_reply_takes_the_only_slot_from_what_is_spoken_again(tmp_path: Path) -> None:
    async with house(tmp_path) as on, peer_of(on.app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        on.hq.hold()
        key = (await on.ask("Alpha one. Alpha two.")).json()["id"]
        await on.until_hq_requests(1)
        assert (await on.client.get(f"/v1/rerenders/{key}/audio")).status_code == 409
        peer.say("live", "Beta.", tier="hq")
        await on.until_hq_requests(2)
        on.hq.let()
        assert dones(await peer.until_done("live")) == {"live": "completed"}
        made = await on.until("done", key)
        assert on.hq_texts() == ["Alpha one.", "Beta.", "Alpha one.", "Alpha two."]
    assert made["segments"][1]["start_samples"] > tone_samples("Alpha one.", 24_000)


async def test_a_failure_is_told_and_the_next_asking_tries_again(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        key = (await on.ask(f"It goes {FAILS}.")).json()["id"]
        failed = await on.until("failed", key)
        assert failed["error"] == {"code": "engine_failed", "message": "The tone broke.", "retryable": True}
        assert (await on.client.get(f"/v1/rerenders/{key}/audio")).status_code == 502
        assert (await on.ask(f"It goes {FAILS}.")).status_code == 202
        await on.until_hq_requests(2)
        await on.until("failed", key)


async def test_what_is_deleted_is_gone(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        key = (await on.ask("Alpha.")).json()["id"]
        await on.until("done", key)
        assert (await on.client.delete(f"/v1/rerenders/{key}")).json() == {"id": key, "deleted": True}
        gone = [
            await on.client.delete(f"/v1/rerenders/{key}"),
            await on.client.get(f"/v1/rerenders/{key}"),
            await on.client.get(f"/v1/rerenders/{key}/audio"),
            await on.client.get("/v1/rerenders/..%2Fvoices"),
        ]
        assert [response.status_code for response in gone] == [404, 404, 404, 404]
    assert list((tmp_path / "hq").iterdir()) == []


async def test_too_many_that_wait_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path, hq_waiting=1) as on:
        on.hq.hold()
        await on.ask("Alpha.")
        await on.until_hq_requests(1)
        assert (await on.ask("Beta.", "msg_2")).status_code == 202
        refused = await on.ask("Gamma.", "msg_3")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
        assert (await on.ask("Beta.", "msg_3")).status_code == 202, "it waits already"


async def test_a_service_that_ends_drops_what_it_makes(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        on.hq.hold()
        await on.ask("Alpha.")
        await on.until_hq_requests(1)


class DumbEngine(FakeEngine):
    def start(self) -> None:
        raise EngineFailed("The fine tone has no voice today.", service="tts")


async def test_the_service_speaks_though_its_hq_engine_does_not(tmp_path: Path) -> None:
    async with house(tmp_path, DumbEngine()) as on, peer_of(on.app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        refused = await on.ask("Alpha.")
        assert (refused.status_code, refused.json()["error"]["message"]) == (503, "The fine tone has no voice today.")
        peer.say("quick", "Hi.")
        assert dones(await peer.until_done("quick")) == {"quick": "completed"}


async def test_an_hq_default_voice_that_nobody_has_is_told(tmp_path: Path) -> None:
    async with house(tmp_path, hq_default_voice="nobody") as on:
        refused = await on.ask("Alpha.")
        assert refused.status_code == 503
        assert refused.json()["error"]["message"].startswith("TTS_HQ_DEFAULT_VOICE cannot speak")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"voice": "nobody"}, 400, "voice"),
        ({"text": ""}, 400, "text"),
        ({"message_id": ""}, 400, "message_id"),
        ({"speed": 9}, 400, "speed"),
    ],
)
async def test_a_wrong_field_is_a_typed_error(
    tmp_path: Path, fields: dict[str, object], status: int, param: str
) -> None:
    async with house(tmp_path) as on:
        refused = await on.client.post("/v1/rerenders", json={"message_id": "m", "text": "Hi.", **fields})
    assert (refused.status_code, refused.json()["error"]["param"]) == (status, param)


async def test_rerenders_without_an_hq_engine_are_refused() -> None:
    async with service(FakeEngine()) as app:
        assert await report(app) == "ready"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tts") as client:
            asked = await client.post("/v1/rerenders", json={"message_id": "m", "text": "Hi."})
            looked = await client.get("/v1/rerenders/0")
    for refused in (asked, looked):
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported")


async def test_the_hq_engine_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    app = build_app(TtsSettings(engine="fake", hq_engine="espeak", hq_dir=tmp_path))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tts")
    wanted = {"message_id": "m", "text": "Hi."}
    with anyio.fail_after(30):
        async with app.router.lifespan_context(app), client:
            while (asked := await client.post("/v1/rerenders", json=wanted)).status_code == 503:
                await checkpoint()
            found = asked.json()
            while found["state"] != "done":
                await checkpoint()
                found = (await client.get(f"/v1/rerenders/{found['id']}")).json()
    assert found["engine"] == "espeak"
    assert found["total_samples"] > 2_400


async def test_a_cancel_of_an_hq_reply_frees_its_slot(tmp_path: Path) -> None:
    async with house(tmp_path) as on, peer_of(on.app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        on.hq.hold()
        peer.say("live", "Beta.", tier="hq")
        while not on.hq.running:
            await checkpoint()
        peer.send(Cancel(reply_id="live"))
        assert dones(await peer.until_done("live")) == {"live": "cancelled"}
        assert on.hq.running == 0

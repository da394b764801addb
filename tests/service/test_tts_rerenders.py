"""What is spoken again is made and stored once, and no fault of an engine, a disk or ours ends the service."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from shared.errors import InternalError
from shared.wire.tts import TtsReady
from tests.support.tts_peer import dones, peer_of, report
from tests.support.tts_tiers import house
from tts_service import durable
from tts_service.app import build_app
from tts_service.core.hq_jobs import MOST_MESSAGES
from tts_service.engines.fake import FakeEngine
from tts_service.hq_part import LABELS
from tts_service.hq_store import HqStore
from tts_service.reply import Manner
from tts_service.rerenders import Rerenders
from tts_service.settings import TtsSettings
from tts_service.tier import Tier
from tts_service.tiered_voices import TieredVoices

pytestmark = [pytest.mark.service, pytest.mark.anyio]


class BrokenEngine(FakeEngine):
    def start(self) -> None:
        raise RuntimeError("Nobody thought of this.")


async def test_an_engine_whose_start_raises_anything_ends_neither_the_service_nor_the_other_one(tmp_path: Path) -> None:
    async with house(tmp_path, BrokenEngine()) as on, peer_of(on.app) as peer:
        assert isinstance(await peer.receive(), TtsReady)
        refused = await on.ask("Alpha.")
        assert refused.status_code == 503
        assert "did not start" in refused.json()["error"]["message"]
        peer.say("quick", "Hi.")
        assert dones(await peer.until_done("quick")) == {"quick": "completed"}


async def test_a_fast_engine_whose_start_raises_anything_lets_the_hq_one_speak(tmp_path: Path) -> None:
    app = build_app(TtsSettings(engine="fake", hq_dir=tmp_path / "hq"), BrokenEngine(), FakeEngine())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tts")
    with anyio.fail_after(30):
        async with app.router.lifespan_context(app), client:
            while (await client.post("/v1/rerenders", json={"message_id": "m", "text": "Hi."})).status_code == 503:
                await checkpoint()
            assert "did not start" in await report(app)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Whoever puts a name on the disk waits until this is set."""
    goes_on, really = threading.Event(), durable.sync

    def sync(folder: Path) -> None:
        goes_on.wait(30)
        really(folder)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync", sync)
        yield goes_on
    goes_on.set()


async def until_stored(folder: Path) -> None:
    """Until something is being put, and waits for the disk."""
    while not is_being_put(folder):
        await checkpoint()


def is_being_put(folder: Path) -> bool:
    return any(folder.glob(f"hq/{durable.PREFIX}*/{LABELS}"))


async def test_what_is_asked_for_again_while_it_is_stored_is_made_once(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    async with house(tmp_path, hq_slots=4) as on:
        key = (await on.ask("Alpha.")).json()["id"]
        await until_stored(tmp_path)
        await on.ask("Beta.")
        again = (await on.ask("Alpha.")).json()
        assert (again["id"], again["state"]) == (key, "waiting")
        await on.ask("Gamma.", "msg_2")
        while "Gamma." not in on.hq_texts() or on.hq.running:
            await checkpoint()
        slow_disk.set()
        await on.until("done", key)
        sound = await on.client.get(f"/v1/rerenders/{key}/audio")
        assert sound.status_code == 200
        assert on.hq_texts().count("Alpha.") == 1


async def test_what_is_deleted_while_it_is_stored_is_gone_when_it_is_stored(
    tmp_path: Path, slow_disk: threading.Event
) -> None:
    async with house(tmp_path) as on:
        key = (await on.ask("Alpha.")).json()["id"]
        await until_stored(tmp_path)
        assert (await on.client.delete(f"/v1/rerenders/{key}")).status_code == 200
        slow_disk.set()
        other = (await on.ask("Beta.")).json()["id"]
        await on.until("done", other)
        assert [path.name for path in (tmp_path / "hq").iterdir()] == [other]


async def test_a_disk_that_keeps_what_was_dropped_while_it_was_stored_does_not_end_the_service(
    tmp_path: Path, slow_disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(5, "The disk is stubborn.")

    async with house(tmp_path) as on:
        key = (await on.ask("Alpha.")).json()["id"]
        await until_stored(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "drop_folder", refuse)
            await on.client.delete(f"/v1/rerenders/{key}")
            slow_disk.set()
            other = (await on.ask("Beta.")).json()["id"]
            await on.until("done", other)
        assert (await on.client.get(f"/v1/rerenders/{key}")).status_code == 404
        assert (await on.client.delete(f"/v1/rerenders/{key}")).status_code == 200
        assert [path.name for path in (tmp_path / "hq").iterdir()] == [other]


class FaultyStore(HqStore):
    def part(self, sample_rate: int) -> NoReturn:
        raise RuntimeError("Nobody thought of this.")


async def test_a_fault_of_ours_fails_one_job_alone(tmp_path: Path) -> None:
    voices = TieredVoices(TtsSettings(), FakeEngine())
    tier = Tier("hq", TtsSettings(), FakeEngine(), 1, voices)
    rerenders = Rerenders(tier, 1, FaultyStore(tmp_path, 1024**2), 8)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rerenders.run)
            for text in ("Alpha.", "Beta."):
                key = rerenders.ask("msg", text, Manner("en", None, 1.0, tier="hq"))
                while rerenders.state(key) != "failed":
                    await checkpoint()
                assert isinstance(rerenders.failure(key), InternalError)
            tasks.cancel_scope.cancel()


async def test_speech_that_is_too_long_to_be_kept_is_not_made_to_its_end(tmp_path: Path) -> None:
    async with house(tmp_path, hq_bytes=1024**2) as on:  # 22 s
        key = (await on.ask("This sentence takes a while to be said. " * 30)).json()["id"]  # 47 s
        failed = await on.until("failed", key)
        assert failed["error"]["code"] == "message_too_large"
        assert 10 < len(on.hq.requests) < 20
        await on.until("done", (await on.ask("Alpha.")).json()["id"])
        assert len(list((tmp_path / "hq").iterdir())) == 1


async def test_a_text_whose_speech_cannot_be_kept_is_refused_before_it_is_made(tmp_path: Path) -> None:
    async with house(tmp_path, hq_bytes=1024**2) as on:
        text = "This sentence takes a while to be said. " * 50  # 27 s at a speed that nobody reaches
        refused = await on.ask(text)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "message_too_large")
        assert (await on.ask(text, speed=4.0)).status_code == 202
        await on.client.delete(f"/v1/rerenders/{(await on.ask(text, speed=4.0)).json()['id']}")


async def test_only_so_many_messages_may_want_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as on:
        on.hq.hold()
        for place in range(MOST_MESSAGES):
            assert (await on.ask("Alpha.", f"msg_{place}")).status_code == 202
        refused = await on.ask("Alpha.", "one more")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")


async def test_the_end_of_the_service_does_not_hide_what_ended_it(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with house(tmp_path):
            raise ValueError("Nobody thought of this.")
    assert raised.group_contains(ValueError)

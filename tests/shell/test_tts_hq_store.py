"""What was spoken again is kept whole or not at all, within its bytes, and goes with the voice that spoke it."""

import json
import os
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import InternalError, InvalidMessage
from tests.support.voices import recording
from tts_service import durable
from tts_service.audio import silence
from tts_service.engines.fake import FakeEngine
from tts_service.hq_store import LABELS, SOUND, HqStore, RenderedSegment, Rendering
from tts_service.settings import TtsSettings
from tts_service.synthesiser import Synthesiser
from tts_service.voice_form import Wanted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

RATE = 8_000
LIMIT_BYTES = 100_000
PCM = silence(1_000, RATE)  # 16 kB


def key(letter: str) -> str:
    return letter * 64


def rendering(letter: str, revision: str = "", pcm: bytes = PCM) -> Rendering:
    segments = (RenderedSegment(text="Hi.", start_samples=0), RenderedSegment(text="你好。", start_samples=80))
    return Rendering(
        id=key(letter),
        engine="fake",
        revision=revision,
        sample_rate=RATE,
        total_samples=len(pcm) // 2,
        segments=segments,
    )


async def loaded(folder: Path, limit_bytes: int = LIMIT_BYTES) -> HqStore:
    store = HqStore(folder / "hq", limit_bytes)
    await store.load()
    return store


def kept(store: HqStore, letters: str) -> str:
    return "".join(letter for letter in letters if store.find(key(letter)))


async def test_what_is_kept_is_found_also_after_a_start(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await store.put(rendering("a"), PCM)
    for one in (store, await loaded(tmp_path)):
        assert one.find(key("a")) == rendering("a")
        assert one.find(key("b")) is None
        with wave.open(str(one.sound(key("a")))) as file:
            assert (file.getframerate(), file.readframes(file.getnframes())) == (RATE, PCM)
    assert (tmp_path / "hq" / key("a") / LABELS).stat().st_mode & 0o777 == 0o600


async def test_the_least_recently_used_goes_for_the_next(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    for letter in "abcde":
        await store.put(rendering(letter), PCM)
    assert kept(store, "bcdea") == "bcdea"  # and a was used last
    await store.put(rendering("f"), PCM)
    await store.put(rendering("0"), PCM)
    assert kept(store, "abcdef0") == "acdef0"
    assert sorted(path.name[0] for path in (tmp_path / "hq").iterdir()) == ["0", "a", "c", "d", "e", "f"]


async def test_a_smaller_limit_counts_from_the_start_on(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    for at, letter in enumerate("abc"):
        await store.put(rendering(letter), PCM)
        os.utime(tmp_path / "hq" / key(letter), ns=(at, at))
    assert kept(await loaded(tmp_path, 40_000), "abc") == "bc"


async def test_speech_that_is_longer_than_all_that_may_be_kept_is_refused(tmp_path: Path) -> None:
    store = await loaded(tmp_path, 10_000)
    with pytest.raises(InternalError):
        await store.put(rendering("a"), PCM)
    assert not (tmp_path / "hq").exists()


def cut(folder: Path) -> None:
    (folder / SOUND).write_bytes(b"RIFF")


def swap(folder: Path) -> None:
    labels = json.loads((folder / LABELS).read_text())
    (folder / LABELS).write_text(json.dumps({**labels, "id": key("b")}))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        swap,
        lambda folder: (folder / SOUND).unlink(),
        lambda folder: (folder / LABELS).unlink(),
        lambda folder: (folder / LABELS).write_text("{"),
    ],
)
async def test_what_is_damaged_is_thrown_away(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    store = await loaded(tmp_path)
    await store.put(rendering("a"), PCM)
    damage(tmp_path / "hq" / key("a"))
    (tmp_path / "hq" / f"{durable.PREFIX}half").mkdir()
    assert (await loaded(tmp_path)).find(key("a")) is None
    assert list((tmp_path / "hq").iterdir()) == []


async def test_a_disk_that_does_not_take_it_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    (tmp_path / "hq").write_text("no folder")
    with pytest.raises(InternalError):
        await store.put(rendering("a"), PCM)
    assert store.find(key("a")) is None
    assert (await loaded(tmp_path)).find(key("a")) is None


async def test_what_is_gone_already_may_be_dropped(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await store.put(rendering("a"), PCM)
    durable.drop_folder(tmp_path / "hq" / key("a"))
    assert await store.drop(key("a"))
    assert not await store.drop(key("a"))


async def test_a_deleted_voice_takes_along_what_the_hq_engine_made_of_it(tmp_path: Path) -> None:
    settings = TtsSettings(voices_dir=tmp_path / "voices", speakers_dir=tmp_path / "speakers", hq_dir=tmp_path / "hq")
    synthesiser = Synthesiser(settings, FakeEngine(), FakeEngine())
    await synthesiser.voices.load()
    tier, store = synthesiser.tier("hq"), synthesiser.rerenders().store
    anna = await synthesiser.voices.add(Wanted("Anna", "en", "Tell me a story."), recording(4))
    reference = tier.voices.resolve("Anna").reference
    assert reference is not None
    await tier.voices.speakers.of(reference, tier.engine.open_slot())
    await store.put(rendering("a", reference.revision), PCM)
    await store.put(rendering("b"), PCM)
    waits = synthesiser.rerenders().ask("msg", "Hello.", tier.manner("en", "Anna", 1.0, None))
    stays = synthesiser.rerenders().ask("msg 2", "Hello.", tier.manner("en", "tone", 1.0, None))

    await synthesiser.voices.delete(anna.id)
    with pytest.raises(InvalidMessage):
        tier.voices.resolve("Anna")
    assert tier.voices.speakers.in_memory() == []
    assert kept(store, "ab") == "b"
    assert [synthesiser.rerenders().state(one) for one in (waits, stays)] == [None, "waiting"]

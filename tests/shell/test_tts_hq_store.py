"""What was spoken again is kept whole or not at all, within its bytes, and goes with the voice that spoke it."""

import json
import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import InternalError, InvalidMessage, MessageTooLarge, Overloaded
from tests.support.voices import recording
from tts_service import durable
from tts_service.audio import silence
from tts_service.engines.fake import FakeEngine
from tts_service.hq_part import LABELS, SOUND
from tts_service.hq_store import WRITTEN_AT_ONCE_BYTES, HqStore, RenderedSegment, Rendering
from tts_service.settings import TtsSettings
from tts_service.synthesiser import Synthesiser
from tts_service.voice_form import Wanted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

RATE = 8_000
LIMIT_BYTES = 100_000
PCM = silence(1_000, RATE)  # 16 kB
KNOWN = ["anna"]  # revisions


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
    await store.load(lambda: KNOWN)
    return store


async def put(store: HqStore, of: Rendering, pcm: bytes = PCM) -> None:
    async with store.part(RATE) as part:
        await part.add(pcm)
        await part.keep(of)


def kept(store: HqStore, letters: str) -> str:
    return "".join(letter for letter in letters if store.find(key(letter)))


async def test_what_is_kept_is_found_also_after_a_start(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await put(store, rendering("a"))
    for one in (store, await loaded(tmp_path)):
        assert one.find(key("a")) == rendering("a")
        assert one.find(key("b")) is None
        with wave.open(str(one.sound(key("a")))) as file:
            assert (file.getframerate(), file.readframes(file.getnframes())) == (RATE, PCM)
    assert (tmp_path / "hq" / key("a") / LABELS).stat().st_mode & 0o777 == 0o600


async def test_the_least_recently_used_goes_for_the_next(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    for letter in "abcde":
        await put(store, rendering(letter))
    assert kept(store, "bcdea") == "bcdea"  # and a was used last
    await put(store, rendering("f"))
    await put(store, rendering("0"))
    assert kept(store, "abcdef0") == "acdef0"
    assert sorted(path.name[0] for path in (tmp_path / "hq").iterdir()) == ["0", "a", "c", "d", "e", "f"]


async def test_a_smaller_limit_counts_from_the_start_on(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    for at, letter in enumerate("abc"):
        await put(store, rendering(letter))
        os.utime(tmp_path / "hq" / key(letter), ns=(at, at))
    assert kept(await loaded(tmp_path, 40_000), "abc") == "bc"


async def test_speech_that_is_longer_than_all_that_may_be_kept_is_refused(tmp_path: Path) -> None:
    store = await loaded(tmp_path, 10_000)
    with pytest.raises(MessageTooLarge):
        await put(store, rendering("a"))
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
    await put(store, rendering("a"))
    damage(tmp_path / "hq" / key("a"))
    (tmp_path / "hq" / f"{durable.PREFIX}half").mkdir()
    assert (await loaded(tmp_path)).find(key("a")) is None
    assert list((tmp_path / "hq").iterdir()) == []


async def test_a_disk_that_does_not_take_it_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    (tmp_path / "hq").write_text("no folder")
    with pytest.raises(InternalError):
        await put(store, rendering("a"))
    assert store.find(key("a")) is None
    assert (await loaded(tmp_path)).find(key("a")) is None


async def test_what_is_gone_already_may_be_dropped(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await put(store, rendering("a"))
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
    await put(store, rendering("a", reference.revision))
    await put(store, rendering("b"))
    waits = synthesiser.rerenders().ask("msg", "Hello.", tier.manner("en", "Anna", 1.0, None))
    stays = synthesiser.rerenders().ask("msg 2", "Hello.", tier.manner("en", "tone", 1.0, None))

    await synthesiser.voices.delete(anna.id)
    with pytest.raises(InvalidMessage):
        tier.voices.resolve("Anna")
    assert tier.voices.speakers.in_memory() == []
    assert kept(store, "ab") == "b"
    assert [synthesiser.rerenders().state(one) for one in (waits, stays)] == [None, "waiting"]


async def test_without_an_hq_engine_a_deleted_voice_takes_along_what_one_made_of_it_once(tmp_path: Path) -> None:
    settings = TtsSettings(voices_dir=tmp_path / "voices", speakers_dir=tmp_path / "speakers", hq_dir=tmp_path / "hq")
    with_hq = Synthesiser(settings, FakeEngine(), FakeEngine())
    await with_hq.voices.load()
    anna = await with_hq.voices.add(Wanted("Anna", "en", "Tell me a story."), recording(4))
    reference = with_hq.tier("hq").voices.resolve("Anna").reference
    assert reference is not None
    store = with_hq.rerenders().store
    await put(store, rendering("a", reference.revision))
    await put(store, rendering("b"))

    without = Synthesiser(settings, FakeEngine())
    await without.run()
    assert folders(tmp_path) == ["a", "b"]
    await without.voices.delete(anna.id)
    assert folders(tmp_path) == ["b"]
    await without.close()


async def test_what_is_of_a_voice_that_is_known_no_more_goes_at_the_next_start(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    await put(store, rendering("a", "anna"))
    await put(store, rendering("b", "somebody who was deleted"))
    await put(store, rendering("c"))
    assert kept(await loaded(tmp_path), "abc") == "ac"
    assert folders(tmp_path) == ["a", "c"]


async def test_a_voice_that_goes_while_the_folder_is_read_leaves_nothing(tmp_path: Path) -> None:
    await put(await loaded(tmp_path), rendering("a", "anna"))
    known = ["anna"]

    class Slow(HqStore):
        def _read(self) -> tuple[list[tuple[Rendering, int]], dict[str, tuple[str, int]]]:
            found = super()._read()
            known.clear()
            return found

    store = Slow(tmp_path / "hq", LIMIT_BYTES)
    await store.load(lambda: known)
    assert folders(tmp_path) == []


def folders(top: Path) -> list[str]:
    """The letters of what lies there, and the whole name of what is something else."""
    names = sorted(path.name for path in (top / "hq").iterdir())
    return [name[0] if name == key(name[0]) else name for name in names]


async def test_speech_goes_to_the_disk_as_it_is_made_and_is_found_when_it_is_whole(tmp_path: Path) -> None:
    store = HqStore(tmp_path / "hq", 4 * WRITTEN_AT_ONCE_BYTES)
    pcm = bytes(WRITTEN_AT_ONCE_BYTES)
    async with store.part(RATE) as part:
        await part.add(pcm)
        [half] = (tmp_path / "hq").iterdir()
        assert half.name.startswith(durable.PREFIX)
        assert store.find(key("a")) is None
        await part.add(PCM)
        await part.keep(rendering("a", pcm=pcm + PCM))
    with wave.open(str(store.sound(key("a")))) as file:
        assert file.readframes(file.getnframes()) == pcm + PCM
    assert folders(tmp_path) == ["a"]


async def test_what_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    store = HqStore(tmp_path / "hq", 2 * WRITTEN_AT_ONCE_BYTES)
    async with store.part(RATE) as part:
        await part.add(bytes(WRITTEN_AT_ONCE_BYTES))
        assert len(list((tmp_path / "hq").iterdir())) == 1
    assert folders(tmp_path) == []
    await put(store, rendering("a", pcm=bytes(WRITTEN_AT_ONCE_BYTES)), bytes(WRITTEN_AT_ONCE_BYTES))
    assert kept(store, "a") == "a", "and takes no room any more"


async def test_speech_is_refused_at_the_moment_in_which_it_is_too_long(tmp_path: Path) -> None:
    store = await loaded(tmp_path, 40_000)
    await put(store, rendering("a"))
    async with store.part(RATE) as part:
        await part.add(PCM)
        await part.add(PCM)
        with pytest.raises(MessageTooLarge):
            await part.add(PCM)
    assert kept(store, "a") == "a", "nothing went for what cannot be kept"


async def test_all_that_is_made_at_once_keeps_within_the_bytes(tmp_path: Path) -> None:
    store = HqStore(tmp_path / "hq", 2 * WRITTEN_AT_ONCE_BYTES)
    await put(store, rendering("a"))
    async with store.part(RATE) as first, store.part(RATE) as second:
        await first.add(bytes(WRITTEN_AT_ONCE_BYTES))
        with pytest.raises(Overloaded):
            await second.add(bytes(WRITTEN_AT_ONCE_BYTES))
    assert kept(store, "a") == ""


async def test_two_of_one_key_are_written_without_harm_to_each_other(tmp_path: Path) -> None:
    store = await loaded(tmp_path)
    async with store.part(RATE) as first, store.part(RATE) as second:
        for part in (first, second):
            await part.add(PCM)
        for part in (first, second):
            await part.keep(rendering("a"))
    assert (kept(store, "a"), folders(tmp_path)) == ("a", ["a"])


class Stubborn:
    """A disk that lets go of nothing until it is told to, or that lets go of names alone."""

    def __init__(self, patch: pytest.MonkeyPatch, *, half: bool = False) -> None:
        self.is_stubborn = True
        self._half = half
        self._drop = durable.drop_folder
        patch.setattr(durable, "drop_folder", self.drop)

    def drop(self, path: Path) -> None:
        if not self.is_stubborn:
            self._drop(path)
            return
        if self._half:
            path.rename(path.parent / f"{durable.PREFIX}{path.name}")
        raise OSError(5, "The disk is stubborn.")


@pytest.mark.parametrize("half", [False, True])
async def test_what_the_disk_keeps_is_not_found_counts_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    store = await loaded(tmp_path, 40_000)
    disk = Stubborn(monkeypatch, half=half)
    await put(store, rendering("a", "anna"))
    with pytest.raises(InternalError):
        await store.drop(key("a"))
    assert store.find(key("a")) is None
    assert len(folders(tmp_path)) == 1
    if not half:
        with pytest.raises(InternalError):
            await store.drop(key("a"))
        with pytest.raises(InternalError):
            await store.forget("anna")
        with pytest.raises(InternalError, match="stored"):
            await put(store, rendering("a"))
        await put(store, rendering("b"))
        with pytest.raises(InternalError, match="room"):
            await put(store, rendering("c"))
        assert kept(store, "bc") == "b", "what could not make room is kept"
    disk.is_stubborn = False
    await put(store, rendering("d"))
    assert folders(tmp_path) == (["d"] if half else ["b", "d"])
    assert not await store.drop(key("a"))


async def test_what_makes_room_by_half_is_found_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await loaded(tmp_path, 40_000)
    for letter in "ab":
        await put(store, rendering(letter))
    disk = Stubborn(monkeypatch, half=True)
    with pytest.raises(InternalError, match="room"):
        await put(store, rendering("c"))
    assert kept(store, "ab") == "b"
    disk.is_stubborn = False
    await put(store, rendering("c"))
    assert folders(tmp_path) == ["b", "c"]


async def test_a_start_on_a_stubborn_disk_finds_nothing_of_what_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await loaded(tmp_path)
    await put(before, rendering("a", "somebody who was deleted"))
    await put(before, rendering("b"))
    await put(before, rendering("c"))
    cut(tmp_path / "hq" / key("c"))
    disk = Stubborn(monkeypatch)
    store = await loaded(tmp_path, 10_000)
    assert kept(store, "abc") == "b", "which is too much, and is kept until it can go"
    disk.is_stubborn = False
    await put(store, rendering("d", pcm=b""), b"")
    assert folders(tmp_path) == ["d"]


async def test_a_sound_that_the_disk_keeps_is_deleted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = HqStore(tmp_path / "hq", 2 * WRITTEN_AT_ONCE_BYTES)

    def refuse(path: Path) -> None:
        raise OSError(5, "The disk is stubborn.")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        async with store.part(RATE) as part:
            await part.add(bytes(WRITTEN_AT_ONCE_BYTES))
    assert len(folders(tmp_path)) == 1
    await put(store, rendering("a"))
    assert folders(tmp_path) == ["a"]


async def test_nothing_is_thrown_away_while_nobody_knows_the_voices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(await loaded(tmp_path), rendering("a", "anna"))
    settings = TtsSettings(voices_dir=tmp_path / "voices", speakers_dir=tmp_path / "speakers", hq_dir=tmp_path / "hq")

    async def fail() -> None:
        raise RuntimeError("Nobody thought of this.")

    for synthesiser in (Synthesiser(settings, FakeEngine()), Synthesiser(settings, FakeEngine(), FakeEngine())):
        monkeypatch.setattr(synthesiser.voices, "load", fail)
        await synthesiser.run()
        assert "did not start" in await synthesiser.state()
        assert folders(tmp_path) == ["a"]
    assert "did not start" in synthesiser.tier("hq").state

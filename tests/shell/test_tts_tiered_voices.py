"""Voices of a service with two engines: whose names are taken, which may go, and what goes with them."""

from pathlib import Path
from typing import Any

import pytest

from shared.errors import EngineFailed, InternalError, InvalidMessage, NotFound, Unsupported
from tests.support.voices import Folder, everything, recording
from tts_service.engines.base import Capabilities, Voice
from tts_service.engines.fake import FakeEngine
from tts_service.known_voices import Chosen, KnownVoice
from tts_service.settings import TtsSettings
from tts_service.tiered_voices import HqVoices, TieredVoices
from tts_service.voice_form import Wanted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class Fine(FakeEngine):
    """The second engine."""

    capabilities = Capabilities(("en",), (Voice("aria", "en", "Lady Aria"),), 1_000, "whole", can_clone=True)

    def has_voice(self, name: str) -> bool:
        return name == "aria"


class House:
    """The voices of both engines over folders in `top`."""

    def __init__(self, top: Path, **settings: Any) -> None:
        wanted = TtsSettings(
            voices_dir=top / "own", seed_voices_dir=top / "voices", speakers_dir=top / "speakers", **settings
        )
        self.top = top
        self.fast = TieredVoices(wanted, FakeEngine())
        self.hq = HqVoices(wanted, Fine(), self.fast)

    async def load(self) -> "House":
        await self.fast.load()
        await self.hq.load()
        return self

    async def add(self, name: str, level: int = 1_000) -> KnownVoice:
        return await self.fast.add(Wanted(name, "en", "Hello."), recording(level=level))

    async def prepare(self, voice: KnownVoice) -> None:
        """For both engines."""
        assert voice.reference is not None
        for voices in (self.fast, self.hq):
            await voices.speakers.of(voice.reference, FakeEngine().open_slot())

    def copies(self) -> list[str]:
        return everything(self.top / "speakers")


@pytest.fixture
async def house(tmp_path: Path) -> House:
    """One voice of the operator's: en-Ann_woman.wav."""
    Folder(tmp_path).put("en-Ann_woman.wav")
    return await House(tmp_path).load()


TAKEN = [
    "en-Ann_woman",
    "EN-ANN_woman",
    "en-Ann_woman.wav",
    "ｅｎ-Ann_woman．WAV",
    "en-Ann_woman.mp3",
    "Ann",
    "ANN.flac",
]


@pytest.mark.parametrize("name", [*TAKEN, "tone", "TONE.wav", "aria", "ARIA", "lady aria", "Lady Aria.mp3"])
async def test_what_any_voice_of_either_engine_is_called_is_taken(house: House, name: str) -> None:
    with pytest.raises(InvalidMessage, match="choose another name") as refused:
        await house.add(name)
    assert refused.value.param == "name"
    assert house.fast.own.all() == []


async def test_what_an_uploaded_voice_is_called_is_taken(house: House) -> None:
    ben = await house.add("Ben.wav")
    for name in ("ben", "BEN.mp3", ben.id, ben.id.upper()):
        with pytest.raises(InvalidMessage, match="choose another name"):
            await house.add(name)


@pytest.mark.parametrize("name", TAKEN)
async def test_a_voice_of_the_operator_s_that_comes_later_is_meant(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path)
    eve = await (await House(tmp_path).load()).add(name)
    folder.put("en-Ann_woman.wav")
    house = await House(tmp_path, default_voice="en-Ann_woman").load()
    (ann,) = house.fast.folder.all()
    for voices in (house.fast, house.hq):
        for word in ("en-Ann_woman", "EN-ANN_WOMAN", "Ann", "ann", "en-Ann_woman.wav", "/app/voices/en-Ann_woman.wav"):
            assert voices.resolve(word) == Chosen(reference=ann.reference)
        assert voices.resolve(eve.id) == Chosen(reference=eve.reference), "by its id it is heard all the same"
    await house.fast.delete(eve.id)


async def test_a_voice_of_an_engine_that_comes_later_is_meant(tmp_path: Path) -> None:
    house = await House(tmp_path).load()
    eve = await house.fast.own.add(Wanted("aria", "en", "Hello."), recording())
    assert house.hq.resolve("aria") == Chosen("aria")
    assert house.hq.resolve(eve.id).reference is not None


@pytest.mark.parametrize(
    ("setting", "told"), [("default_voice", "TTS_DEFAULT_VOICE"), ("hq_default_voice", "TTS_HQ_DEFAULT_VOICE")]
)
async def test_the_default_voice_of_neither_engine_can_be_deleted(tmp_path: Path, setting: str, told: str) -> None:
    house = await House(tmp_path, **{setting: "BEN"}).load()
    ben, cem = await house.add("Ben"), await house.add("Cem", level=2)
    with pytest.raises(Unsupported, match=f"^{told} names this voice; change it first.$"):
        await house.fast.delete(ben.id)
    await house.fast.delete(cem.id)
    assert [voice.id for voice in house.fast.own.all()] == [ben.id]


async def test_a_default_that_means_the_engine_s_voice_keeps_no_other(tmp_path: Path) -> None:
    house = await House(tmp_path, hq_default_voice="aria").load()
    eve = await house.fast.own.add(Wanted("aria", "en", "Hello."), recording())
    await house.fast.delete(eve.id)


async def test_a_voice_that_shares_its_recording_keeps_what_was_made_of_it(house: House) -> None:
    told = list[str]()

    async def forget(revision: str) -> None:
        told.append(revision)

    house.fast.also_forget.append(forget)
    ben, bob = await house.add("Ben"), await house.add("Bob")
    assert ben.reference is not None
    assert bob.reference is not None
    assert ben.reference.revision == bob.reference.revision
    await house.prepare(ben)
    copies = house.copies()
    await house.fast.delete(ben.id)
    assert (house.copies(), told) == (copies, [])
    assert house.fast.speakers.in_memory() == house.hq.speakers.in_memory() == [bob.reference.revision]
    await house.fast.delete(bob.id)
    assert (house.copies(), told) == ([], [bob.reference.revision])
    assert house.fast.speakers.in_memory() == house.hq.speakers.in_memory() == []


class Keeper:
    """Keeps what it should forget while it is stubborn."""

    def __init__(self, failure: Exception) -> None:
        self.failure: Exception | None = failure
        self.forgot = list[str]()

    async def forget(self, revision: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.forgot.append(revision)


@pytest.mark.parametrize(
    "failure", [PermissionError(), InternalError("The speech could not be deleted."), EngineFailed("It is gone.")]
)
async def test_what_one_keeps_is_forgotten_by_all_others_and_by_the_next_try(house: House, failure: Exception) -> None:
    keeper, willing = Keeper(failure), Keeper(failure)
    willing.failure = None
    house.fast.also_forget[:0] = [keeper.forget, willing.forget]
    ben = await house.add("Ben")
    assert ben.reference is not None
    await house.prepare(ben)
    for _ in range(2):
        with pytest.raises(InternalError, match="delete it once more"):
            await house.fast.delete(ben.id)
        assert house.fast.find(ben.id) is None
        assert not ben.reference.path.exists()
        assert house.copies() == house.fast.speakers.in_memory() == house.hq.speakers.in_memory() == []
        assert ben.reference.revision in willing.forgot
    keeper.failure = None
    await house.fast.delete(ben.id)
    assert keeper.forgot == [ben.reference.revision]
    with pytest.raises(NotFound):
        await house.fast.delete(ben.id)


async def test_a_copy_that_the_disk_keeps_is_told_and_goes_with_the_next_try(house: House) -> None:
    ben = await house.add("Ben")
    await house.prepare(ben)
    copy, _ = sorted((house.top / "speakers").iterdir())  # one of each engine's
    copy.unlink()
    copy.mkdir()
    with pytest.raises(InternalError, match="delete it once more"):
        await house.fast.delete(ben.id)
    assert house.copies() == [copy.name]
    copy.rmdir()
    await house.fast.delete(ben.id)
    assert house.copies() == []


async def test_voices_that_left_something_behind_are_so_many_and_no_more(tmp_path: Path) -> None:
    house = await House(tmp_path, max_voices=1).load()
    house.fast.also_forget.append(Keeper(PermissionError()).forget)
    gone = list[str]()
    for level in (1, 2):
        ben = await house.add("Ben", level)
        gone.append(ben.id)
        with pytest.raises(InternalError):
            await house.fast.delete(ben.id)
    with pytest.raises(NotFound):
        await house.fast.delete(gone[0])
    with pytest.raises(InternalError):
        await house.fast.delete(gone[1])

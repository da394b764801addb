"""Who is meant by what a client calls a voice, what an engine can do with it, and what goes when it goes."""

import logging
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InvalidMessage, NotFound, ParleyError, Unsupported
from tests.support.voices import Folder, Mute, everything, recording
from tts_service import durable
from tts_service.engines.fake import FakeEngine
from tts_service.known_voices import Chosen, KnownVoices
from tts_service.own_voices import RECORDING
from tts_service.settings import TtsSettings
from tts_service.voice_form import Wanted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def know(top: Path, engine: FakeEngine | None = None, **settings: Any) -> KnownVoices:
    wanted = TtsSettings(
        voices_dir=top / "own", seed_voices_dir=top / "voices", speakers_dir=top / "speakers", **settings
    )
    known = KnownVoices(wanted, engine or FakeEngine())
    await known.load()
    return known


@pytest.fixture
async def known(folder: Folder, tmp_path: Path) -> KnownVoices:
    """Xinran and two Annas of the operator's, and what `settings` say."""
    for name in ("zh-Xinran_woman", "en-Anna_woman", "zh-Anna_woman"):
        folder.put(f"{name}.wav")
    return await know(tmp_path)


def test_the_seeds_names_of_the_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICES_DIR", "some/voices")
    monkeypatch.setenv("MAX_CACHE_SIZE", "7")
    settings = TtsSettings.load()
    assert (settings.seed_voices_dir, settings.speaker_cache) == (Path("some/voices"), 7)


async def test_a_voice_is_found_by_its_id_its_name_and_its_file(known: KnownVoices) -> None:
    ben = await known.add(Wanted("Ben", "en", "Hello."), recording())
    assert known.resolve("tone") == Chosen("tone")
    assert known.resolve(ben.id) == known.resolve("Ben") == known.resolve("ben") == Chosen(reference=ben.reference)
    xinran = known.resolve("zh-Xinran_woman")
    assert xinran.reference is not None
    for word in ("Xinran", "xinran", "/app/voices/zh-Xinran_woman.wav", "voices/zh-Xinran_woman.wav"):
        assert known.resolve(word) == xinran


async def test_of_two_of_one_name_the_one_of_the_language_speaks(known: KnownVoices) -> None:
    assert known.resolve("Anna", "zh-CN") == known.resolve("zh-Anna_woman")
    assert known.resolve("Anna", "en") == known.resolve("Anna", "ko") == known.resolve("en-Anna_woman")


@pytest.mark.parametrize(
    "word",
    [
        "",
        "nobody",
        "../../etc/passwd",
        "../voices/zh-Xinran_woman.wav",
        "/etc/passwd",
        "/etc/passwd.wav",
        "zh-Xinran_woman.mp3",
        "..",
        "voi_0000000000000000",
        "\0",
        "zh-Xinran_woman.wav\0.wav",
    ],
)
async def test_a_word_that_means_nobody_is_a_typed_error(known: KnownVoices, word: str) -> None:
    with pytest.raises(InvalidMessage, match="There is no voice called") as refused:
        known.resolve(word)
    assert (refused.value.service, refused.value.param) == ("tts", "voice")


async def test_a_recording_is_of_no_use_to_an_engine_that_cannot_clone(known: KnownVoices, tmp_path: Path) -> None:
    ben = await known.add(Wanted("Ben", "en", "Hello."), recording())
    mute = await know(tmp_path, Mute())
    for word in (ben.id, "Ben", "Xinran", "/app/voices/zh-Xinran_woman.wav"):
        with pytest.raises(Unsupported) as refused:
            mute.resolve(word)
        assert refused.value.param == "voice"
    assert mute.resolve("tone") == Chosen("tone")
    with pytest.raises(Unsupported, match="so a recording cannot be one"):
        mute.check_may_bring()


@pytest.mark.parametrize("name", ["tone", "Tone", "xinran", "zh-Xinran_woman"])
async def test_a_name_that_means_somebody_already_is_taken(known: KnownVoices, name: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        known.check_new(name)
    assert refused.value.param == "name"


async def test_with_a_voice_go_the_speakers_that_were_made_of_it(known: KnownVoices, tmp_path: Path) -> None:
    ben = await known.add(Wanted("Ben", "en", "Hello."), recording())
    assert ben.reference is not None
    slot = FakeEngine().open_slot()
    await known.speakers.of(ben.reference, slot)
    assert everything(tmp_path / "speakers") != []
    await known.delete(ben.id)
    assert (known.speakers.in_memory(), everything(tmp_path / "speakers")) == ([], [])
    with pytest.raises(NotFound):
        await known.speakers.of(ben.reference, slot)


@pytest.mark.parametrize(("voice_id", "code"), [("tone", "unsupported"), ("zh-Xinran_woman", "unsupported")])
async def test_only_what_somebody_brought_can_be_deleted(known: KnownVoices, voice_id: str, code: str) -> None:
    with pytest.raises(ParleyError) as refused:
        await known.delete(voice_id)
    assert refused.value.code == code


async def test_the_default_voice_cannot_be_deleted(known: KnownVoices, tmp_path: Path) -> None:
    ben = await known.add(Wanted("Ben", "en", "Hello."), recording())
    with pytest.raises(Unsupported, match="change it first"):
        await (await know(tmp_path, default_voice="ben")).delete(ben.id)
    await (await know(tmp_path, default_voice="tone")).delete(ben.id)


async def test_speakers_of_voices_that_are_gone_are_dropped_at_the_start(known: KnownVoices, tmp_path: Path) -> None:
    ben = await known.add(Wanted("Ben", "en", "Hello."), recording())
    assert ben.reference is not None
    await known.speakers.of(ben.reference, FakeEngine().open_slot())
    await know(tmp_path)
    assert len(everything(tmp_path / "speakers")) == 1
    durable.drop_folder(tmp_path / "own" / ben.id)
    await know(tmp_path)
    assert everything(tmp_path / "speakers") == []


async def test_nothing_that_people_said_or_are_called_is_logged(
    known: KnownVoices, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ben = await known.add(Wanted("Ben Secret", "en", "My secret words."), recording())
    (tmp_path / "own" / ben.id / RECORDING).unlink()
    await know(tmp_path)
    assert caplog.records
    assert not [record for record in caplog.records if "ecret" in str(vars(record))]

"""The operator's folder of voices: read at the start, named by its files, and never left by a link."""

import os
import wave
from pathlib import Path

import pytest

from tests.support.speech import silence
from tests.support.uploads import encoded, wav
from tests.support.voices import Folder, everything, noisy, spoken, voice_wav
from tts_service import durable
from tts_service.voice_folder import VoiceFolder
from tts_service.voice_form import FILE_LIMIT_BYTES

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_the_operator_s_voices_are_named_by_their_files(folder: Folder) -> None:
    folder.put("zh-Xinran_woman.wav")
    folder.put("zh-Xinran_woman.txt", " 你好。\n世界。".encode())
    folder.put("en-Carter_man.mp3", encoded(spoken(), "mp3"))
    folder.put("en-US-Alice_woman.flac", encoded(spoken(), "flac"))
    alice, carter, xinran = sorted((await folder.load()).all(), key=lambda voice: voice.name)
    assert (xinran.id, xinran.file_name) == ("zh-Xinran_woman", "zh-Xinran_woman.wav")
    assert (xinran.name, xinran.language, xinran.gender) == ("Xinran", "zh", "woman")
    assert (xinran.reference.transcript, xinran.reference.language) == ("你好。 世界。", "zh")
    assert (carter.name, carter.gender, carter.reference.transcript) == ("Carter", "man", "")
    assert (alice.name, alice.language) == ("Alice", "en-us")
    for voice in (alice, carter, xinran):
        with wave.open(str(voice.reference.path), "rb") as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
            assert 3 <= file.getnframes() / 24_000 <= 30


async def test_the_wav_goes_before_other_files_of_a_voice(folder: Folder) -> None:
    folder.put("en-Anna_woman.flac", encoded(spoken(), "flac"))
    folder.put("en-Anna_woman.wav")
    folder.put("en-Anna_woman.mp3", encoded(spoken(), "mp3"))
    assert [voice.file_name for voice in (await folder.load()).all()] == ["en-Anna_woman.wav"]


async def test_what_is_no_voice_is_logged_by_its_name_and_passed_over(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.put("readme.md", b"Voices.")
    folder.put("en-Anna_woman.wav")
    folder.put("Anna.wav")
    folder.put("en-Text_man.wav", b"no sound")
    folder.put("en-Silent_man.wav", wav(silence(5_000)))
    folder.put("en-Short_man.wav", voice_wav(1))
    folder.put("en-Long_man.wav", bytes(FILE_LIMIT_BYTES + 1))
    (folder.path / "en-Folder_man.wav").mkdir()
    os.mkfifo(folder.path / "en-Pipe_man.wav")
    folder.put("en-Wordy_man.wav")
    folder.put("en-Wordy_man.txt", b"word " * 1_000)
    assert await folder.ids() == ["en-Anna_woman"]
    whys = {vars(record)["file"]: vars(record).get("why") for record in caplog.records}
    assert whys["en-Long_man.wav"] == "Its .wav has more than 26,214,400 bytes."
    assert whys["en-Wordy_man.wav"] == "Its .txt has more than 4,000 bytes."
    logged = {vars(record)["file"] for record in caplog.records}
    assert logged == {
        "Anna.wav",
        *(f"en-{name}_man.wav" for name in ("Text", "Silent", "Short", "Long", "Folder", "Pipe", "Wordy")),
    }


async def test_a_link_out_of_the_folder_is_no_voice(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(voice_wav())
    (tmp_path / "secret.txt").write_text("secret words")
    (folder.path / "en-Eve_woman.wav").symlink_to(tmp_path / "secret.wav")
    folder.put("en-Anna_woman.wav")
    (folder.path / "en-Anna_woman.txt").symlink_to(tmp_path / "secret.txt")
    (folder.path / "en-Ann_woman.wav").symlink_to("en-Anna_woman.wav")
    voices = await folder.load()
    assert sorted(voice.name for voice in voices.all()) == ["Ann", "Anna"]
    assert {voice.reference.transcript for voice in voices.all()} == {""}


async def test_an_absent_folder_is_empty_and_a_file_is_none(folder: Folder, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", folder.put("file")):
        voices = VoiceFolder(path, folder.made, 10)
        await voices.load()
        assert voices.all() == []


async def test_so_many_files_are_read_and_no_more(folder: Folder) -> None:
    for name in "ABC":
        folder.put(f"en-{name}_man.wav")
    assert await folder.ids(limit=2) == ["en-A_man", "en-B_man"]


async def test_a_recording_is_made_once_and_goes_when_its_file_changes(folder: Folder) -> None:
    path = folder.put("en-Anna_woman.wav")
    (first,) = (await folder.load()).all()
    stamp = first.reference.path.stat().st_mtime_ns
    (again,) = (await folder.load()).all()
    assert again == first
    assert again.reference.path.stat().st_mtime_ns == stamp
    (folder.made / f"{durable.PREFIX}x").write_bytes(b"half")
    path.write_bytes(voice_wav(6))
    (changed,) = (await folder.load()).all()
    assert changed.reference.revision != first.reference.revision
    assert everything(folder.made) == [changed.reference.path.name]
    path.unlink()
    assert await folder.ids() == []
    assert everything(folder.made) == []


async def test_too_long_a_recording_is_cut_and_keeps_no_transcript(folder: Folder) -> None:
    folder.put("en-Anna_woman.wav", voice_wav(45))
    folder.put("en-Anna_woman.txt", b"Tell me a story.")
    for _ in range(2):
        (anna,) = (await folder.load()).all()
        assert anna.reference.transcript == ""
        assert anna.reference.path.stat().st_size == 44 + 30 * 24_000 * 2


async def test_a_poor_recording_of_the_operator_s_is_taken_and_logged(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.put("en-Anna_woman.wav", wav(noisy(spoken(), 3)))
    assert await folder.ids() == ["en-Anna_woman"]
    assert [record.message for record in caplog.records] == ["a voice of the operator's sounds poor"]


async def test_where_recordings_cannot_be_made_there_are_no_voices(folder: Folder) -> None:
    folder.put("en-Anna_woman.wav")
    folder.made.write_text("no folder")
    assert await folder.ids() == []

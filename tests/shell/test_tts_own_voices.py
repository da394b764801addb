"""The voices that people bring: each is kept whole or not at all, through crashes and full disks, and deleted."""

import json
import os
import wave
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from shared.errors import InternalError, InvalidMessage, NotFound, Overloaded
from tests.support.voices import everything, recording
from tts_service import durable
from tts_service.own_voices import LABELS, RECORDING, OwnVoices
from tts_service.voice_form import Wanted

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANNA = Wanted("Anna", "en", "Tell me a story.")


async def loaded(folder: Path, limit: int = 10) -> OwnVoices:
    voices = OwnVoices(folder / "own", limit)
    await voices.load()
    return voices


async def test_a_voice_is_there_after_a_start(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording(4))
    assert (anna.name, anna.language, anna.transcript, anna.duration_ms) == ("Anna", "en", "Tell me a story.", 4_000)
    again = await loaded(tmp_path)
    assert again.all() == [anna]
    reference = again.reference(anna)
    assert (reference.revision, reference.transcript, reference.language) == (anna.revision, anna.transcript, "en")
    with wave.open(str(reference.path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(file.getnframes()) == recording(4).pcm


async def test_what_is_kept_is_for_nobody_else_and_holds_the_consent(tmp_path: Path) -> None:
    anna = await (await loaded(tmp_path)).add(ANNA, recording())
    folder = tmp_path / "own"
    assert everything(folder) == [anna.id, f"{anna.id}/{RECORDING}", f"{anna.id}/{LABELS}"]
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / anna.id)] == [0o700, 0o700]
    assert [(folder / anna.id / name).stat().st_mode & 0o777 for name in (RECORDING, LABELS)] == [0o600, 0o600]
    labels = json.loads((folder / anna.id / LABELS).read_text())
    assert set(labels) == {"id", "name", "language", "transcript", "revision", "duration_ms", "created", "consent"}
    assert labels["consent"] is True


async def test_the_revision_is_of_the_recording_and_of_what_is_said_in_it(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    one = await voices.add(ANNA, recording(level=1))
    revisions = {
        (await voices.add(Wanted("B", "en", "Tell me a story."), recording(level=2))).revision,
        (await voices.add(Wanted("C", "en", "Something else."), recording(level=1))).revision,
        one.revision,
    }
    assert len(revisions) == 3
    assert (await voices.add(Wanted("D", "zh", "Tell me a story."), recording(level=1))).revision == one.revision


@pytest.mark.parametrize("name", ["Anna", "ANNA", "ａnna"])
async def test_a_name_is_given_once(tmp_path: Path, name: str) -> None:
    voices = await loaded(tmp_path)
    await voices.add(ANNA, recording())
    with pytest.raises(InvalidMessage, match="choose another name"):
        await voices.add(Wanted(name, "zh", "Hello."), recording())


async def test_of_two_uploads_of_one_name_at_once_one_is_kept(tmp_path: Path) -> None:
    voices, outcomes = await loaded(tmp_path), list[str]()

    async def add(wanted: Wanted) -> None:
        try:
            outcomes.append((await voices.add(wanted, recording())).name)
        except InvalidMessage as refused:
            outcomes.append(refused.param or "")

    async with anyio.create_task_group() as tasks:
        for wanted in (ANNA, ANNA, Wanted("Ben", "en", "Hello.")):
            tasks.start_soon(add, wanted)
    assert sorted(outcomes) == ["Anna", "Ben", "name"]
    assert sorted(voice.name for voice in (await loaded(tmp_path)).all()) == ["Anna", "Ben"]


async def test_there_are_so_many_voices_and_no_more(tmp_path: Path) -> None:
    voices, refused = await loaded(tmp_path, limit=3), list[str]()

    async def add(number: int) -> None:
        try:
            await voices.add(Wanted(f"Voice {number}", "en", "Hello."), recording())
        except Overloaded as full:
            refused.append(full.message)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(add, number)
    assert len(voices.all()) == 3
    assert refused == ["There are 3 voices already; delete one first."] * 5
    await voices.delete(voices.all()[0].id)
    await voices.add(ANNA, recording())


async def test_what_a_crash_left_half_written_is_no_voice_and_is_swept_away(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording())
    folder = tmp_path / "own"
    (tmp_path / "outside").mkdir()
    (folder / anna.id).rename(folder / f"{durable.PREFIX}{anna.id}")  # before the rename that makes it a voice
    (folder / f"{durable.PREFIX}voi_1").mkdir()
    (folder / f"{durable.PREFIX}voi_1" / RECORDING).write_bytes(b"half")
    (folder / f"{durable.PREFIX}file").write_bytes(b"half")
    (folder / f"{durable.PREFIX}link").symlink_to(tmp_path / "outside")
    assert (await loaded(tmp_path)).all() == []
    assert everything(tmp_path) == ["outside", "own"]


def spoil(what: str) -> Callable[[Path], object]:
    def rewrite(folder: Path, **fields: object) -> None:
        labels = json.loads((folder / LABELS).read_text())
        (folder / LABELS).write_text(json.dumps(labels | fields))

    return {
        "no labels": lambda folder: (folder / LABELS).unlink(),
        "no recording": lambda folder: (folder / RECORDING).unlink(),
        "half a recording": lambda folder: os.truncate(folder / RECORDING, 1_000),
        "no JSON": lambda folder: (folder / LABELS).write_bytes(b"\x80\x04N."),
        "endless labels": lambda folder: (folder / LABELS).write_text("[" * 100_000),
        "no consent": lambda folder: rewrite(folder, consent=False),
        "another's id": lambda folder: rewrite(folder, id="voi_0000000000000000"),
        "a path for an id": lambda folder: rewrite(folder, id="../../etc"),
        "a link": lambda folder: (folder.rename(folder.parent / "real"), folder.symlink_to(folder.parent / "real")),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "no labels",
        "no recording",
        "half a recording",
        "no JSON",
        "endless labels",
        "no consent",
        "another's id",
        "a path for an id",
        "a link",
    ],
)
async def test_a_stored_voice_that_is_damaged_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    voices = await loaded(tmp_path)
    anna, ben = await voices.add(ANNA, recording()), await voices.add(Wanted("Ben", "en", "Hello."), recording())
    spoil(what)(tmp_path / "own" / anna.id)
    assert (await loaded(tmp_path)).all() == [ben]
    assert [record.message for record in caplog.records] == ["a stored voice is damaged"]


async def test_a_disk_that_takes_nothing_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("no folder")
    voices = OwnVoices(tmp_path / "own", 10)
    await voices.load()
    with pytest.raises(InternalError, match="could not be stored"):
        await voices.add(ANNA, recording())
    assert voices.all() == []
    (tmp_path / "own").unlink()
    await voices.add(ANNA, recording())


async def test_half_a_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.put_folder(tmp_path / "voi_1", {RECORDING: b"whole", "no/such/place": b""})
    assert everything(tmp_path) == []
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        durable.replace(tmp_path / "taken", b"whole", "1")
    assert everything(tmp_path) == ["taken"]


async def test_a_cancelled_upload_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await voices.add(ANNA, recording())
    assert (await loaded(tmp_path)).all() == voices.all()
    assert not [name for name in everything(tmp_path) if durable.PREFIX in name]


async def test_a_deleted_voice_is_gone(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording())
    assert await voices.delete(anna.id) == anna
    assert everything(tmp_path / "own") == []
    assert voices.find("Anna") is voices.find(anna.id) is None
    with pytest.raises(NotFound):
        await voices.delete(anna.id)


async def test_a_voice_whose_folder_is_gone_can_be_deleted(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording())
    durable.drop_folder(tmp_path / "own" / anna.id)
    await voices.delete(anna.id)
    assert voices.all() == []


async def test_a_deletion_that_was_broken_off_is_ended_by_the_next_one(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording())
    (tmp_path / "own" / anna.id).rename(tmp_path / "own" / f"{durable.PREFIX}{anna.id}")
    await voices.delete(anna.id)
    assert everything(tmp_path / "own") == []


async def test_a_disk_that_keeps_a_voice_is_told_and_the_voice_stays(tmp_path: Path) -> None:
    voices = await loaded(tmp_path)
    anna = await voices.add(ANNA, recording())
    (tmp_path / "own" / f"{durable.PREFIX}{anna.id}" / "in the way").mkdir(parents=True)
    with pytest.raises(InternalError, match="could not be deleted"):
        await voices.delete(anna.id)
    assert voices.all() == [anna]

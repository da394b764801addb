"""The audio of turns: rows on every database, and the files that they name."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from gateway import kept_audio_files
from gateway.store import Store, open_store
from gateway.turn_audio import TurnAudio
from tests.support.databases import KINDS, empty_database
from tests.support.kept import NOON, files_in, kept, sound

pytestmark = [pytest.mark.contract, pytest.mark.anyio]


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with empty_database(request.param, tmp_path) as address:
        yield address


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(url, tmp_path / "audio") as opened:
        await opened.add_turn("ses_1", "ann", kept("trn_1"))
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audio"


def grow_old(folder: Path) -> None:
    """Let everything have lain there for longer than anybody takes to refer to it."""
    for path in folder.rglob("aud_*"):
        os.utime(path, (NOON.timestamp() - 2 * kept_audio_files.STRAY_S,) * 2)


async def test_audio_comes_back_whole_after_a_restart(url: str, folder: Path) -> None:
    async with open_store(url, folder) as store:
        await store.add_turn("ses_1", "ann", kept("trn_1"))
        assert await store.audio.get("trn_1") is None
        assert await store.audio.put("trn_1", sound())
    grow_old(folder)
    async with open_store(url, folder) as store:
        assert await store.audio.get("trn_1") == sound()
        assert [turn["audio"] for turn in await store.turns("ses_1") or []] == ["fast"]


async def test_better_audio_takes_the_place_with_its_offsets_and_the_old_file_goes(store: Store, folder: Path) -> None:
    await store.audio.put("trn_1", sound(b"fast"))
    assert await store.audio.put("trn_1", sound(b"better", "hq", (0, 450)))

    assert await store.audio.get("trn_1") == sound(b"better", "hq", (0, 450))
    assert list(files_in(folder).values()) == [b"better"]


async def test_what_was_rendered_in_high_quality_is_never_replaced_by_less(store: Store, folder: Path) -> None:
    await store.audio.put("trn_1", sound(b"better", "hq"))
    assert not await store.audio.put("trn_1", sound(b"late"))

    assert await store.audio.get("trn_1") == sound(b"better", "hq")
    assert list(files_in(folder).values()) == [b"better"]
    assert await store.audio.put("trn_1", sound(b"again", "hq"))
    assert list(files_in(folder).values()) == [b"again"]


async def test_a_turn_that_is_not_kept_has_no_audio(store: Store, folder: Path) -> None:
    assert not await store.audio.put("trn_nobody", sound())
    assert not await store.audio.remove("trn_nobody")
    assert files_in(folder) == {}


async def test_audio_is_removed_with_its_file(store: Store, folder: Path) -> None:
    await store.audio.put("trn_1", sound())
    assert await store.audio.remove("trn_1")

    assert await store.audio.get("trn_1") is None
    assert files_in(folder) == {}


async def test_of_several_that_come_at_once_one_stays_and_no_file_beside_its_own(
    url: str, store: Store, folder: Path
) -> None:
    contents = [bytes([number]) for number in range(8)]
    async with open_store(url, folder) as other, anyio.create_task_group() as tasks:
        for number, content in enumerate(contents):
            tasks.start_soon((store, other)[number % 2].audio.put, "trn_1", sound(content))
    found = await store.audio.get("trn_1")

    assert found is not None
    assert found.content in contents
    assert list(files_in(folder).values()) == [found.content]


def lose(folder: Path) -> None:
    for path in folder.rglob("aud_*"):
        path.unlink()


class PowerLoss(Exception):
    """Nothing after it happens."""


@pytest.mark.parametrize("step", ["write", "rename", "commit", "remove"])
async def test_a_crash_at_any_step_leaves_the_old_audio_or_the_new_whole_and_what_it_left_is_swept(
    url: str, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise PowerLoss

    await store.audio.put("trn_1", sound(b"old"))
    with monkeypatch.context() as crash:
        if step == "write":
            crash.setattr("os.fsync", fail)
        elif step == "rename":
            crash.setattr(Path, "rename", fail)
        elif step == "commit":
            crash.setattr("gateway.turn_audio._replace", fail)
        else:
            crash.setattr(store.audio.files, "remove", fail)
        with pytest.raises(PowerLoss):
            await store.audio.put("trn_1", sound(b"new", "hq", (0, 450)))

    whole = sound(b"new", "hq", (0, 450)) if step == "remove" else sound(b"old")
    assert await store.audio.get("trn_1") == whole
    assert len(files_in(folder)) == 2
    async with open_store(url, folder):
        assert len(files_in(folder)) == 2  # it may be somebody else's, who is about to refer to it
    grow_old(folder)
    async with open_store(url, folder) as again:
        assert await again.audio.get("trn_1") == whole
    assert list(files_in(folder).values()) == [whole.content]


async def test_a_cancel_keeps_nothing_or_all(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.audio.put("trn_1", sound())
    assert await store.audio.get("trn_1") is None

    await store.audio.put("trn_1", sound(b"old"))
    with anyio.CancelScope() as scope:
        discard = TurnAudio.discard

        async def cancelled(audio: TurnAudio, names: list[str]) -> None:
            scope.cancel()
            await discard(audio, names)

        monkeypatch.setattr(TurnAudio, "discard", cancelled)
        await store.audio.put("trn_1", sound(b"new"))
    assert list(files_in(folder).values()) == [b"new"]


async def test_a_file_that_was_lost_is_as_if_there_were_no_audio(store: Store, folder: Path) -> None:
    await store.audio.put("trn_1", sound())
    lose(folder)

    assert await store.audio.get("trn_1") is None
    assert await store.audio.put("trn_1", sound(b"anew"))
    assert await store.audio.get("trn_1") == sound(b"anew")


async def test_databases_that_share_a_folder_leave_each_other_s_files_alone(store: Store, tmp_path: Path) -> None:
    await store.audio.put("trn_1", sound())
    grow_old(tmp_path)
    async with empty_database("sqlite", tmp_path / "other") as url, open_store(url, tmp_path / "audio"):
        pass

    assert await store.audio.get("trn_1") == sound()

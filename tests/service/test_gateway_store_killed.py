"""A gateway that is killed while it writes leaves a store that is whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.kept_audio_files import STRAY_S
from gateway.store import open_store
from shared import clock
from tests.support.house_processes import TOP
from tests.support.kept import files_in

pytestmark = [pytest.mark.service, pytest.mark.anyio]


def write_until_killed(url: str, folder: Path, commits: int) -> int:
    """The last number of which it was said that it is kept."""
    command = [sys.executable, "-m", "tests.support.busy_keeper", url, str(folder)]
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        for _ in range(commits):
            keeper.stdout.readline()
        keeper.kill()
        return [commits - 1, *map(int, keeper.stdout.read().split())][-1]


def grow_old(folder: Path) -> None:
    for path in folder.rglob("aud_*"):
        os.utime(path, (clock.today().timestamp() - 2 * STRAY_S,) * 2)


@pytest.mark.parametrize("commits", [1, 7, 20])
async def test_what_was_said_to_be_kept_is_there_and_whole_after_a_kill(tmp_path: Path, commits: int) -> None:
    url, folder = f"sqlite:///{tmp_path}/t.db", tmp_path / "audio"
    last = write_until_killed(url, folder, commits)
    grow_old(folder)
    async with open_store(url, folder) as store:
        turns = await store.turns("ses_1") or []
        found = await store.search("number", "ann", 10_000, 0)
        audio = await store.audio.get("trn_0")

    numbers = [int(turn["turn_id"].removeprefix("trn_")) for turn in turns]
    assert numbers == list(range(len(numbers)))
    assert last + 1 <= len(numbers) <= last + 2  # one may be kept of which nothing was said yet
    assert [turn["turn_id"] for turn in found] == [turn["turn_id"] for turn in reversed(turns)]
    assert audio is not None
    assert int(audio.content) == audio.offsets_ms[1]
    assert int(audio.content) in (last, last + 1)
    assert list(files_in(folder).values()) == [audio.content]

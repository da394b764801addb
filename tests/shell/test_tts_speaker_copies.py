"""Copies of prepared speakers on the disk: each of one voice, engine and version, or thrown away."""

from pathlib import Path

import pytest

from tests.support.speaker_copies import copies, files
from tts_service.speaker_copies import LONGEST_BYTES, MAGIC
from tts_service.speakers import Speakers

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


@pytest.mark.parametrize("content", [b"", MAGIC, b"\x80\x04N.", bytes(LONGEST_BYTES + 1_000)])
async def test_a_file_that_is_no_copy_is_thrown_away(tmp_path: Path, content: bytes) -> None:
    kept = copies(tmp_path)
    kept.write("a", b"prepared")
    (copy,) = files(tmp_path)
    copy.write_bytes(content)
    assert kept.read("a") is None
    assert files(tmp_path) == []


async def test_a_copy_of_one_voice_is_none_of_another(tmp_path: Path) -> None:
    kept = copies(tmp_path)
    kept.write("a", b"of a")
    (of_a,) = files(tmp_path)
    kept.write("b", b"of b")
    (of_b,) = {*files(tmp_path)} - {of_a}
    of_b.write_bytes(of_a.read_bytes())
    assert kept.read("b") is None


async def test_the_oldest_copies_make_room(tmp_path: Path) -> None:
    kept = copies(tmp_path, limit_bytes=1_500)
    for revision in "abcd":
        kept.write(revision, bytes(600))
    assert [kept.read(revision) is not None for revision in "abcd"] == [False, False, True, True]


async def test_copies_of_voices_that_are_gone_are_dropped_at_the_start(tmp_path: Path) -> None:
    kept = copies(tmp_path)
    for revision in "abc":
        kept.write(revision, b"prepared")
    (tmp_path / "speakers" / ".part-spk_1").write_bytes(b"half")
    await Speakers(kept).keep_only(iter(["b"]))
    assert [kept.read(revision) for revision in "abc"] == [None, b"prepared", None]
    assert len(files(tmp_path)) == 1
    await Speakers().keep_only(["b"])


async def test_a_damaged_copy_that_the_disk_keeps_is_passed_over(tmp_path: Path) -> None:
    kept = copies(tmp_path)
    kept.write("a", b"prepared")
    (copy,) = files(tmp_path)
    copy.write_bytes(b"damaged")

    def refuse(_: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert kept.read("a") is None

"""The journal of a session: what was written is read, and what is torn is passed over."""

from pathlib import Path

import pytest

from gateway.core.records import Noted, Opened, Spoken, Told, encode
from gateway.journal import Journal, path_of, read

pytestmark = pytest.mark.shell

OPENED = Opened("ses_1", "somebody", "secret", "binary")
READY = Told('{"type": "ready", "seq": 1}')


def written(path: Path) -> Journal:
    journal = Journal(path)
    journal.put(OPENED)
    journal.put(READY)
    journal.write()
    return journal


def test_what_was_put_in_is_there_after_it_was_written_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "ses_1.journal"
    journal = Journal(path)
    journal.put(OPENED)
    assert read(path) is None
    journal.write()
    trace = read(path)

    assert trace is not None
    assert trace.opened == OPENED
    assert (path.stat().st_mode & 0o777, journal.bytes) == (0o600, path.stat().st_size)
    journal.close(remove=True)
    assert not path.exists()


@pytest.mark.parametrize("missing", [1, 5, 30])
def test_a_torn_end_is_passed_over(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "ses_1.journal"
    written(path).close(remove=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    trace = read(path)

    assert trace is not None
    assert (trace.opened, trace.seq) == (OPENED, 0)


def test_from_a_record_that_is_none_on_nothing_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ses_1.journal"
    written(path).close(remove=False)
    whole = path.read_bytes()
    at = whole.index(encode(READY))
    path.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    trace = read(path)

    assert trace is not None
    assert trace.seq == 0


def test_another_one_goes_on_writing_where_the_first_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "ses_1.journal"
    written(path).close(remove=False)
    journal = Journal(path)
    journal.put(Told('{"type": "pong", "seq": 2}'))
    journal.close(remove=False)
    trace = read(path)

    assert trace is not None
    assert trace.seq == 2


def test_a_journal_that_is_begun_anew_holds_what_is_worth_keeping(tmp_path: Path) -> None:
    path = tmp_path / "ses_1.journal"
    journal = written(path)
    for _ in range(100):
        journal.put(Spoken(bytes(1_000)))
    journal.write()
    journal.begin_anew([OPENED, Noted("wants", {"next": "a"})])
    journal.put(Noted("wants", {"next": "b"}))
    journal.close(remove=False)
    trace = read(path)

    assert trace is not None
    assert (trace.opened, trace.wants, trace.spoken) == (OPENED, {"next": "b"}, [])
    assert [one.name for one in tmp_path.iterdir()] == ["ses_1.journal"]


def test_a_disk_that_takes_nothing_ends_the_writing_alone(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_text("in the way")
    journal = Journal(tmp_path / "sessions" / "ses_1.journal")
    journal.put(OPENED)
    journal.write()
    journal.begin_anew([OPENED])
    journal.close(remove=False)

    assert journal.bytes == 0


def test_without_a_path_nothing_is_written() -> None:
    journal = Journal(None)
    journal.put(OPENED)
    journal.write()
    journal.begin_anew([OPENED])
    journal.close(remove=True)
    assert journal.bytes == 0


@pytest.mark.parametrize("name", ["../ses_1", "", "ses/1", "ses_1.journal"])
def test_a_name_that_is_no_sessions_has_no_journal(tmp_path: Path, name: str) -> None:
    assert path_of(tmp_path, name) is None

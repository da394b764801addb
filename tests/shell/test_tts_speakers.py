"""Prepared speakers: once for all who ask, bounded in memory, checked on the disk, forgotten when they are deleted."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from shared.errors import EngineFailed, NotFound
from shared.metrics import TTS_SPEAKERS
from tests.support.speaker_copies import copies, files
from tts_service.engines.base import Reference, Speaker
from tts_service.engines.fake import FakeEngine, FakeSlot
from tts_service.speaker_copies import DIGEST_BYTES, LONGEST_BYTES, MAGIC, SpeakerCopies
from tts_service.speakers import Speakers

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class Preparer(FakeSlot):
    """A slot that waits before it prepares until it may, and then does what the test says."""

    def __init__(self, make: Callable[[Reference], bytes] | None = None, *, waits: bool = False) -> None:
        self.engine = FakeEngine()
        super().__init__(self.engine)
        self._make = make
        self.gate = threading.Event()
        self.began = threading.Event()
        if not waits:
            self.gate.set()

    def prepare(self, reference: Reference) -> bytes:
        self.began.set()
        assert self.gate.wait(10), "the test lets it go"
        prepared = super().prepare(reference)
        return self._make(reference) if self._make else prepared

    @property
    def count(self) -> int:
        return len(self.engine.prepared)

    async def has_begun(self) -> None:
        while not self.began.is_set():
            await checkpoint()


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], Reference]:
    """References whose recordings are there."""

    def reference(revision: str) -> Reference:
        path = tmp_path / f"{revision}.wav"
        path.write_bytes(b"")
        return Reference(revision, path, "Hello.", "en")

    return reference


Recorded = Callable[[str], Reference]


async def test_a_speaker_is_prepared_once(recorded: Recorded) -> None:
    speakers, slot = Speakers(), Preparer()
    before = TTS_SPEAKERS.labels("memory")._value.get()
    assert await speakers.of(recorded("a"), slot) == Speaker("a", b"a")
    assert await speakers.of(recorded("a"), slot) == Speaker("a", b"a")
    assert slot.count == 1
    assert speakers.found == {"memory": 1, "disk": 0, "prepared": 1}
    assert TTS_SPEAKERS.labels("memory")._value.get() == before + 1


async def test_the_least_recently_used_one_leaves_the_memory(recorded: Recorded) -> None:
    speakers, slot = Speakers(most=2), Preparer()
    for revision in "abac":
        await speakers.of(recorded(revision), slot)
    assert speakers.in_memory() == ["a", "c"]
    await speakers.of(recorded("b"), slot)
    assert slot.count == 4


async def test_the_memory_is_bounded_in_bytes_and_holds_one_at_least(recorded: Recorded) -> None:
    speakers = Speakers(limit_bytes=100)
    slot = Preparer(lambda reference: bytes(10 * len(reference.revision)))
    for revision in ("aaaa", "bbbb", "cccc"):
        await speakers.of(recorded(revision), slot)
    assert (speakers.in_memory(), speakers.memory_bytes()) == (["bbbb", "cccc"], 80)
    await speakers.of(recorded("d" * 20), slot)
    assert (speakers.in_memory(), speakers.memory_bytes()) == (["d" * 20], 200)


async def test_two_who_ask_at_once_wait_for_one_preparation(recorded: Recorded) -> None:
    speakers, slot, other = Speakers(), Preparer(waits=True), Preparer()
    reference, told = recorded("a"), list[Speaker]()

    async def ask(slot: Preparer) -> None:
        told.append(await speakers.of(reference, slot))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, slot)
        await slot.has_begun()
        tasks.start_soon(ask, other)
        await wait_all_tasks_blocked()
        slot.gate.set()
    assert told == [Speaker("a", b"a")] * 2
    assert (slot.count, other.count) == (1, 0)


async def test_a_failure_is_told_to_all_who_wait_and_the_next_one_tries_again(recorded: Recorded) -> None:
    def fail(_: Reference) -> bytes:
        raise EngineFailed("It is no voice.", service="tts")

    speakers, slot, other = Speakers(), Preparer(fail, waits=True), Preparer()
    reference, failures = recorded("a"), list[str]()

    async def ask(slot: Preparer) -> None:
        try:
            await speakers.of(reference, slot)
        except EngineFailed as failure:
            failures.append(failure.message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, slot)
        await slot.has_begun()
        tasks.start_soon(ask, other)
        await wait_all_tasks_blocked()
        slot.gate.set()
    assert failures == ["It is no voice."] * 2
    assert (await speakers.of(reference, other)).prepared == b"a"


async def test_a_fault_of_an_adapter_is_raised_to_its_caller_and_the_next_one_tries_itself(recorded: Recorded) -> None:
    def break_down(_: Reference) -> bytes:
        raise ZeroDivisionError

    speakers, slot, other = Speakers(), Preparer(break_down, waits=True), Preparer()
    reference, told = recorded("a"), list[object]()

    async def ask(slot: Preparer, failure: AbstractContextManager[Any]) -> None:
        with failure:
            told.append(await speakers.of(reference, slot))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, slot, pytest.raises(ZeroDivisionError))
        await slot.has_begun()
        tasks.start_soon(ask, other, nullcontext())
        await wait_all_tasks_blocked()
        slot.gate.set()
    assert told == [Speaker("a", b"a")]


async def test_a_cancel_of_the_one_who_prepares_fails_nobody_else(recorded: Recorded) -> None:
    speakers, slot, other = Speakers(), Preparer(waits=True), Preparer()
    reference, told = recorded("a"), list[Speaker]()
    leaver = anyio.CancelScope()

    async def leave() -> None:
        with leaver:
            await speakers.of(reference, slot)
            await checkpoint()

    async def ask() -> None:
        told.append(await speakers.of(reference, other))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)
        await slot.has_begun()
        tasks.start_soon(ask)
        await wait_all_tasks_blocked()
        leaver.cancel()
        slot.gate.set()
    assert leaver.cancelled_caught
    assert told == [Speaker("a", b"a")]
    assert slot.count + other.count == 1


async def test_a_cancel_before_the_preparation_leaves_it_to_the_next_one(recorded: Recorded) -> None:
    speakers, slot, other = Speakers(), Preparer(), Preparer()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await speakers.of(recorded("a"), slot)
    assert (await speakers.of(recorded("a"), other)).prepared == b"a"
    assert (slot.count, other.count) == (0, 1)


async def test_a_cancel_of_one_who_waits_changes_nothing(recorded: Recorded) -> None:
    speakers, slot = Speakers(), Preparer(waits=True)
    reference, told = recorded("a"), list[Speaker]()

    async def ask() -> None:
        told.append(await speakers.of(reference, slot))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await slot.has_begun()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await speakers.of(reference, Preparer())
        slot.gate.set()
    assert told == [Speaker("a", b"a")]


async def test_a_copy_on_the_disk_spares_the_preparation_after_a_start(tmp_path: Path, recorded: Recorded) -> None:
    first, second = Preparer(), Preparer()
    await Speakers(copies(tmp_path)).of(recorded("a"), first)
    (copy,) = files(tmp_path)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    started = Speakers(copies(tmp_path))
    assert (await started.of(recorded("a"), second)).prepared == b"a"
    assert (first.count, second.count) == (1, 0)
    assert started.found == {"memory": 0, "disk": 1, "prepared": 0}


async def test_another_version_of_the_engine_prepares_anew(tmp_path: Path, recorded: Recorded) -> None:
    slot = Preparer()
    await Speakers(copies(tmp_path, "1")).of(recorded("a"), slot)
    await Speakers(copies(tmp_path, "2")).of(recorded("a"), slot)
    assert slot.count == 2
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("at", [0, len(MAGIC), len(MAGIC) + DIGEST_BYTES, -1])
async def test_a_copy_that_was_changed_never_reaches_an_engine(tmp_path: Path, recorded: Recorded, at: int) -> None:
    slot = Preparer(lambda _: b"prepared")
    await Speakers(copies(tmp_path)).of(recorded("a"), slot)
    (copy,) = files(tmp_path)
    content = bytearray(copy.read_bytes())
    content[at] ^= 1
    copy.write_bytes(content)
    assert (await Speakers(copies(tmp_path)).of(recorded("a"), slot)).prepared == b"prepared"
    assert slot.count == 2
    assert copies(tmp_path).read("a") == b"prepared", "the sound copy took its place"


async def test_too_large_a_speaker_is_kept_in_memory_alone(tmp_path: Path, recorded: Recorded) -> None:
    speakers = Speakers(copies(tmp_path))
    await speakers.of(recorded("a"), Preparer(lambda _: bytes(LONGEST_BYTES + 1)))
    assert (files(tmp_path), speakers.in_memory()) == ([], ["a"])


async def test_a_disk_that_takes_nothing_costs_the_copy_alone(tmp_path: Path, recorded: Recorded) -> None:
    (tmp_path / "speakers").write_text("no folder")
    speakers = Speakers(copies(tmp_path))
    assert (await speakers.of(recorded("a"), Preparer())).prepared == b"a"
    await speakers.keep_only([])


async def test_what_is_forgotten_is_nowhere(tmp_path: Path, recorded: Recorded) -> None:
    speakers, slot = Speakers(copies(tmp_path)), Preparer()
    for revision in "ab":
        await speakers.of(recorded(revision), slot)
    copies(tmp_path, "2").write("a", b"of another version")
    await speakers.forget("a")
    assert speakers.in_memory() == ["b"]
    assert len(files(tmp_path)) == 1
    assert [copies(tmp_path).read(revision) for revision in "ab"] == [None, b"b"]


async def test_what_is_forgotten_while_it_is_prepared_is_kept_nowhere(tmp_path: Path, recorded: Recorded) -> None:
    speakers, slot, reference = Speakers(copies(tmp_path)), Preparer(waits=True), recorded("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speakers.of, reference, slot)
        await slot.has_begun()
        await speakers.forget("a")
        slot.gate.set()
    assert (speakers.in_memory(), files(tmp_path)) == ([], [])


async def test_a_voice_that_comes_back_while_the_old_one_is_prepared_is_kept(
    tmp_path: Path, recorded: Recorded
) -> None:
    speakers, slot, reference = Speakers(copies(tmp_path)), Preparer(waits=True), recorded("a")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speakers.of, reference, slot)
        await slot.has_begun()
        await speakers.forget("a")
        await speakers.of(reference, Preparer())
        slot.gate.set()
    assert speakers.in_memory() == ["a"]
    assert len(files(tmp_path)) == 1


async def test_a_voice_whose_recording_is_gone_is_deleted(tmp_path: Path, recorded: Recorded) -> None:
    speakers, slot, reference = Speakers(copies(tmp_path)), Preparer(), recorded("a")
    await speakers.of(reference, slot)
    reference.path.unlink()
    assert (await speakers.of(reference, slot)).prepared == b"a", "nobody forgot it"
    await speakers.forget("a")
    with pytest.raises(NotFound, match="The voice was deleted"):
        await speakers.of(reference, slot)
    assert slot.count == 1


async def test_a_recording_that_goes_while_it_is_read_was_deleted(recorded: Recorded) -> None:
    def read(reference: Reference) -> bytes:
        reference.path.unlink()
        return reference.path.read_bytes()

    with pytest.raises(NotFound):
        await Speakers().of(recorded("a"), Preparer(read))


async def test_another_failure_of_the_disk_is_the_adapter_s(recorded: Recorded) -> None:
    def read(_: Reference) -> bytes:
        raise PermissionError

    with pytest.raises(PermissionError):
        await Speakers().of(recorded("a"), Preparer(read))


async def test_a_copy_that_the_disk_keeps_does_not_end_the_reply_of_a_deleted_voice(
    tmp_path: Path, recorded: Recorded
) -> None:
    speakers, slot, reference = Speakers(copies(tmp_path)), Preparer(waits=True), recorded("a")
    told = list[Speaker]()

    async def ask() -> None:
        told.append(await speakers.of(reference, slot))

    def refuse(_: SpeakerCopies, __: str) -> None:
        raise PermissionError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await slot.has_begun()
        await speakers.forget("a")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(SpeakerCopies, "forget", refuse)
            slot.gate.set()
            while not told:
                await checkpoint()
    assert told == [Speaker("a", b"a")]


async def test_who_waits_with_the_same_recording_elsewhere_is_not_told_that_it_was_deleted(
    tmp_path: Path, recorded: Recorded
) -> None:
    def read(reference: Reference) -> bytes:
        return reference.path.read_bytes() or b"a"

    speakers, slot, other = Speakers(), Preparer(read, waits=True), Preparer(read)
    first, told = recorded("a"), list[Speaker]()
    twin = Reference("a", tmp_path / "twin.wav", "Hello.", "en")
    twin.path.write_bytes(b"")

    async def ask_first() -> None:
        with pytest.raises(NotFound):
            await speakers.of(first, slot)

    async def ask_twin() -> None:
        told.append(await speakers.of(twin, other))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_first)
        await slot.has_begun()
        tasks.start_soon(ask_twin)
        await wait_all_tasks_blocked()
        first.path.unlink()
        slot.gate.set()
    assert told == [Speaker("a", b"a")]

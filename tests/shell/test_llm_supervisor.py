"""One child process kept alive: with a child in memory for the decisions, with real processes for their ends."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from llm_service.core.restart import BackOffParams
from llm_service.engines import child
from llm_service.engines.supervisor import Process, Supervisor, Vigilance
from llm_service.settings import LlmSettings
from tests.support.llm import sample

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

CHECKOUT = Path(__file__).resolve().parents[2]
QUICK = Vigilance(
    load_timeout_s=30,
    first_look_every_s=0.001,
    look_every_s=0.001,
    strikes=3,
    back_off=BackOffParams(first_s=0.001, longest_s=0.002),
)


class FakeChild:
    """A child whose life the test tells."""

    def __init__(self, number: int, key: str) -> None:
        self.pid = number
        self.key = key
        self.last_words = ["last words"]
        self.was_killed = False
        self.was_told_that_it_serves = False
        self.loaded = anyio.Event()
        self.over = anyio.Event()

    async def address(self) -> str:
        await self.loaded.wait()
        return f"http://child-{self.pid}"

    async def ended(self) -> int:
        await self.over.wait()
        return 7

    def serves(self) -> None:
        self.was_told_that_it_serves = True

    def kill(self) -> None:
        self.was_killed = True
        self.over.set()


class Nursery:
    """Every child that was started, and whether they are healthy."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.is_healthy = True
        self.looks = 0
        self._changed = anyio.Event()

    @asynccontextmanager
    async def spawn(self, key: str) -> AsyncIterator[Process]:
        born = FakeChild(len(self.children) + 1, key)
        self.children.append(born)
        self._tell()
        try:
            yield born
        finally:
            born.over.set()

    async def probe(self, address: str) -> bool:
        self.looks += 1
        self._tell()
        return self.is_healthy

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._changed.wait()

    async def child(self, number: int) -> FakeChild:
        await self.until(lambda: len(self.children) >= number)
        return self.children[number - 1]

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


@asynccontextmanager
async def supervised(vigilance: Vigilance = QUICK) -> AsyncIterator[tuple[Supervisor, Nursery]]:
    nursery = Nursery()
    supervisor = Supervisor("test", nursery.spawn, nursery.probe, vigilance)
    async with supervisor.running():
        yield supervisor, nursery


def restarts() -> float:
    return sample("parley_engine_restarts_total", service="llm", engine="test")


async def test_a_child_is_ready_only_when_it_listens_and_is_healthy() -> None:
    async with supervised() as (supervisor, nursery):
        born = await nursery.child(1)
        assert (await supervisor.target(0), supervisor.state) == (None, "is starting")

        nursery.is_healthy = False
        born.loaded.set()
        await nursery.until(lambda: nursery.looks == 2)
        assert await supervisor.target(0) is None

        nursery.is_healthy = True
        target = await supervisor.target(10)

        assert target is not None
        assert target.address == "http://child-1/v1"
        assert target.headers == {"Authorization": f"Bearer {born.key}"}
        assert (supervisor.state, supervisor.pid, born.was_told_that_it_serves) == ("ready", 1, True)


async def test_a_child_that_ended_is_started_again_with_another_key_and_counted() -> None:
    before = restarts()
    async with supervised() as (supervisor, nursery):
        for number in (1, 2, 3):
            born = await nursery.child(number)
            born.loaded.set()
            target = await supervisor.target(10)
            assert target is not None
            assert target.address == f"http://child-{number}/v1"
            born.over.set()
        await nursery.child(4)

    assert restarts() == before + 3
    assert len({born.key for born in nursery.children}) == 4


async def test_a_child_that_is_down_has_no_target_and_a_reason() -> None:
    async with supervised(Vigilance(back_off=BackOffParams(first_s=1000, longest_s=1000))) as (supervisor, nursery):
        born = await nursery.child(1)
        born.loaded.set()
        assert await supervisor.target(10) is not None

        born.over.set()
        while supervisor.state == "ready":
            await anyio.lowlevel.checkpoint()

        assert await supervisor.target(0) is None


async def test_whoever_waits_gets_the_next_child() -> None:
    async with supervised() as (supervisor, nursery):
        (await nursery.child(1)).over.set()
        second = await nursery.child(2)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_load_soon, second)
            target = await supervisor.target(10)

    assert target is not None
    assert target.address == "http://child-2/v1"


async def _load_soon(born: FakeChild) -> None:
    born.loaded.set()


async def test_a_child_that_never_listens_is_killed_and_another_one_started() -> None:
    async with supervised(Vigilance(load_timeout_s=0.001, back_off=QUICK.back_off)) as (_, nursery):
        await nursery.child(2)

    assert nursery.children[0].was_killed


async def test_a_child_that_falls_silent_is_killed_and_another_one_started() -> None:
    async with supervised() as (supervisor, nursery):
        (await nursery.child(1)).loaded.set()
        assert await supervisor.target(10) is not None

        nursery.is_healthy = False
        await nursery.child(2)

        assert await supervisor.target(0) is None

    assert nursery.children[0].was_killed


async def test_one_failed_look_is_forgiven() -> None:
    async with supervised() as (supervisor, nursery):
        (await nursery.child(1)).loaded.set()
        await supervisor.target(10)
        for _ in range(3):
            nursery.is_healthy = False
            failed = nursery.looks + 1
            await nursery.until(lambda: nursery.looks >= failed)  # noqa: B023 - awaited in the same turn
            nursery.is_healthy = True
            await nursery.until(lambda: nursery.looks >= failed + 2)  # noqa: B023

    assert len(nursery.children) == 1


async def test_a_look_that_takes_too_long_counts_as_failed() -> None:
    nursery = Nursery()

    async def never(address: str) -> bool:
        await anyio.sleep_forever()
        return True

    vigilance = Vigilance(load_timeout_s=0.02, look_timeout_s=0.001, first_look_every_s=0, back_off=QUICK.back_off)
    async with Supervisor("test", nursery.spawn, never, vigilance).running():
        (await nursery.child(1)).loaded.set()
        await nursery.child(2)

    assert nursery.children[0].was_killed


async def test_a_program_that_cannot_be_started_is_tried_again() -> None:
    tried, enough = list[str](), anyio.Event()

    @asynccontextmanager
    async def spawn(key: str) -> AsyncIterator[Process]:
        tried.append(key)
        if len(tried) == 3:
            enough.set()
        raise FileNotFoundError(2, "no such program")
        yield

    before = restarts()
    async with Supervisor("test", spawn, Nursery().probe, QUICK).running():
        await enough.wait()

    assert restarts() >= before + 2


async def test_leaving_ends_the_child() -> None:
    async with supervised() as (supervisor, nursery):
        born = await nursery.child(1)

    assert born.over.is_set()
    assert (await supervisor.target(0), supervisor.state) == (None, "is stopped")


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_a_real_child_tells_its_address_and_its_exit_status() -> None:
    code = "import os, sys; print('noise'); print('http://here:1'); sys.stderr.write(os.environ['K']); sys.exit(3)"
    async with child.started(program(code), {"K": "because\n"}, CHECKOUT, 1) as born:
        assert await born.address() == "http://here:1"
        assert await born.ended() == 3
        assert born.last_words == ["because"]


async def test_a_real_child_may_write_any_amount_and_a_little_is_kept() -> None:
    code = "import sys\nfor i in range(5000): sys.stderr.write(f'{i} ' + 'x' * 400 + '\\n')"
    async with child.started(program(code), {}, CHECKOUT, 1) as born:
        assert await born.ended() == 0

    assert [line.split()[0] for line in born.last_words] == [str(number) for number in range(4980, 5000)]
    assert {len(line) for line in born.last_words} == {300}


async def test_once_it_serves_only_crashes_are_kept_of_what_a_child_writes() -> None:
    code = "import sys; sys.stdin.read(1); sys.stderr.write('said: hello\\nx.cpp:1: GGML_ASSERT(x) failed\\n')"
    async with child.started(program(code), {}, CHECKOUT, 1) as born:
        born.serves()
        await born._process.stdin.send(b"x")  # type: ignore[union-attr]
        await born.ended()

    assert born.last_words == ["x.cpp:1: GGML_ASSERT(x) failed"]


async def test_a_child_that_does_not_listen_to_us_is_killed_after_the_grace() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('http://x:1', flush=True); time.sleep(600)"
    async with child.started(program(code), {}, CHECKOUT, 0.01) as born:
        await born.address()
        process = born._process

    assert process.returncode == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no-such-program"):
        async with child.started(["/no-such-program"], {}, CHECKOUT, 1):
            pass


def llama_command() -> list[str]:
    return [sys.executable, "-m", "llm_service.engines.llama_child", str(LlmSettings().model_path)]


async def gone(pid: int) -> None:
    """Wait for the end of any process."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)


async def test_the_model_server_ends_when_its_leash_is_let_go() -> None:
    async with child.started(llama_command(), {"LLAMA_API_KEY": "k"}, CHECKOUT, 1) as born:
        await born.address()
        await born._process.stdin.aclose()  # type: ignore[union-attr]

        assert await born.ended() == 0


async def test_the_model_server_dies_with_a_parent_that_is_killed() -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=-1, text=True);"  # our pipe is its leash
        "p.stdout.readline(); print(f'http://{p.pid}', flush=True); p.wait()"
    )
    async with child.started([*program(code), *llama_command()], {"LLAMA_API_KEY": "k"}, CHECKOUT, 1) as parent:
        pid = int((await parent.address()).removeprefix("http://"))
        parent.kill()
        with anyio.fail_after(20):
            await gone(pid)


async def test_a_model_that_cannot_be_loaded_is_a_reason_in_the_last_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    async with child.started([*llama_command()[:-1], str(broken)], {"LLAMA_API_KEY": "k"}, CHECKOUT, 1) as born:
        assert await born.ended() != 0

    assert born.last_words != []

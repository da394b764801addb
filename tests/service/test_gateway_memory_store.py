"""The store of vectors on the real Milvus Lite: who may open it, what it keeps apart, what survives."""

import sys
from pathlib import Path

import anyio
import pytest

from gateway import memory_store
from gateway.memory_store import MemoryStore, MemoryUnavailable, StoredVector
from tests.support.house_processes import TOP

pytestmark = [pytest.mark.service, pytest.mark.anyio]

HOLDS = """
import sys
from pymilvus import MilvusClient
client = MilvusClient(sys.argv[1])
print("held", end="", flush=True)
sys.stdin.readline()
"""

SERVES = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, database, port = start_server_in_thread(sys.argv[1])
print(port, end="", flush=True)
sys.stdin.readline()
"""


async def test_a_folder_that_another_process_holds_is_refused_until_it_is_let_go(tmp_path: Path) -> None:
    folder = str(tmp_path / "vectors.db")
    store = MemoryStore(folder)
    async with await anyio.open_process([sys.executable, "-c", HOLDS, folder], stderr=None) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert await other.stdout.receive() == b"held"
        with pytest.raises(MemoryUnavailable, match="another process holds it"):
            await store.open()
        assert not store.is_open
        await other.stdin.send(b"\n")
        await other.wait()
    await store.open()
    assert store.is_open
    await store.close()


async def test_two_gateways_share_what_lies_at_an_address(tmp_path: Path) -> None:
    async with await anyio.open_process([sys.executable, "-c", SERVES, str(tmp_path / "data")], stderr=None) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        uri = f"http://127.0.0.1:{(await server.stdout.receive()).decode()}"
        one, other = MemoryStore(uri), MemoryStore(uri)
        await one.open()
        await other.open()
        await one.add("model", [StoredVector("m1", "ann", "con", [1.0, 0.0])])
        assert [memory_id for memory_id, _ in await other.near("model", "ann", [1.0, 0.0], 5)] == ["m1"]
        await other.forget("ann", "another conversation")
        assert len(await one.near("model", "ann", [1.0, 0.0], 5)) == 1
        await other.forget("ann")
        assert await one.near("model", "ann", [1.0, 0.0], 5) == []
        await one.close()
        await other.close()
        await server.stdin.send(b"\n")
        await server.wait()


async def test_a_server_that_went_away_is_unavailable_and_no_more(tmp_path: Path) -> None:
    async with await anyio.open_process([sys.executable, "-c", SERVES, str(tmp_path / "data")], stderr=None) as server:
        assert server.stdout is not None
        store = MemoryStore(f"http://127.0.0.1:{(await server.stdout.receive()).decode()}")
        await store.open()
        await store.add("model", [StoredVector("m1", "ann", "con", [1.0, 0.0])])
        server.kill()
        await server.wait()
    with pytest.raises(MemoryUnavailable, match="cannot search"):
        await store.near("model", "ann", [1.0, 0.0], 5)
    with pytest.raises(MemoryUnavailable):
        await store.forget("ann")
    with pytest.raises(MemoryUnavailable, match="does not answer"):
        await MemoryStore("http://127.0.0.1:9").open()
    await store.close()


async def test_many_small_additions_are_flushed_now_and_then_and_all_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_store, "FLUSH_EVERY", 3)
    store = MemoryStore(str(tmp_path / "vectors.db"))
    await store.open()
    await store.forget("ann")
    await store.add("model", [])
    for number in range(7):
        await store.add("model", [StoredVector(f"m{number}", "ann", "con", [1.0, float(number)])])
    assert store._unflushed == 1
    await store.flush()
    await store.flush()
    assert len(await store.near("model", "ann", [1.0, 0.0], 10)) == 7
    await store.close()
    await store.close()


async def test_vectors_of_two_models_do_not_meet_and_those_of_two_people_do_not_either(tmp_path: Path) -> None:
    store = MemoryStore(str(tmp_path / "vectors.db"))
    await store.open()
    people_ids = [f'ann" or owner != "{number}' for number in range(70)]  # more than there are parts
    await store.add("a/small-model", [StoredVector(f"m{who}", who, "con", [1.0, 0.0]) for who in people_ids])
    for who in (people_ids[0], people_ids[69]):
        assert await store.near("a/small-model", who, [1.0, 0.0], 10) == [(f"m{who}", 1.0)]
    with pytest.raises(MemoryUnavailable, match="another model"):
        await store.near("another-model", people_ids[0], [1.0, 0.0], 10)

    await store.remove(people_ids[0], [f"m{people_ids[0]}"])
    assert await store.near("a/small-model", people_ids[0], [1.0, 0.0], 10) == []
    await store.close()
    with pytest.raises(MemoryUnavailable, match="not open"):
        await store.near("a/small-model", people_ids[0], [1.0, 0.0], 10)


async def test_what_was_not_flushed_is_there_after_the_process_was_killed(tmp_path: Path) -> None:
    folder = str(tmp_path / "vectors.db")
    script = (
        "import anyio, os\n"
        "from gateway.memory_store import MemoryStore, StoredVector\n"
        "async def main():\n"
        f"    store = MemoryStore({folder!r})\n"
        "    await store.open()\n"
        "    await store.add('m', [StoredVector('one', 'ann', 'con', [1.0, 0.0])])\n"
        "    os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    killed = await anyio.run_process([sys.executable, "-c", script], cwd=TOP, check=False)
    assert killed.returncode == -9
    store = MemoryStore(folder)
    await store.open()
    assert [memory_id for memory_id, _ in await store.near("m", "ann", [1.0, 0.0], 5)] == ["one"]
    await store.close()

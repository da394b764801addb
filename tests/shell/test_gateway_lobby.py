"""Who comes back to which session: by its token, while it is kept, over a newer connection, after a goodbye."""

from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from shared.metrics import RESUMES
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

CUT = 1006
ANSWER = "Hello there, my friend."


async def ready_of(client: MemoryClient) -> dict[str, Any]:
    return await client.see("ready")


def resume(ready: dict[str, Any], last_seq: int, **more: object) -> dict[str, Any]:
    return {"type": "resume", "session_id": ready["session_id"], "token": ready["token"], "last_seq": last_seq, **more}


async def back(house: TestHouse, ready: dict[str, Any], last_seq: int, **more: object) -> MemoryClient:
    """A connection that asks for that session."""
    client = await house.call()
    await ready_of(client)
    client.send(**resume(ready, last_seq, **more))
    return client


async def turned(house: TestHouse) -> tuple[MemoryClient, dict[str, Any]]:
    """A session with one turn."""
    client, _ = await house.open()
    client.send(type="text", text="hello")
    await client.see("reply_done")
    return client, await ready_of(client)


async def gone(house: TestHouse, session_id: str) -> None:
    while house.lobby.session(session_id) is not None:
        await checkpoint()


async def test_who_comes_back_is_told_what_it_missed_and_nothing_else(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, ready = await turned(house)
        client.leave(CUT)
        half = len(client.events) // 2
        second = await back(house, ready, half)
        again = await second.see("ready", lambda event: event["resumed"])
        await second.see("reply_done")

        assert (again["seq"], again["session_id"]) == (half, ready["session_id"])
        at = second.frames.index(again)
        missed = [event for event in second.frames[at + 1 :] if isinstance(event, dict)]
        assert missed == client.events[half:]


@pytest.mark.parametrize(
    "wrong",
    [{"token": "guess"}, {"token": "ü"}, {"session_id": "ses_nobody"}, {"session_id": "../../etc/passwd"}],
)
async def test_without_the_token_of_a_session_nobody_comes_in(tmp_path: Path, wrong: dict[str, str]) -> None:
    async with open_house(tmp_path) as house:
        client, ready = await turned(house)
        client.leave(CUT)
        before = RESUMES.labels("refused")._value.get()
        second = await back(house, ready | wrong, 1)
        error = await second.see("error")
        second.send(type="text", text="hello")
        await second.see("reply_done")

        assert (error["code"], error["retryable"]) == ("session_not_found", False)
        assert (await ready_of(second))["session_id"] != ready["session_id"]
        assert RESUMES.labels("refused")._value.get() == before + 1


async def test_what_was_never_sent_cannot_be_gone_on_from(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, ready = await turned(house)
        client.leave(CUT)
        second = await back(house, ready, 10_000)
        assert (await second.see("error"))["param"] == "last_seq" if "param" in second.events[-1] else True
        assert (await second.see("error"))["code"] == "invalid_message"


async def test_a_newer_connection_takes_over_and_the_older_one_is_closed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, ready = await turned(house)
        second = await back(house, ready, len(client.events))
        await second.see("ready", lambda event: event["resumed"])
        await client.closed()
        second.send(type="text", text="and?")
        await second.see("reply_done")

        assert client.types.count("reply_started") == 1
        assert second.types.count("reply_started") == 1


@pytest.mark.parametrize("restarts", [False, True])
async def test_who_said_goodbye_may_think_better_of_it(tmp_path: Path, restarts: bool) -> None:
    async with open_house(tmp_path) as house:
        client, ready = await turned(house)
        client.leave()
        await gone(house, ready["session_id"])
        if restarts:
            await house.restart()
        second = await back(house, ready, len(client.events))
        await second.see("ready", lambda event: event["resumed"])
        second.send(type="text", text="and?")
        await second.see("reply_done")

        roles = [(message["role"], message["content"]) for message in house.llm.prompts[-1]][1:]
        assert roles == [("user", "hello"), ("assistant", ANSWER), ("user", "and?")]
        turns = await house.house.store.turns(ready["session_id"]) or []
        assert [turn["user_text"] for turn in turns] == ["hello", "and?"]
        kept = await house.house.store.sessions.get(ready["session_id"])
        assert kept is not None
        assert kept["ended_at"] is not None


async def test_a_client_that_does_not_come_back_is_not_waited_for_longer_than_that(tmp_path: Path) -> None:
    async with open_house(tmp_path, resume_s=0.05) as house:
        house.tts.pieces = 1_000
        client, session = await house.open()
        ready = await ready_of(client)
        client.send(type="text", text="go")
        await client.hear()
        client.leave(CUT)
        await gone(house, ready["session_id"])

        assert [turn["finish_reason"] for turn in await house.turns(session)] == ["interrupted"]
        await house.asr.tally.wait_for("disconnected")


async def test_nobody_can_come_back_where_nothing_is_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path, resume_s=0) as house:
        client, ready = await turned(house)
        client.leave(CUT)
        await gone(house, ready["session_id"])
        second = await back(house, ready, 1)

        assert (await second.see("error"))["code"] == "session_not_found"
        assert "resume" not in ready["capabilities"]
        assert not (tmp_path / "sessions").exists()


async def test_what_was_under_way_in_a_gateway_that_was_killed_reaches_the_store_in_the_end(tmp_path: Path) -> None:
    async with open_house(tmp_path, resume_s=0.2) as house:
        house.tts.pieces = 1_000
        client, _ = await house.open()
        ready = await ready_of(client)
        client.send(type="text", text="go")
        await client.hear()
        await house.restart()
        turns = None
        while not turns:
            await checkpoint()
            turns = await house.house.store.turns(ready["session_id"])
        while list((tmp_path / "sessions").iterdir()):
            await checkpoint()

        assert [(turn["user_text"], turn["finish_reason"]) for turn in turns] == [("go", "interrupted")]


async def test_sessions_without_a_client_take_no_place(tmp_path: Path) -> None:
    async with open_house(tmp_path, max_sessions=1) as house:
        client, ready = await turned(house)
        refused = await house.call()
        error = await refused.see("error")
        assert (error["code"], await refused.closed()) == ("too_many_sessions", 1013)
        assert error["retry_after_ms"] > 0
        client.leave(CUT)
        while True:
            second = await house.call()
            while not second.events:
                await checkpoint()
            if second.events[0]["type"] == "ready":
                break
        second.send(**resume(ready, len(client.events)))

        assert (await second.see("ready", lambda event: event["resumed"]))["session_id"] == ready["session_id"]


async def test_no_more_sessions_wait_for_their_client_than_can_be_open(tmp_path: Path) -> None:
    async with open_house(tmp_path, max_sessions=2) as house:
        left = []
        for _ in range(4):
            client, _ = await house.open()
            left.append((await ready_of(client))["session_id"])
            client.leave(CUT)
            await client.closed()
        await gone(house, left[0])
        await gone(house, left[1])

        assert [house.lobby.session(one) is not None for one in left] == [False, False, True, True]

"""What a lobby must bear: refusals, journals that nobody can read, torn ends, names that are taken, long talks."""

import os
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from gateway.client_socket import ClientSocket
from gateway.core.records import Noted, Opened
from gateway.journal import Journal, read
from tests.support.client import Event, MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.replicas import Ears, Narrator, started

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

CUT = 1006


def is_of(reply_id: str, event: Event) -> bool:
    return bool(event["reply_id"] == reply_id)


async def by_name(house: TestHouse, session_id: str, user_id: str = "ann") -> MemoryClient:
    client = MemoryClient()
    house.clients.append(client)
    house.tasks.start_soon(house.lobby.receive, ClientSocket(await client.websocket()), user_id, "binary", session_id)
    await client.see("ready")
    return client


async def test_after_a_refused_resume_nothing_is_told_again(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await client.see("reply_done")
        for _ in range(2):
            client.send(type="resume", session_id="ses_nobody", token="t", last_seq=1)
        await client.see("error", count=2)

        assert [event["seq"] for event in client.events] == list(range(1, len(client.events) + 1))


async def test_a_journal_of_another_version_ends_no_gateway(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    for name, fields in (("ses_1", {"state": "listening", "weather": "fine"}), ("ses_2", {})):
        journal = Journal(folder / f"{name}.journal")
        journal.put(Opened(name, "ann", "secret", "binary"))
        journal.put(Noted("stand", fields))
        journal.close(remove=False)
    async with open_house(tmp_path, resume_s=0.05) as house:
        asked = await house.call()
        await asked.see("ready")
        asked.send(type="resume", session_id="ses_1", token="secret", last_seq=1)
        assert (await asked.see("error"))["code"] == "session_not_found"
        while len(list(folder.iterdir())) > 1:
            await checkpoint()
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await client.see("reply_done")


def test_what_is_written_behind_a_torn_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ses_1.journal"
    first = Journal(path)
    first.put(Opened("ses_1", "ann", "secret", "binary"))
    first.put(Noted("wants", {"next": "torn"}))
    first.close(remove=False)
    os.truncate(path, path.stat().st_size - 3)
    second = Journal(path)
    second.put(Noted("wants", {"next": "whole"}))
    second.close(remove=False)
    trace = read(path)

    assert trace is not None
    assert trace.wants == {"next": "whole"}


async def test_a_name_is_taken_while_its_owner_may_come_back_and_free_for_who_came_by_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        session_id = await house.house.store.sessions.create("ann")
        first = await by_name(house, session_id)
        second = await by_name(house, session_id)
        names = [client.events[0]["session_id"] for client in (first, second)]
        assert (names[0], names[1] != session_id) == (session_id, True)
        first.send(type="text", text="hello")
        await first.see("reply_done")
        first.leave(CUT)
        await first.closed()
        third = await by_name(house, session_id)
        third.send(type="text", text="and?")
        await third.see("reply_done")
        stranger = await by_name(house, session_id, "bob")

        assert third.events[0]["session_id"] == session_id
        assert [message["content"] for message in house.llm.prompts[-1]][1:] == [
            "hello",
            "Hello there, my friend.",
            "and?",
        ]
        assert stranger.events[0]["session_id"] != session_id


async def test_the_journal_of_a_long_talk_stays_short(tmp_path: Path) -> None:
    async with (
        started(Ears()) as asr_url,
        started(Narrator(at_once=True)) as tts_url,
        open_house(tmp_path, asr_url=asr_url, tts_url=tts_url, lead_ms=30_000) as house,
    ):
        house.llm.tokens = ["What a fine day it is. " * 20]
        client = await house.call()
        ready = await client.see("ready")
        for turn in range(1, 31):
            client.send(type="text", text="go on")
            reply = await client.see("reply_started", count=turn)
            await client.see("segment", partial(is_of, reply["reply_id"]), count=20)
            client.send(type="played", reply_id=reply["reply_id"], ms=60_000)
            await client.see("reply_done", count=turn)
        path = tmp_path / "sessions" / f"{ready['session_id']}.journal"
        assert path.stat().st_size < 9_000_000  # of 4 MiB that are kept, and what came since
        client.leave(CUT)
        await house.restart()
        back = await house.call()
        await back.see("ready")
        named = {"session_id": ready["session_id"], "token": ready["token"]}
        back.send(type="resume", last_seq=client.events[-1]["seq"], **named)
        await back.see("ready", lambda event: event["resumed"])
        house.llm.tokens = ["Yes."]
        back.send(type="text", text="still there?")
        await back.see("reply_done")

        assert len(house.llm.prompts[-1]) == 1 + 2 * 30 + 1


async def test_silence_is_counted_in_the_journal(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, session = await house.open()
        for _ in range(120):
            client.send_audio(bytes(640))
        await house.asr.tally.wait_for("audio", 100)
        path = tmp_path / "sessions" / f"{session.session_id}.journal"
        with anyio.fail_after(10):
            while (trace := read(path)) is None or trace.audio_bytes < 64_000:
                await checkpoint()
        assert trace.audio_bytes <= 120 * 640

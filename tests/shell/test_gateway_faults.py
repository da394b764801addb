"""A session among services, stores and clients that misbehave."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from anyio.lowlevel import checkpoint
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.app import build_app
from gateway.client_socket import ClientSocket
from gateway.personas import InvalidPersona
from gateway.settings import GatewaySettings
from gateway.store import KeptTurn, open_store
from shared.app import server_options
from shared.errors import InternalError
from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

ANSWER = "Hello there, my friend."


async def open_early(house: TestHouse) -> MemoryClient:
    """A session of which nothing but its socket is open yet."""
    return await house.call()


def said(client: MemoryClient, kind: str) -> list[dict[str, Any]]:
    return [event for event in client.events if event["type"] == kind]


async def test_another_personas_language_is_what_is_listened_for(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="config", persona="sun_wukong")
        await house.asr.tally.wait_for("config", 2)

        assert house.asr.configs[-1]["language"] == house.house.personas["sun_wukong"].language


async def test_the_first_audio_is_heard_though_the_recogniser_is_not_connected_yet(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client = await open_early(house)
        for _ in range(10):
            client.send_audio(b"\0\0" * 320)
        await house.asr.tally.wait_for("audio", 10)

        assert house.asr.audio_bytes == 10 * 640


async def test_the_end_of_speech_is_timed_in_the_stream_that_heard_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send_audio(b"\0\0" * 480_000)  # half a minute
        await house.asr.tally.wait_for("audio", 235)
        await house.asr.stop()
        await client.see("error")
        await house.asr.start()
        await house.asr.tally.wait_for("config", 2)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("hello", "utt_1"))
        await client.see("partial")
        await house.asr.utter("hello", "utt_1")
        done = await client.see("reply_done")

        assert done["timings"]["endpoint"] < 20_000


async def test_odd_frames_are_counted_to_the_sample(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send(type="config", sample_rate=48_000)
        for _ in range(900):
            client.send_audio(b"\0\0" * 1_001)
        await house.asr.tally.wait_for("audio", 900)
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("hello", "utt_1"))
        await client.see("partial")
        await house.asr.utter("hello", "utt_1")
        done = await client.see("reply_done")

        assert done["timings"]["endpoint"] >= 900 * 1_001 * 1000 // 48_000


async def test_a_turn_of_two_utterances_is_timed_from_the_end_of_the_second(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), partial("tell me", "utt_1"))
        await client.see("partial")
        await house.asr.say(asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"))
        await house.asr.say(asr.SpeechStarted(utterance_id="utt_2", at_samples=0))
        await client.see("speech_started", count=2)
        await house.asr.say(final("tell me", "utt_1"), partial("a story", "utt_2"))
        await client.see("partial", count=2)
        client.send_audio(b"\0\0" * 160_000)
        await house.asr.tally.wait_for("audio", 79)
        await house.asr.say(asr.Endpoint(utterance_id="utt_2", at_samples=160_000, reason="silence"))
        await house.asr.say(final("a story", "utt_2"))
        timings = (await client.see("reply_done"))["timings"]

        assert 0 <= timings["endpoint"] <= timings["final"]


async def test_a_recogniser_that_refuses_again_and_again_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.asr_link.BACK_OFF_S", (0.001,))
    async with open_house(tmp_path) as house:
        house.asr.is_full = True
        client = await open_early(house)
        await house.asr.tally.wait_for("connected", 20)
        house.asr.is_full = False
        await house.asr.tally.wait_for("config")
        await house.asr.utter("hello", "utt_1")
        await client.see("reply_done")

        assert len(said(client, "error")) <= 2


async def test_a_recogniser_that_dies_in_the_middle_of_a_large_frame_costs_only_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.asr_link.BACK_OFF_S", (30.0,))
    monkeypatch.setattr("gateway.asr_link.OVERRUN_S", 0.5)
    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        client.send_audio(b"\0\0" * 500_000)
        await house.asr.tally.wait_for("audio")
        await house.asr.stop()
        await client.see("error")
        client.send(type="ping")
        await client.see("pong")

        assert client.close_code is None


async def test_a_voice_that_never_says_that_it_stopped_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tts_link.CANCEL_TIMEOUT_S", 0.05)
    async with open_house(tmp_path) as house:
        house.tts.is_stuck = True
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await house.tts.tally.wait_for("text")
        client.send(type="cancel")
        await client.see("reply_done")
        await house.tts.tally.wait_for("disconnected")


@pytest.mark.parametrize("is_silent", [False, True], ids=["segments come", "nothing comes"])
async def test_a_voice_that_fails_without_a_word_is_told(is_silent: bool, tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.outcome, house.tts.pieces, house.tts.is_silent = "failed", 0, is_silent
        client, session = await house.open()
        client.send(type="text", text="hello")
        done = await client.see("reply_done")

        assert (done["finish_reason"], done["text"]) == ("error", "")
        assert [turn["heard_text"] for turn in await house.turns(session)] == [""]
        assert said(client, "error")[0]["service"] == "tts"


@pytest.mark.parametrize("content", ["\ud83d", 5, ["a"], {"a": 1}, True])
async def test_a_language_model_that_sends_no_text_costs_one_answer_at_most(content: object, tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.tokens = [content]  # type: ignore[list-item]
        client, _ = await house.open()
        client.send(type="text", text="hello")
        await client.see("reply_done")
        house.llm.tokens = ["Fine."]
        client.send(type="text", text="again")

        assert (await client.see("reply_done", count=2))["text"] == "Fine."


async def test_an_answer_without_any_sound_is_shown_and_kept(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.tts.is_silent = True
        house.llm.tokens = ["🙂", "🙂"]
        client, _ = await house.open()
        await house.asr.utter("smile", "utt_1")
        done = await client.see("reply_done")

        assert (done["text"], done["finish_reason"]) == ("🙂🙂", "stop")


async def test_a_store_that_cannot_be_reached_is_told_and_the_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        monkeypatch.setattr(house.house.store, "add_turn", refuse)
        client.send(type="text", text="hello")
        await client.see("reply_done")
        client.send(type="text", text="again")
        await client.see("reply_done", count=2)

        assert {error["code"] for error in said(client, "error")} == {"internal_error"}


async def test_a_store_that_hangs_holds_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.session.LAST_WORDS_S", 0.05)
    monkeypatch.setattr("gateway.recorder.KEEP_TIMEOUT_S", 0.05)
    begun = anyio.Event()

    async def hang(_: str, __: str, ___: KeptTurn) -> None:
        begun.set()
        await anyio.sleep_forever()

    async with open_house(tmp_path) as house:
        client, _ = await house.open()
        monkeypatch.setattr(house.house.store, "add_turn", hang)
        client.send(type="text", text="hello")
        await begun.wait()
        client.leave()
        await house.asr.tally.wait_for("disconnected")


async def test_a_slow_client_misses_nothing_of_the_answer(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        house.llm.tokens = ["One sentence."]
        house.tts.pieces = 10
        client, session = await house.open()
        client.stop_reading()
        client.send(type="text", text="go")
        with anyio.move_on_after(0.3):  # three times the answer's length: a clock that runs ahead would end it
            while not await house.turns(session):
                await checkpoint()
        client.read_on()
        await client.see("reply_done")

        assert sum(isinstance(frame, bytes) for frame in client.frames) == 10


async def test_a_client_that_reads_nothing_is_not_waited_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.client_socket.FAREWELL_S", 0.01)
    client = MemoryClient()
    socket = ClientSocket(await client.websocket())
    client.stop_reading()
    await socket.fail(InternalError("Something went wrong."), "farewell")
    await socket.close()
    client.close()


def test_a_default_persona_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidPersona, match="nobody"):
        build_app(GatewaySettings(default_persona="nobody"))


@asynccontextmanager
async def serving(house: TestHouse, folder: Path) -> AsyncIterator[tuple[uvicorn.Server, str]]:
    """A gateway on a real socket, among the stand-ins for its services; leaving stops it as SIGTERM does."""
    settings = house.house.settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{folder}/served.db"})
    app = build_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, **{**server_options(settings), "port": 0}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve)
        while not server.started:
            await checkpoint()
        app.state.lobby.house = replace(app.state.lobby.house, llm=house.house.llm)
        yield server, f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True


async def test_a_burst_of_messages_is_answered_to_the_last(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, serving(house, tmp_path) as (_, address):
        connection = await connect(f"ws://{address}/ws", max_queue=None)
        async with connection:
            connection.transport.write(b"".join(masked('{"type":"ping"}') for _ in range(3_000)))
            pongs = 0
            while pongs < 3_000:
                pongs += json.loads(await connection.recv())["type"] == "pong"


def masked(text: str) -> bytes:
    """A text frame as a client sends it, to put many of them into one packet."""
    return bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text.encode()


async def test_a_stop_of_the_server_keeps_the_open_turn_where_nobody_can_come_back(tmp_path: Path) -> None:
    async with open_house(tmp_path, resume_s=0) as house:
        house.tts.pieces = 1_000
        async with serving(house, tmp_path) as (server, address), connect(f"ws://{address}/ws") as connection:
            ready = json.loads(await connection.recv())
            await connection.send('{"type":"text","text":"go"}')
            while not isinstance(await connection.recv(), bytes):
                pass
            server.should_exit = True
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await connection.recv()
        async with open_store(f"sqlite+aiosqlite:///{tmp_path}/served.db") as store:
            turns = await store.turns(ready["session_id"])

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert [turn["finish_reason"] for turn in turns or []] == ["interrupted"]
        await house.tts.tally.wait_for("disconnected")
        assert house.tts.tally.seen.count("cancel") == 1


async def test_a_page_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, serving(house, tmp_path) as (_, address):
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
            answer = await http.get(f"/v1/conversations?offset={10**30}")

        assert answer.status_code == 400

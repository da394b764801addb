"""Conversations with a whole Parley: real speech, real engines, real processes."""

import json
import os
import subprocess
import wave
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.support.house_processes import SERVICES, TOP, RunningParley, is_free, make_run
from tests.support.live_client import SPEECH, LiveClient, open_client

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


def make_talk(parley: RunningParley, **said: str) -> tuple[int, list[dict[str, Any]]]:
    """`make talk`: its exit status and the events it printed."""
    given = [f"{name}={value}" for name, value in said.items()]
    done = subprocess.run(
        ["make", "--silent", "talk", f"PORT={parley.port}", *given],
        cwd=TOP, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, lines


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def audible_ms(path: Path) -> float:
    """How much of a recording is louder than 1 % of full scale, in milliseconds."""
    with wave.open(str(path)) as wav:
        samples, rate = array("h", wav.readframes(wav.getnframes())), int(wav.getframerate())
    window = rate // 50
    loud = sum(max(map(abs, samples[at : at + window])) > 327 for at in range(0, len(samples) - window, window))
    return float(loud * 20)


def test_make_run_says_what_it_starts_and_where_it_listens(parley: RunningParley) -> None:
    assert parley.said[-1] == f"Parley is listening on {parley.url}"
    assert httpx.get(f"{parley.url}/ready", trust_env=False).json()["ready"] is True


def test_a_spoken_question_is_answered_aloud_and_kept(parley: RunningParley) -> None:
    status, events = make_talk(parley, WAV=str(SPEECH / "what_is_the_capital_of_france.wav"))
    order = types(events)

    assert status == 0, events
    assert order.index("partial") < order.index("final") < order.index("reply_done")
    assert order.index("token") < order.index("reply_done")
    assert "france" in next(event["text"] for event in events if event["type"] == "final").lower()
    kept = next(event for event in events if event["type"] == "stored")["turns"]
    assert [turn["heard_text"] for turn in kept] == [events[order.index("reply_done")]["text"]]
    assert audible_ms(TOP / "reply.wav") > 500


def test_a_long_answer_is_heard_before_it_is_written_to_the_end(parley: RunningParley) -> None:
    status, events = make_talk(parley, TEXT="Tell me a story about a fox.", EAGER="1")
    order = types(events)
    last_token = len(order) - 1 - order[::-1].index("token")

    assert status == 0, events
    assert order.index("first_audio") < last_token


def test_a_persona_answers_from_the_command_line(parley: RunningParley) -> None:
    status, events = make_talk(parley, TEXT="你好，你是谁？", PERSONA="sun_wukong", EAGER="1")
    answer = next(event["text"] for event in events if event["type"] == "reply_done")

    assert status == 0, events
    assert any("\u4e00" <= character <= "\u9fff" for character in answer)


def test_mandarin_is_heard_and_answered_in_mandarin(parley: RunningParley) -> None:
    recording = str(SPEECH / "jintian_tianqi_zenmeyang.wav")
    status, events = make_talk(parley, WAV=recording, PERSONA="sun_wukong", EAGER="1")
    final = next(event for event in events if event["type"] == "final")
    answer = next(event["text"] for event in events if event["type"] == "reply_done")

    assert status == 0, events
    assert (final["text"], final["language"]) == ("今天天气怎么样", "zh")
    assert any("\u4e00" <= character <= "\u9fff" for character in answer)


def test_talk_says_plainly_that_nobody_listens() -> None:
    port = 9 if os.geteuid() == 0 else 65_000
    done = subprocess.run(
        ["make", "--silent", "talk", f"PORT={port}", "TEXT=hello"], cwd=TOP, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert f"No Parley answers at http://127.0.0.1:{port}" in done.stderr


async def test_two_people_talk_at_once_and_neither_hears_the_others_answer(parley: RunningParley) -> None:
    async def turn(client: LiveClient, recording: str) -> None:
        await client.speak(recording)
        await client.see("reply_done")

    async with open_client(parley.url) as one, open_client(parley.url) as other:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn, one, "what_is_the_capital_of_france")
            tasks.start_soon(turn, other, "hello_how_are_you_today")

        finals = [(await client.see("final"))["text"] for client in (one, other)]
        assert "france" in finals[0]
        assert "france" not in finals[1]
        ids = [{event["turn_id"] for event in client.events if "turn_id" in event} for client in (one, other)]
        assert not ids[0] & ids[1]
        assert all(len(client.audio) > 24_000 for client in (one, other))


async def test_speech_over_an_answer_stops_it_for_good(parley: RunningParley) -> None:
    async with open_client(parley.url) as client:
        await client.send(type="text", text="Tell me a story about a fox.")
        await client.hear(48_000)
        await client.speak("what_is_the_capital_of_france")
        interrupted = await client.see("interrupted")
        done = await client.see("reply_done", lambda event: event["reply_id"] == interrupted["reply_id"])
        at, started = client.frames.index(interrupted), client.frames.index(await client.see("final"))

        assert not [frame for frame in client.frames[at:started] if isinstance(frame, bytes)]
        assert done["text"] == interrupted["heard_text"]
        assert (await client.see("reply_done", lambda event: event["finish_reason"] == "stop"))["text"]


@pytest.mark.parametrize("service", ["llm_service", "asr_service", "tts_service"])
async def test_a_service_killed_in_mid_turn_is_told_and_the_session_goes_on(
    service: str, parley: RunningParley
) -> None:
    async with open_client(parley.url) as client:
        await client.send(type="text", text="Tell me a story about a fox.")
        await client.see("segment")
        parley.kill(service)
        error = await client.see("error")
        await ready_again(parley, service)
        await client.send(type="cancel")
        await client.send(type="text", text="What is the capital of France?")
        done = await client.see("reply_done", lambda event: event["finish_reason"] == "stop")

        assert error["service"] == service.removesuffix("_service")
        assert error["retryable"] is True
        assert done["text"]


async def ready_again(parley: RunningParley, service: str) -> None:
    """Until a service answers for itself that it is ready; the test's own timeout is the limit."""
    async with httpx.AsyncClient(base_url=parley.url_of(service), trust_env=False) as http:
        while True:
            with suppress(httpx.HTTPError):
                if (await http.get("/ready")).status_code == 200:
                    return
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\0\0\0", "invalid_audio"),
        ("{", "invalid_json"),
        ('{"type": "dance"}', "unknown_type"),
        ('{"type": "config", "sample_rate": 7}', "invalid_message"),
        (b"\0" * 10_000_000, "message_too_large"),
        ("x" * 10_000_000, "message_too_large"),
    ],
)
async def test_bad_input_gets_a_typed_error_on_a_real_socket(
    frame: str | bytes, code: str, parley: RunningParley
) -> None:
    async with open_client(parley.url) as client:
        await client.connection.send(frame)
        error = await client.see("error")
        await client.send(type="ping")
        await client.see("pong")

        assert (error["code"], error["service"]) == (code, "gateway")


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    with make_run(tmp_path) as own:
        ports = [own.port + offset for offset in range(len(SERVICES))]
        own.interrupt()

        assert all(is_free(port) for port in ports)


def test_a_taken_port_is_named(parley: RunningParley) -> None:
    done = subprocess.run(
        ["make", "--silent", "run", f"PORT={parley.port}"], cwd=TOP, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert f"Port {parley.port} (gateway) is taken." in done.stderr


def test_no_log_holds_what_was_said(parley: RunningParley) -> None:
    secret = "my secret is marmalade"
    make_talk(parley, TEXT=secret)

    assert not [service for service in SERVICES if "marmalade" in parley.log(service)]

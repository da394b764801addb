"""`python -m gateway.talk`: say a recording (or a text) to a running Parley and hear the answer, as a client would.

A recording is sent in real time, as 20 ms frames, with silence after it until Parley has understood. Each event is
printed as one line of JSON with its time in milliseconds since the first frame; the answer is written to a WAV file and
reported as played at the speed of sound. Exit status 0: the turn was answered and is in the store; 1: it was not.
"""

import argparse
import json
import sys
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from shared.clock import now_s

FRAME_MS = 20
REPLY_RATE = 24_000
TIMEOUT_S = 90.0
SILENCE_AFTER_S = 30.0


@dataclass
class Call:
    """What one call has seen so far."""

    began_s: float
    is_eager: bool = False
    is_typed: bool = False
    session_id: str = ""
    turn_id: str = ""
    reply_id: str = ""
    audio: bytearray = field(default_factory=bytearray)
    is_understood: bool = False
    is_over: bool = False
    has_failed: bool = False

    def print(self, event: dict[str, Any]) -> None:
        """One event as one line, its time first."""
        at_ms = round((now_s() - self.began_s) * 1000)
        print(json.dumps({"at_ms": at_ms, **event}, ensure_ascii=False), flush=True)


def read_wav(path: Path) -> tuple[bytes, int]:
    """(PCM16, sample rate) of a mono 16-bit recording; exits with a sentence when it is something else."""
    try:
        with wave.open(str(path)) as recording:
            if recording.getnchannels() != 1 or recording.getsampwidth() != 2:
                sys.exit(f"{path} must be mono with 16 bits a sample.")
            return recording.readframes(recording.getnframes()), recording.getframerate()
    except (OSError, wave.Error, EOFError) as failure:
        sys.exit(f"{path} cannot be read as a WAV file: {failure}.")


def write_wav(path: Path, audio: bytes) -> None:
    """PCM16 mono at the rate that answers come in."""
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(REPLY_RATE)
        recording.writeframes(audio)


async def send_recording(connection: ClientConnection, call: Call, pcm: bytes, rate: int) -> None:
    """The recording in real time, then silence until it is understood."""
    frame_bytes = rate * FRAME_MS // 1000 * 2
    silence = bytes(frame_bytes)
    spoken = [pcm[at : at + frame_bytes] for at in range(0, len(pcm), frame_bytes)]
    began_s = now_s()
    for index in range(len(spoken) + round(SILENCE_AFTER_S * 1000 / FRAME_MS)):
        if call.is_over or (call.is_understood and index >= len(spoken)):
            return
        await connection.send(spoken[index] if index < len(spoken) else silence)
        if index == len(spoken) - 1:
            call.print({"type": "recording_ended"})
        await anyio.sleep(max(0.0, began_s + (index + 1) * FRAME_MS / 1000 - now_s()))


async def report_played(connection: ClientConnection, call: Call, reply_id: str) -> None:
    """Play as a speaker would: `played` follows the audio that came, in real time unless eager, until it is over."""
    began_s = now_s()
    while not call.is_over and call.reply_id == reply_id:
        await anyio.sleep(0.1)
        received_ms = len(call.audio) * 1000 // (2 * REPLY_RATE)
        elapsed_ms = received_ms if call.is_eager else round((now_s() - began_s) * 1000)
        await connection.send(json.dumps({"type": "played", "reply_id": reply_id, "ms": min(received_ms, elapsed_ms)}))


async def follow(connection: ClientConnection, call: Call) -> None:
    """Print events and collect audio until the answer is done or the call has failed."""
    async with anyio.create_task_group() as tasks:
        async for frame in connection:
            if isinstance(frame, bytes):
                if not call.audio:
                    call.print({"type": "first_audio", "bytes": len(frame)})
                call.audio += frame
                continue
            event = json.loads(frame)
            call.print(event)
            note(call, event)
            if event["type"] == "segment" and event["reply_id"] != call.reply_id:
                call.reply_id = event["reply_id"]
                tasks.start_soon(report_played, connection, call, call.reply_id)
            if call.is_over:
                tasks.cancel_scope.cancel()
                return
    call.has_failed = True


def note(call: Call, event: dict[str, Any]) -> None:
    """What an event means for the call."""
    match event["type"]:
        case "ready":
            call.session_id = event["session_id"]
        case "reply_started":
            call.is_understood = True
        case "final" if not event["text"]:
            call.is_over = call.has_failed = True
        case "interrupted":  # the recording went on speaking: the answer is made again
            call.is_understood = False
            call.audio.clear()
        case "reply_done" if event["finish_reason"] != "interrupted":
            call.is_over, call.turn_id = True, event["turn_id"]
        case "error" if not (call.is_typed and event["service"] == "asr"):  # who types needs no ears
            call.is_over = call.has_failed = True


async def read_back(url: str, call: Call) -> bool:
    """Whether the turn stands in the store, as anybody may read it; it is printed as the last line."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.get(f"/v1/conversations/{call.session_id}")
    turns = answer.json().get("turns", []) if answer.status_code == 200 else []
    kept = [turn for turn in turns if turn["turn_id"] == call.turn_id]
    call.print({"type": "stored", "turns": kept})
    return bool(kept)


async def converse(connection: ClientConnection, call: Call, text: str | None, pcm: bytes, rate: int) -> None:
    """Say it and follow what comes, until the turn is over; a connection that breaks fails the call."""
    try:
        async with anyio.create_task_group() as tasks:
            if text:
                await connection.send(json.dumps({"type": "text", "text": text}))
            else:
                tasks.start_soon(send_recording, connection, call, pcm, rate)
            await follow(connection, call)
            tasks.cancel_scope.cancel()
    except* WebSocketException:
        call.has_failed = True


async def talk(
    url: str, wav: Path | None, text: str | None, config: dict[str, Any], reply: Path, is_eager: bool
) -> bool:
    """One turn with a running Parley; whether it went well."""
    pcm, rate = read_wav(wav) if wav else (b"", 16_000)
    async with connect(url.replace("http", "ws", 1) + "/ws", compression=None, proxy=None, max_size=None) as connection:
        call = Call(now_s(), is_eager, bool(text))
        audio_out = {"encoding": "pcm16", "sample_rate": REPLY_RATE, "transport": "binary"}
        await connection.send(json.dumps({"type": "config", "sample_rate": rate, "audio_out": audio_out, **config}))
        with anyio.move_on_after(TIMEOUT_S) as limit:
            await converse(connection, call, text, pcm, rate)
    write_wav(reply, bytes(call.audio))
    is_kept = bool(call.turn_id) and await read_back(url, call)
    call.print({"type": "audio", "file": str(reply), "ms": len(call.audio) * 1000 // (2 * REPLY_RATE)})
    return is_kept and bool(call.audio) and not call.has_failed and not limit.cancelled_caught


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.talk", description=__doc__.split("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running Parley")
    parser.add_argument("--wav", help="a mono 16-bit recording to say")
    parser.add_argument("--text", help="a text to type instead")
    parser.add_argument("--persona", help="who answers")
    parser.add_argument("--reply", type=Path, default=Path("reply.wav"), help="where the answer is written")
    parser.add_argument("--eager", action="store_true", help="take the answer as fast as it comes, not as it sounds")
    given = parser.parse_args()
    if not given.wav and not given.text:
        sys.exit("Say something: --wav question.wav or --text 'Hello'.")
    config = {"persona": given.persona} if given.persona else {}
    try:
        went_well = anyio.run(
            talk, given.url, Path(given.wav) if given.wav else None, given.text, config, given.reply, given.eager
        )
    except (OSError, WebSocketException):
        sys.exit(f"No Parley answers at {given.url}. Start it with `make run`.")
    sys.exit(0 if went_well else 1)


if __name__ == "__main__":
    main()

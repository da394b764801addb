"""The engine that asks a server elsewhere, when the server fails: each failure is typed, and tells nothing of it."""

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from itertools import repeat
from typing import Any

import pytest
from fastapi.testclient import TestClient

from shared.errors import EngineFailed
from shared.threads import StopToken
from tests.contract.test_tts_upstream import made, opened
from tests.support.house_processes import free_ports
from tests.support.tts_upstreams import KEY, PCM, STALL, Reply, StandIn
from tts_service.app import build_app
from tts_service.engines.base import Slot, SynthesisRequest
from tts_service.engines.openai_upstream import UpstreamEngine, UpstreamSlot, address
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract

ECHO = f'{{"error": {{"message": "Incorrect key {KEY}. You said: a secret."}}}}'.encode()
PAGE = f"<!doctype html><html><body>{KEY} a secret, and much more of it</body></html>".encode()
AUDIO = {"content-type": "audio/pcm"}
HTML = {"content-type": "text/html"}
QUIET = {"upstream_first_byte_s": 0.2, "upstream_between_bytes_s": 0.2}
WAV = {"upstream_format": "wav"}
NOT_SOUND = "The speech server sent something that is not the sound that was asked for."
CUT = "The speech server ended its answer before the end."
SILENT = "The speech server is silent for too long."

FAILURES: dict[str, tuple[Reply, dict[str, Any], str]] = {
    "an error": (Reply(500, [ECHO]), {}, "The speech server answered 500."),
    "the key refused": (Reply(401, [ECHO]), {}, "The speech server refuses the key of TTS_UPSTREAM_KEY."),
    "elsewhere": (Reply(307, [ECHO], {"location": "http://127.0.0.1:1/"}), {}, "The speech server answered 307."),
    "no content": (Reply(204, []), {}, "The speech server answered 204."),
    "a page": (Reply(200, [PAGE], HTML), {}, NOT_SOUND),
    "a page that claims to be sound": (Reply(200, [PAGE], AUDIO), {}, NOT_SOUND),
    "a page that claims nothing": (Reply(200, [PAGE], {}), {}, NOT_SOUND),
    "an error with 200": (Reply(200, [ECHO], {"content-type": "application/json"}), {}, NOT_SOUND),
    "another form": (Reply(200, [b"\xff\xfb" + PCM], {"content-type": "audio/mpeg"}), {}, NOT_SOUND),
    "compressed": (Reply(200, [PCM], {**AUDIO, "content-encoding": "gzip"}), {}, NOT_SOUND),
    "a WAV": (Reply(200, [b"RIFF" + PCM]), {}, "The speech server sends WAV: TTS_UPSTREAM_FORMAT must be wav."),
    "no WAV": (Reply(200, [PCM]), WAV, "The speech server sends no WAV: see TTS_UPSTREAM_FORMAT and _RATE."),
    "half of a head": (Reply(200, [b"RIFF"]), WAV, CUT),
    "nothing": (Reply(200, []), {}, "The speech server sent no sound."),
    "cut": (Reply(200, [PCM], is_cut=True), {}, CUT),
    "gone at once": (Reply(hangs_up=True), {}, CUT),
    "silent before the head": (Reply(200, [STALL]), QUIET, SILENT),
    "silent before the sound": (Reply(200, [b"", STALL]), QUIET, SILENT),
    "silent in the middle": (Reply(200, [PCM, STALL]), QUIET, SILENT),
    "drops": (Reply(200, [PCM, PCM[:1], STALL]), QUIET, SILENT),
    "no end": (Reply(200, repeat(PCM * 50)), {}, "The speech server speaks for longer than the text can be."),
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn().running() as running:
        yield running


@pytest.mark.parametrize(("reply", "settings", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_a_sentence_that_tells_nothing_of_the_answer(
    server: StandIn, caplog: pytest.LogCaptureFixture, reply: Reply, settings: dict[str, Any], says: str
) -> None:
    server.reply = reply
    with closing(opened(server.url, **settings).open_slot()) as slot:
        with caplog.at_level(logging.DEBUG), pytest.raises(EngineFailed) as failure:
            made(slot, "a secret")
        assert failure.value.message == says
        told = "".join(traceback.format_exception(failure.value)) + caplog.text + repr(vars(slot))
        assert KEY not in told
        assert "a secret" not in told.replace('made(slot, "a secret")', "")

        server.reply = Reply(headers=AUDIO)
        if not settings.get("upstream_format"):
            assert made(slot) == PCM * 2, "the next segment is spoken"


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [({}, 1_000), ({"retry-after": "7"}, 7_000), ({"retry-after": "99999"}, 60_000), ({"retry-after": "soon"}, 1_000)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_without_room_tells_when_to_ask_again(
    server: StandIn, status: int, headers: dict[str, str], wait_ms: int
) -> None:
    server.reply = Reply(status, [ECHO], headers)
    with closing(opened(server.url).open_slot()) as slot, pytest.raises(EngineFailed) as failure:
        made(slot)
    assert (failure.value.retry_after_ms, failure.value.retryable) == (wait_ms, True)
    assert len(server.asked) == 1


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing(server: StandIn) -> None:
    with closing(opened(server.url).open_slot()) as slot:
        made(slot)
        server.replies.append(Reply(hangs_up=True))
        assert made(slot) == PCM * 2
    assert len(server.asked) == 3


def test_nothing_is_asked_again_after_the_first_sound(server: StandIn) -> None:
    server.reply = Reply(200, [PCM], is_cut=True)
    with closing(opened(server.url).open_slot()) as slot, pytest.raises(EngineFailed):
        made(slot)
    assert len(server.asked) == 1


def test_the_sound_before_a_failure_has_been_given(server: StandIn) -> None:
    server.reply = Reply(200, [PCM, PCM], is_cut=True)
    with closing(opened(server.url).open_slot()) as slot:
        blocks = slot.synthesise(SynthesisRequest("Hello."), StopToken())
        assert next(blocks) + next(blocks) == PCM * 2
        with pytest.raises(EngineFailed):
            next(blocks)


@pytest.mark.parametrize("pieces", [[STALL], [b"", STALL], [PCM, STALL]], ids=["head", "sound", "more"])
def test_a_stop_closes_the_connection_of_a_server_that_says_nothing(
    server: StandIn, pieces: list[bytes | None]
) -> None:
    server.reply = Reply(pieces=pieces)
    with closing(opened(server.url).open_slot()) as slot:
        assert spoken_until(slot, server) == b"".join(piece for piece in pieces if piece)
        assert server.left.wait(10)
        server.reply = Reply()
        assert made(slot) == PCM * 2


def spoken_until(slot: Slot, server: StandIn) -> bytes:
    """What is spoken when the stop comes after the request and what there is of its answer."""
    stop, heard, asked = StopToken(), list[bytes](), threading.Event()

    def speak() -> None:
        for block in slot.synthesise(SynthesisRequest("Hello."), stop):
            heard.append(block)
            asked.set()

    thread = threading.Thread(target=speak)
    thread.start()
    while not server.asked or (any(server.reply.pieces) and not asked.is_set()):
        pass
    stop.stop()
    thread.join(10)
    assert not thread.is_alive()
    return b"".join(heard)


def test_a_slot_that_is_closed_while_it_speaks_fails_its_segment(server: StandIn) -> None:
    server.reply = Reply(pieces=[PCM, STALL])
    slot = opened(server.url).open_slot()
    blocks = slot.synthesise(SynthesisRequest("Hello."), StopToken())
    assert next(blocks) == PCM
    closer = threading.Thread(target=slot.close)
    closer.start()
    with pytest.raises(EngineFailed, match="shutting down"):
        next(blocks)
    closer.join(10)
    assert server.left.wait(10)
    with pytest.raises(EngineFailed, match="shutting down"):
        made(slot)
    slot.close()


def test_a_server_that_is_not_there_is_asked_again_for_each_segment() -> None:
    engine = opened(f"http://127.0.0.1:{free_ports(1)}/v1")
    with closing(engine.open_slot()) as slot, pytest.raises(EngineFailed, match="cannot be reached"):
        made(slot)


def test_a_server_that_accepts_nobody_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            limits = {"upstream_connect_s": 0.2, "upstream_first_byte_s": 0.5}
            slot = opened(f"http://127.0.0.1:{port}", **limits).open_slot()
            with closing(slot), pytest.raises(EngineFailed):
                made(slot)


# What cannot be, and what is said of it when the service starts


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_told_at_the_start(server: StandIn, status: int) -> None:
    server.models = Reply(status, [ECHO])
    with TestClient(build_app(TtsSettings(engine="openai", upstream_base=server.url, upstream_key=KEY))) as client:
        part = ""
        while part in ("", "The speech engine is loading."):
            part = client.get("/ready").json()["parts"]["engine"]
    assert part == "The speech server refuses the key of TTS_UPSTREAM_KEY."


@pytest.mark.parametrize("key", ["sk-two words", "sk-schlüssel", "sk-\n"])
def test_a_key_that_no_header_takes_is_not_repeated(key: str) -> None:
    with pytest.raises(EngineFailed) as failure:
        UpstreamEngine(TtsSettings(upstream_base="http://127.0.0.1:1", upstream_key=key)).start()
    assert failure.value.message == "TTS_UPSTREAM_KEY has spaces or signs beyond ASCII."
    assert KEY not in repr(TtsSettings(upstream_key=KEY))


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:9000", "ftp://127.0.0.1", f"http://me:{KEY}@127.0.0.1", f"http://127.0.0.1/?key={KEY}", "http://["],
)
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(EngineFailed) as failure:
        UpstreamEngine(TtsSettings(upstream_base=url)).start()
    assert failure.value.message.startswith("TTS_UPSTREAM_BASE must be an address")
    assert KEY not in failure.value.message


def test_a_server_alone_has_the_usual_path() -> None:
    assert address("http://127.0.0.1:9000/") == "http://127.0.0.1:9000/v1"
    assert address(" https://speech.example/openai/v2/ ") == "https://speech.example/openai/v2"


def test_a_slot_tells_nothing_of_its_key(server: StandIn) -> None:
    with closing(opened(server.url).open_slot()) as slot:
        assert isinstance(slot, UpstreamSlot)
        assert KEY not in repr(vars(slot))

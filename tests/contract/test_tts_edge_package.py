"""The real package of Edge's voices, in front of a server on this machine that speaks as Microsoft's does."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import Server, ServerConnection, serve

from shared.errors import EngineFailed
from shared.threads import StopToken
from tests.support.stand_in_models import in_this_process
from tests.support.tts_upstreams import PCM
from tts_service.engines.base import Slot, SynthesisRequest
from tts_service.engines.edge import EdgeEngine
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.contract
pytest.importorskip("edge_tts", reason="the package edge-tts is not installed")

CHARS = 20


class Edge:
    """Takes one request after the other; what it was told is kept as it came."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.told: list[str] = []
        self.is_silent = False
        self.left = threading.Event()

    def talk(self, connection: ServerConnection) -> None:
        config, ssml = connection.recv(), connection.recv()
        self.told += [str(config), str(ssml)]
        connection.send("X-RequestId:1\r\nPath:turn.start\r\n\r\n{}")
        for piece in self.pieces:
            head = b"X-RequestId:1\r\nContent-Type:audio/mpeg\r\nPath:audio\r\n"
            connection.send(len(head).to_bytes(2, "big") + head + piece)
        metadata = {"Type": "SentenceBoundary", "Data": {"Offset": 0, "Duration": 1, "text": {"Text": "Hello."}}}
        connection.send(f"Path:audio.metadata\r\n\r\n{json.dumps({'Metadata': [metadata]})}")
        if self.is_silent:
            for _ in connection:
                pass
            self.left.set()
        connection.send("X-RequestId:1\r\nPath:turn.end\r\n\r\n{}")


@pytest.fixture
def edge() -> Edge:
    with in_this_process():
        return Edge(list(import_module("edge_tts").mp3(CHARS)))  # of the stand-in


@pytest.fixture
def slot(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slot]:
    def running() -> Server:
        return serve(edge.talk, "127.0.0.1", 0, compression=None)

    with running() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        monkeypatch.setattr("edge_tts.communicate.WSS_URL", f"ws://127.0.0.1:{port}/?token=1")
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)  # the package would go there
        engine = EdgeEngine(TtsSettings(edge_allow=True))
        engine.start()
        with closing(engine.open_slot()) as slot:
            yield slot
        server.shutdown()
        thread.join()


def made(slot: Slot, **more: Any) -> bytes:
    return b"".join(slot.synthesise(SynthesisRequest("Hello & <goodbye>.", **more), StopToken()))


def test_the_package_speaks(slot: Slot, edge: Edge) -> None:
    sound = np.frombuffer(made(slot, language="zh", speed=1.5), np.int16)
    assert sound.size == pytest.approx(CHARS * 1_920, rel=0.1)
    assert np.abs(sound.astype(int)).max() > 10_000
    config, ssml = edge.told
    assert "audio-24khz-48kbitrate-mono-mp3" in config
    assert "(zh-CN, XiaoxiaoNeural)" in ssml
    assert "rate='+50%'" in ssml
    assert "Hello &amp; &lt;goodbye&gt;." in ssml


def test_a_stop_leaves_the_service(slot: Slot, edge: Edge) -> None:
    edge.is_silent = True
    stop = StopToken()
    blocks = slot.synthesise(SynthesisRequest("Hello."), stop)
    assert next(blocks)
    stop.stop()
    assert list(blocks) == []
    assert edge.left.wait(10)


def test_a_reader_that_leaves_leaves_the_service(slot: Slot, edge: Edge) -> None:
    edge.is_silent = True
    with closing(slot.synthesise(SynthesisRequest("Hello."), StopToken())) as blocks:
        assert next(blocks)
    assert edge.left.wait(10)


def test_an_answer_without_sound_is_a_failure(slot: Slot, edge: Edge) -> None:
    edge.pieces = []
    with pytest.raises(EngineFailed, match=r"^The speech service of Edge failed, or cannot be reached\.$"):
        made(slot)


def test_an_answer_that_is_no_mp3_is_a_failure(slot: Slot, edge: Edge) -> None:
    edge.pieces = [b"<html>" * 100]
    with pytest.raises(EngineFailed, match="no MP3"):
        made(slot)
    edge.pieces = [PCM * 10]
    with pytest.raises(EngineFailed, match="no MP3"):
        made(slot)

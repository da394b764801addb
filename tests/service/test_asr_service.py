"""The asr_service whole, in process: its addresses, its limits, and real speech through its real engine."""

import signal
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from asr_service import app as service
from asr_service import engines
from asr_service.app import build_app
from asr_service.engines.base import Engine, Result
from asr_service.engines.fake import FakeEngine, FakeRecogniser
from asr_service.scheduler import DecodeScheduler
from asr_service.settings import AsrSettings
from shared.wire.asr import ASR_OUT, AsrError, AsrOut, AsrReady, Candidate, Configure, Final, Flush, Partial
from tests.support.speech import cut, silence, speech, tone

pytestmark = pytest.mark.service


def client_of(engine: Engine | None = None, **settings: Any) -> TestClient:
    return TestClient(build_app(AsrSettings(**settings), (lambda: engine) if engine else None))


@pytest.fixture
def client() -> Iterator[TestClient]:
    with client_of(FakeEngine(), max_streams=2) as client:
        is_ready(client)
        yield client


def is_ready(client: TestClient) -> None:
    """Until the service is ready; the test's own timeout is the limit."""
    while client.get("/ready").status_code != 200:
        pass


def told(socket: WebSocketTestSession) -> AsrOut:
    return ASR_OUT.decode(socket.receive_text())


def told_until_final(socket: WebSocketTestSession) -> list[AsrOut]:
    messages = [told(socket)]
    while not isinstance(messages[-1], Final):
        messages.append(told(socket))
    return messages


def refused(client: TestClient) -> tuple[str, bool, int]:
    """Code of the error, whether a retry can help, and the code that the socket was closed with."""
    with client.websocket_connect("/v1/stream") as socket:
        error = told(socket)
        assert isinstance(error, AsrError)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        return error.code, error.retryable, closed.value.code


@pytest.mark.parametrize("path", ["/v1/stream", "/ws", "/ws_asr"])
def test_a_stream_has_three_addresses(client: TestClient, path: str) -> None:
    with client.websocket_connect(path) as socket:
        assert isinstance(told(socket), AsrReady)
        socket.send_text('{"op": "config", "sampleRate": 16000}')
        for chunk in cut(tone(600), 640):
            socket.send_bytes(chunk)
        socket.send_text(Flush().to_json())

        assert told_until_final(socket)[-1].type == "final"


def test_the_service_lives_while_the_recogniser_loads() -> None:
    may_load = threading.Event()

    def load() -> Engine:
        may_load.wait()
        return FakeEngine()

    with TestClient(build_app(AsrSettings(), load)) as client:
        assert client.get("/health").json() == {"status": "healthy"}
        assert client.get("/ready").json() == {"ready": False, "parts": {"recogniser": "The recogniser is loading."}}
        assert refused(client) == ("service_unavailable", True, 1013)
        may_load.set()
        is_ready(client)
        with client.websocket_connect("/v1/stream") as socket:
            assert isinstance(told(socket), AsrReady)


def test_one_stream_too_many_is_refused_and_the_place_of_one_that_left_is_free(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as first, client.websocket_connect("/v1/stream") as second:
        assert isinstance(told(first), AsrReady)
        assert isinstance(told(second), AsrReady)

        assert refused(client) == ("too_many_sessions", True, 1013)
    with client.websocket_connect("/v1/stream") as third:
        assert isinstance(told(third), AsrReady)


class UnreadableRecogniser(FakeRecogniser):
    def read(self) -> Result:
        return Result("a secret", language=7)  # type: ignore[arg-type]


class UnreadableEngine(FakeEngine):
    """Breaks its contract."""

    def open(self) -> FakeRecogniser:
        return UnreadableRecogniser(())


def test_a_fault_of_ours_is_told_without_its_text_and_ends_the_stream_alone() -> None:
    with client_of(UnreadableEngine()) as client:
        is_ready(client)
        with client.websocket_connect("/v1/stream") as socket, client.websocket_connect("/v1/stream") as other:
            told(socket)
            told(other)
            socket.send_bytes(tone(300))
            assert told(socket).type == "speech_started"
            error = told(socket)
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            other.send_text(Flush().to_json())

            assert told_until_final(other)
    assert isinstance(error, AsrError)
    assert (error.code, error.retryable, closed.value.code) == ("internal_error", False, 1011)
    assert "secret" not in error.message


@pytest.mark.anyio
async def test_a_peer_that_vanishes_while_it_is_told_something_is_no_error() -> None:
    app = build_app(AsrSettings(), FakeEngine)
    to_app: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]

    async def receive() -> dict[str, Any]:
        return to_app.pop(0)

    async def send(message: Message) -> None:
        if message["type"] != "websocket.accept":
            raise OSError("the connection is gone")

    async with app.router.lifespan_context(app):
        await app({"type": "websocket", "path": "/ws", "headers": [], "query_string": b""}, receive, send)

    assert to_app == [{"type": "websocket.disconnect", "code": 1006}], "it was refused, since nothing was loaded yet"


@pytest.mark.anyio
async def test_a_peer_that_reads_nothing_is_given_up_and_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SEND_TIMEOUT_S", 0.01)
    monkeypatch.setattr(service, "FAREWELL_S", 0.01)
    app = build_app(AsrSettings(decoders=1), FakeEngine)
    to_app: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": tone(500)}]
    told: list[str] = []

    async def receive() -> dict[str, Any]:
        if not to_app:
            await anyio.sleep_forever()
        return to_app.pop(0)

    async def send(message: Message) -> None:
        told.append(message["type"])
        if len(told) > 2:  # accept, ready
            await anyio.sleep_forever()

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://asr") as client:
            while (await client.get("/ready")).status_code != 200:
                pass
            await app({"type": "websocket", "path": "/ws", "headers": [], "query_string": b""}, receive, send)
            figures = (await client.get("/metrics")).text

    assert told[:2] == ["websocket.accept", "websocket.send"]
    assert 'parley_sessions{service="asr"} 0.0' in figures


@pytest.mark.anyio
async def test_the_service_ends_when_nothing_decodes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_: DecodeScheduler) -> None:
        raise SystemError("a lane broke")

    signals: list[int] = []
    monkeypatch.setattr(DecodeScheduler, "run", breaks)
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    app = build_app(AsrSettings(), FakeEngine)
    with pytest.RaisesGroup(SystemError):
        async with app.router.lifespan_context(app):
            await anyio.sleep_forever()

    assert signals == [signal.SIGTERM]


def test_the_figures_of_an_utterance_are_counted(client: TestClient) -> None:
    with client.websocket_connect("/v1/stream") as socket:
        told(socket)
        socket.send_bytes(tone(600))
        socket.send_text(Flush().to_json())
        told_until_final(socket)
        figures = client.get("/metrics").text

    assert 'parley_sessions{service="asr"} 1.0' in figures
    for figure in (
        'parley_asr_decode_seconds_count{kind="partial"}',
        'parley_asr_decode_seconds_count{kind="final"}',
        "parley_asr_rtf_count",
        'parley_asr_finals_total{reason="flush"}',
    ):
        assert any(line.startswith(figure) and not line.endswith(" 0.0") for line in figures.splitlines()), figure


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("END_SILENCE_MS", "700", "end_silence_ms", 700),
        ("SHORT_PAUSE_MS", "250", "short_pause_ms", 250),
        ("STABLE_NOCHANGE_MS", "1200", "stable_nochange_ms", 1_200),
        ("SILENCE_RMS_THRESH", "0.01", "silence_rms", 0.01),
        ("LANGUAGE", "en_US:en", "language", "en-US"),
        ("ASR_LANGUAGE", "ko", "language", "ko"),
        ("ASR_MAX_STREAMS", "3", "max_streams", 3),
        ("ASR_PORT", "18002", "port", 18_002),
    ],
)
def test_a_setting_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(AsrSettings.load(), field) == expected


def test_an_engine_that_nobody_knows_stops_the_start_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_ENGINE", "crystal-ball")

    with pytest.raises(SystemExit, match=r"ASR_ENGINE: .*no engine is called 'crystal-ball'; known: embedded"):
        AsrSettings.load()


def test_two_sentences_with_a_pause_between_are_both_understood() -> None:
    pause = silence(300)  # too short to end the utterance, long enough for a candidate
    said = pause.join([silence(300), speech("jintian_tianqi_zenmeyang"), speech("gei_wo_jiang_ge_gushi"), silence(900)])
    with client_of(engines.load("faster-whisper", AsrSettings()), language="zh") as client:
        is_ready(client)
        with client.websocket_connect("/v1/stream") as socket:
            told(socket)
            for chunk in cut(said, 640):
                socket.send_bytes(chunk)
            final = told_until_final(socket)[-1]

    assert isinstance(final, Final)
    assert final.text == "今天天气怎么样给我讲个故事"


def test_the_real_engine_understands_a_question_as_it_is_spoken() -> None:
    with client_of(decoders=1) as client:
        is_ready(client)
        with client.websocket_connect("/v1/stream") as socket:
            assert told(socket) == AsrReady(engine="embedded", languages=["en", "zh", "ko"])
            socket.send_text(Configure(sample_rate=16_000, language="en-US").to_json())
            for chunk in cut(silence(500) + speech("what_is_the_capital_of_france") + silence(1_000), 640):
                socket.send_bytes(chunk)
            messages = told_until_final(socket)

    final = messages[-1]
    assert isinstance(final, Final)
    assert {"capital", "france"} < set(final.text.split())
    assert final.segments[0].start >= 0.5
    assert final.segments[-1].end <= 0.5 + 1.94 + 0.2
    assert [message.text for message in messages if isinstance(message, Candidate)][-1] == final.text
    assert len([message for message in messages if isinstance(message, Partial)]) > 5

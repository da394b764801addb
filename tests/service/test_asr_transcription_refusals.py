"""Files that the asr_service refuses: each with its status, a code, the field at fault and a sentence."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from asr_service.app import build_app
from asr_service.engines.base import Engine
from asr_service.engines.fake import FakeEngine
from asr_service.settings import AsrSettings
from asr_service.upload_form import FIELDS_LIMIT_BYTES, FILE_LIMIT_BYTES
from tests.support.speech import silence, tone
from tests.support.transcriptions import PATH, UTTERANCE, WORDS, client_of, error_of, events_of, is_ready, sent
from tests.support.uploads import wav

pytestmark = pytest.mark.service

GRANULARITIES = "timestamp_granularities"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """On an engine that reads a script."""
    with client_of(FakeEngine(WORDS), max_file_s=30) as client:
        is_ready(client)
        yield client


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "xml"}, "invalid_message", "response_format"),
        ({"response_format": "diarized_json"}, "unsupported", "response_format"),
        ({"response_format": "srt", "stream": "true"}, "unsupported", "response_format"),
        ({"response_format": "verbose_json", "stream": "true"}, "unsupported", "response_format"),
        ({"response_format": "verbose_json", GRANULARITIES: ["day"]}, "invalid_message", GRANULARITIES),
        ({GRANULARITIES: ["segment"]}, "invalid_message", GRANULARITIES),
        ({GRANULARITIES: ["word"], "response_format": "srt"}, "invalid_message", GRANULARITIES),
        ({"include": ["logprobs"]}, "unsupported", "include"),
        ({"language": "tlh"}, "unsupported", "language"),
        ({"language": "e"}, "invalid_message", "language"),
        ({"temperature": "hot"}, "invalid_message", "temperature"),
        ({"temperature": "1.1"}, "invalid_message", "temperature"),
        ({"temperature": "nan"}, "invalid_message", "temperature"),
        ({"stream": "perhaps"}, "invalid_message", "stream"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_had_is_named(client: TestClient, fields: dict[str, Any], code: str, param: str) -> None:
    assert error_of(sent(client, wav(UTTERANCE), **fields)) == (400, code, param)


def test_fields_that_mean_nothing_here_are_ignored(client: TestClient) -> None:
    answer = sent(client, wav(UTTERANCE), model="gpt-9", prompt="names: Ada", language="", temperature="1", mood="glad")

    assert answer.json()["text"] == "one two three"


@pytest.mark.parametrize(
    "file",
    [b"", b"PK\x03\x04" + bytes(300), b"no sound at all" * 99, wav(b""), wav(UTTERANCE)[:9_000], tone(1_000)],
    ids=["empty", "zip", "text", "no samples", "cut off", "raw PCM"],
)
@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
def test_what_is_no_sound_is_refused(client: TestClient, file: bytes, fields: dict[str, str]) -> None:
    assert error_of(sent(client, file, **fields)) == (400, "invalid_audio", "file")


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"file": "x"}},
        {"content": b""},
        {"data": {"file": "a path of yours", "model": "x"}},
        {"files": {"sound": b"x"}},
        {"files": {"file": (None, b"x")}},
    ],
    ids=["JSON", "nothing", "URL-encoded", "another name", "a field, no file"],
)
def test_a_request_without_a_file_is_refused(client: TestClient, request_: dict[str, Any]) -> None:
    assert error_of(client.post(PATH, **request_)) == (400, "invalid_message", "file")


BOUNDARY = {"content-type": "multipart/form-data; boundary=x"}


# The form's parser forgets a file that never ended; it is closed when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"--x\r\n", {"content-type": "multipart/form-data"}),
        (b"no boundary is here", BOUNDARY),
        (b"--x\r\n\r\nnameless\r\n--x--\r\n", BOUNDARY),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut o', BOUNDARY),
        (b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + b"m" * 99_999 + b"\r\n--x--\r\n", BOUNDARY),
        (
            b"".join(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n' for _ in range(2))
            + b"--x--\r\n",
            BOUNDARY,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n',
            {"content-type": "multipart/form-data; charset=undefined; boundary=x"},
        ),
    ],
    ids=["no boundary", "no form", "no name", "cut off", "a long field", "two files", "a charset of fools"],
)
def test_a_form_that_is_none_is_refused(client: TestClient, body: bytes, headers: dict[str, str]) -> None:
    status, code, _ = error_of(client.post(PATH, content=body, headers=headers))

    assert status == 400
    assert code in {"bad_request", "invalid_message"}


@pytest.mark.parametrize("more_bytes", [1, FIELDS_LIMIT_BYTES + 1])
def test_a_file_too_large_is_refused(client: TestClient, more_bytes: int) -> None:
    assert error_of(sent(client, bytes(FILE_LIMIT_BYTES + more_bytes))) == (413, "message_too_large", "file")


def test_a_file_that_lasts_too_long_is_refused(client: TestClient) -> None:
    assert error_of(sent(client, wav(silence(30_100)))) == (413, "message_too_large", "file")
    assert sent(client, wav(silence(30_000))).status_code == 200


def test_a_translation_is_not_had(client: TestClient) -> None:
    answer = client.post("/v1/audio/translations", files={"file": wav(UTTERANCE)}, data={"model": "whisper-1"})

    assert error_of(answer) == (400, "unsupported", None)


def test_nothing_is_taken_while_the_recogniser_loads() -> None:
    may_load = threading.Event()

    def load() -> Engine:
        may_load.wait()
        return FakeEngine()

    with TestClient(build_app(AsrSettings(), load)) as client:
        answer = sent(client, wav(UTTERANCE))
        may_load.set()

    assert error_of(answer) == (503, "service_unavailable", None)
    assert answer.headers["retry-after"] == "1"


class FailingEngine(FakeEngine):
    """Its library breaks in the step after `steps` of them; the first one is the warm-up."""

    def __init__(self, steps: int) -> None:
        super().__init__(WORDS, on_step=self._step)
        self._left = steps

    def _step(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError("the library broke")


def test_a_recogniser_that_fails_is_an_error_of_the_request_alone() -> None:
    with client_of(FailingEngine(steps=1), decoders=1) as client:
        is_ready(client)
        answer = sent(client, wav(UTTERANCE))

        assert error_of(answer) == (502, "engine_failed", None)
        assert "library" not in answer.text
        assert sent(client, wav(UTTERANCE)).json()["text"] == "one two three"


def test_a_stream_that_has_begun_ends_with_its_error() -> None:
    long = UTTERANCE + silence(3_000) + tone(800)
    with client_of(FailingEngine(steps=3), decoders=1) as client:
        is_ready(client)
        *told, error = events_of(sent(client, wav(long), stream="true").text)

    assert told == [{"type": "transcript.text.delta", "delta": "one two three"}]
    assert (error["error"]["code"], error["error"]["type"]) == ("engine_failed", "server_error")


def test_the_service_describes_the_form(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"][PATH]["post"]["requestBody"]["content"]

    fields = described["multipart/form-data"]["schema"]["properties"]
    assert {"file", "model", "language", "prompt", "response_format", "temperature", "stream"} <= set(fields)


def test_the_figures_of_a_file_are_counted(client: TestClient) -> None:
    sent(client, wav(UTTERANCE))
    sent(client, b"no sound")
    figures = client.get("/metrics").text

    assert 'parley_sessions{service="asr"} 0.0' in figures
    for figure in (
        'parley_asr_finals_total{reason="silence"}',
        'parley_errors_total{code="invalid_audio",service="asr"}',
    ):
        assert re.search(rf"^{re.escape(figure)} [1-9]", figures, re.MULTILINE), figure

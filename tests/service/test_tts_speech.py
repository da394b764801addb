"""Speech as files, with the real espeak-ng: what a person would hear, and what OpenAI's own client makes of it."""

import base64
import io
import json
import struct
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
import numpy as np
import pytest
from fastapi.testclient import TestClient
from openai import AsyncOpenAI, BadRequestError, DefaultAsyncHttpxClient

from tests.support.llm import serving
from tests.support.sounds import decoded, loudness_db, samples_in
from tts_service.app import build_app
from tts_service.encoders import UNKNOWN_LENGTH
from tts_service.settings import TtsSettings
from tts_service.speech import INPUT_LIMIT_CHARS

pytestmark = pytest.mark.service

TEXT = "Hello there, this is a test. 你好，世界。"
Form = Literal["mp3", "opus", "aac", "flac", "wav"]
FORMS: tuple[Form, ...] = ("mp3", "opus", "aac", "flac", "wav")


@pytest.fixture(scope="module")
def espeak() -> Iterator[TestClient]:
    """A client of the service as it runs by default."""
    with TestClient(build_app(TtsSettings(slots=1))) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def speech(client: TestClient, text: str = "Hello there, this is a test.", **more: Any) -> Any:
    fields = {"model": "tts-1", "input": text, "voice": "alloy", "response_format": "wav", **more}
    return client.post("/v1/audio/speech", json=fields)


def test_speech_is_a_wav_that_can_be_heard(espeak: TestClient) -> None:
    response = speech(espeak)
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/wav"
    assert "content-length" not in response.headers
    head, pcm = response.content[:44], response.content[44:]
    assert head[:4] == b"RIFF"
    assert struct.unpack("<I", head[4:8])[0] == struct.unpack("<I", head[40:44])[0] == UNKNOWN_LENGTH
    with wave.open(io.BytesIO(response.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
    samples = np.frombuffer(pcm, np.int16)
    assert samples.size / 24_000 > 0.5
    assert np.abs(samples.astype(np.int32)).max() > 2_000


def test_pcm_is_the_same_without_a_header(espeak: TestClient) -> None:
    response = speech(espeak, response_format="pcm")
    assert response.headers["content-type"] == "audio/pcm"
    assert response.headers["x-sample-rate"] == "24000"
    assert len(response.content) == pytest.approx(len(speech(espeak).content) - 44, rel=0.02)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
def test_a_speed_divides_the_time_that_it_takes(espeak: TestClient, speed: float) -> None:
    usual, other = (len(speech(espeak, speed=speed).content) for speed in (1.0, speed))
    assert other == pytest.approx(usual / speed, rel=0.25)


def test_several_sentences_and_scripts_are_all_said(espeak: TestClient) -> None:
    parts = ["Hello there.", "今天天气很好。", "안녕하세요."]
    alone = sum(len(speech(espeak, part, response_format="pcm").content) for part in parts)
    together = len(speech(espeak, " ".join(parts), response_format="pcm").content)
    assert alone < together < alone + 24_000 * 2 * 1.5, "the pauses between them come on top"


def test_a_text_with_nothing_to_say_is_an_empty_wav(espeak: TestClient) -> None:
    response = speech(espeak, "🙂")
    assert response.status_code == 200
    assert len(response.content) == 44


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"response_format": "tape"}, "invalid_message", "response_format"),
        ({"voice": "nobody"}, "invalid_message", "voice"),
        ({"speed": 9}, "invalid_message", "speed"),
        ({"instructions": "Whisper."}, "unsupported", "instructions"),
        ({"input": "x" * (INPUT_LIMIT_CHARS + 1)}, "invalid_message", "input"),
    ],
)
def test_a_wrong_field_is_a_typed_error(espeak: TestClient, fields: dict[str, Any], code: str, param: str) -> None:
    response = espeak.post("/v1/audio/speech", json={"input": "Hello.", **fields})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")


def test_an_input_at_the_limit_is_spoken() -> None:
    words = ("word " * INPUT_LIMIT_CHARS)[:INPUT_LIMIT_CHARS]
    with TestClient(build_app(TtsSettings(engine="fake"))) as client:
        while client.get("/ready").status_code != 200:
            pass
        assert speech(client, words, voice=None).status_code == 200


def test_the_plain_way_is_a_wav_that_can_be_heard(espeak: TestClient) -> None:
    response = espeak.post("/tts", json={"text": TEXT, "cfg_scale": 1.0})
    assert response.headers["content-type"] == "audio/wav"
    assert len(response.content) == pytest.approx(len(speech(espeak, TEXT, voice=None).content), rel=0.02)


@asynccontextmanager
async def official_client() -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's own, of a service that is ready."""
    http = DefaultAsyncHttpxClient(trust_env=False)
    with anyio.fail_after(50):
        async with serving(build_app(TtsSettings(slots=1))) as address, http:
            while (await http.get(f"{address}/ready")).status_code != 200:
                pass
            yield AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0, http_client=http)


@pytest.mark.anyio
async def test_openai_s_client_reads_each_format_as_long_and_as_loud_as_the_pcm() -> None:
    async with official_client() as client:
        make = client.audio.speech
        pcm = (await make.create(model="tts-1", voice="alloy", input=TEXT, response_format="pcm")).content
        for form in FORMS:
            file = (await make.create(model="tts-1", voice="alloy", input=TEXT, response_format=form)).content
            heard, rate = decoded(file)
            assert heard.size / rate == pytest.approx(len(pcm) / 48_000, abs=0.12), form
            assert loudness_db(heard) == pytest.approx(loudness_db(samples_in(pcm)), abs=1), form
        usual = await make.create(model="tts-1", voice={"id": "en-us"}, input=TEXT, speed=2)
        heard, rate = decoded(usual.content, "mp3")
        assert heard.size / rate < 0.75 * len(pcm) / 48_000


@pytest.mark.anyio
async def test_openai_s_client_streams_and_reads_events_and_refusals() -> None:
    async with official_client() as client:
        make = client.audio.speech
        streamed = make.with_streaming_response
        given: dict[str, Any] = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": TEXT}
        async with streamed.create(**given, response_format="opus") as answer:
            file = b"".join([part async for part in answer.iter_bytes()])
        async with streamed.create(**given, response_format="opus", stream_format="sse") as answer:
            told = [json.loads(line.removeprefix("data: ")) async for line in answer.iter_lines() if line]
        with pytest.raises(BadRequestError) as refused:
            await make.create(**given, instructions="Whisper.")
    heard, rate = decoded(file)
    assert heard.size / rate > 2
    assert {one["type"] for one in told[:-1]} == {"speech.audio.delta"}
    again, _ = decoded(b"".join(base64.b64decode(one["audio"]) for one in told[:-1]))
    assert again.size / rate == pytest.approx(heard.size / rate, abs=0.12)
    assert told[-1]["type"] == "speech.audio.done"
    assert told[-1]["usage"]["total_tokens"] > len(TEXT)
    assert refused.value.param == "instructions"

"""OpenAI's own client against the asr_service: every form of an answer, events and errors, as its types say them."""

from collections.abc import Iterator
from typing import Literal, get_args

import pytest
from openai import APIError, APIStatusError, BadRequestError, OpenAI
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from starlette.testclient import TestClient

from asr_service.engines.fake import FakeEngine
from asr_service.upload_form import FILE_LIMIT_BYTES
from tests.support.transcriptions import TWO_UTTERANCES, UTTERANCE, WORDS, client_of, is_ready
from tests.support.uploads import encoded, wav

pytestmark = pytest.mark.service

TEXT = "one two three one two"
WAV = ("speech.wav", wav(TWO_UTTERANCES), "audio/wav")
SUBTITLES: dict[Literal["text", "srt", "vtt"], str] = {
    "text": f"{TEXT}\n",
    "srt": "1\n00:00:00,200 --> 00:00:01,640\none two three\n\n2\n00:00:02,200 --> 00:00:03,000\none two\n",
    "vtt": "WEBVTT\n\n00:00:00.200 --> 00:00:01.640\none two three\n\n00:00:02.200 --> 00:00:03.000\none two\n",
}


class TranslatingEngine(FakeEngine):
    """Its script is in English, whatever was said."""

    translates = True


@pytest.fixture(scope="module")
def http() -> Iterator[TestClient]:
    with client_of(TranslatingEngine(WORDS)) as client:
        is_ready(client)
        yield client


@pytest.fixture(scope="module")
def client(http: TestClient) -> OpenAI:
    return OpenAI(base_url="http://testserver/v1", api_key="nobody asks for it", http_client=http, max_retries=0)


def strict(told: Transcription | TranscriptionVerbose | Translation | TranslationVerbose) -> dict[str, object]:
    """The answer, each field checked by its type: the client itself lets anything pass."""
    return type(told).model_validate(told.to_dict(), strict=True).to_dict()


def test_json_is_what_is_had_unless_told(client: OpenAI) -> None:
    told = client.audio.transcriptions.create(file=WAV, model="whisper-1")

    assert isinstance(told, Transcription)
    assert strict(told) == {"text": TEXT, "usage": {"type": "duration", "seconds": 3.0}}


@pytest.mark.parametrize("response_format", get_args(Literal["text", "srt", "vtt"]))
def test_text_and_subtitles_are_strings(client: OpenAI, response_format: Literal["text", "srt", "vtt"]) -> None:
    told = client.audio.transcriptions.create(file=WAV, model="whisper-1", response_format=response_format)

    assert told == SUBTITLES[response_format]


def test_verbose_json_has_segments_and_words(client: OpenAI) -> None:
    told = client.audio.transcriptions.create(
        file=WAV,
        model="whisper-1",
        language="en",
        prompt="Names: Ada.",
        temperature=0.4,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )

    assert isinstance(told, TranscriptionVerbose)
    strict(told)
    assert (told.text, told.language, told.duration) == (TEXT, "english", 3.0)
    assert [(part.id, part.start, part.end, part.text) for part in told.segments or ()] == [
        (0, 0.2, 1.64, "one two three"),
        (1, 2.2, 3.0, "one two"),
    ]
    assert [word.word for word in told.words or ()] == TEXT.split()
    assert told.usage is not None
    assert told.usage.seconds == 3


@pytest.mark.parametrize(
    ("granularities", "has_segments", "has_words"),
    [(["word"], False, True), (["segment"], True, False), ([], True, False)],
)
def test_granularities_are_those_that_were_asked_for(
    client: OpenAI, granularities: list[Literal["word", "segment"]], has_segments: bool, has_words: bool
) -> None:
    told = client.audio.transcriptions.create(
        file=WAV, model="whisper-1", response_format="verbose_json", timestamp_granularities=granularities
    )

    assert (told.segments is not None, told.words is not None) == (has_segments, has_words)


def test_events_come_one_after_the_other(client: OpenAI) -> None:
    events: list[TranscriptionStreamEvent] = []
    with client.audio.transcriptions.create(file=WAV, model="gpt-4o-transcribe", stream=True) as stream:
        events += stream

    first, second, done = events
    assert isinstance(first, TranscriptionTextDeltaEvent)
    assert isinstance(second, TranscriptionTextDeltaEvent)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert (first.delta + second.delta, done.text) == (TEXT, TEXT)
    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
    assert done.usage is not None
    assert (done.usage.type, done.usage.input_tokens, done.usage.total_tokens) == ("tokens", 30, 36)


@pytest.mark.parametrize("name", ["mp3", "m4a", "webm", "flac", "ogg"])
def test_a_file_may_be_of_any_format(client: OpenAI, name: str) -> None:
    told = client.audio.transcriptions.create(file=(f"speech.{name}", encoded(UTTERANCE, name)), model="whisper-1")

    assert told.text == "one two three"


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI's own translations end; ours do not
def test_a_translation_is_had_in_each_form(client: OpenAI) -> None:
    create = client.audio.translations.create
    plain, verbose = create(file=WAV, model="m"), create(file=WAV, model="m", response_format="verbose_json")

    assert isinstance(plain, Translation)
    assert strict(plain) == {"text": TEXT}
    assert isinstance(verbose, TranslationVerbose)
    strict(verbose)
    assert (verbose.text, verbose.language, len(verbose.segments or ())) == (TEXT, "english", 2)
    for response_format, expected in SUBTITLES.items():
        assert create(file=WAV, model="m", response_format=response_format) == expected


@pytest.mark.parametrize(
    ("file", "language", "status", "code", "param"),
    [
        (b"", "en", 400, "invalid_audio", "file"),
        (b"no sound", "en", 400, "invalid_audio", "file"),
        (bytes(FILE_LIMIT_BYTES + 1), "en", 413, "message_too_large", "file"),
        (WAV[1], "tlh", 400, "unsupported", "language"),
    ],
    ids=["empty", "no sound", "too large", "a language of the stars"],
)
def test_an_error_is_one_of_the_clients_own(
    client: OpenAI, file: bytes, language: str, status: int, code: str, param: str
) -> None:
    with pytest.raises(APIStatusError) as refused:
        client.audio.transcriptions.create(file=("a.wav", file), model="whisper-1", language=language)

    error = refused.value
    assert (error.status_code, error.code, error.param, error.type) == (status, code, param, "invalid_request_error")
    assert "Error code" in error.message
    assert isinstance(error, BadRequestError) == (status == 400)


class BreakingEngine(FakeEngine):
    """Its library breaks in the fourth step: the warm-up is one, the first utterance two, a second at a time."""

    def __init__(self) -> None:
        super().__init__(WORDS, on_step=self._step)
        self._left = 3

    def _step(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError("the library broke")


def test_an_error_after_the_first_event_ends_the_stream() -> None:
    with client_of(BreakingEngine()) as http:
        is_ready(http)
        client = OpenAI(base_url="http://testserver/v1", api_key="x", http_client=http, max_retries=0)
        stream = client.audio.transcriptions.create(file=WAV, model="whisper-1", stream=True)

        with pytest.raises(APIError) as failed:
            list(stream)

    assert failed.value.code == "engine_failed"

"""The requests to an OpenAI-compatible transcription server: a recording out, what it says back, or one clear error.

What an answer tells depends on the server. The fullest form is asked for; where a server refuses it and takes a lesser
one for the same recording, the lesser one is asked for from then on. Nothing of an answer but its status is ever told
to anybody: some servers repeat the key or the speech in their errors. Redirects are not followed, and no proxy is
taken from the environment, so speech goes where the operator sends it and nowhere else.
"""

import io
import logging
import time
import wave
from enum import IntEnum
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from asr_service.engines.base import SAMPLE_BYTES, SAMPLE_RATE
from shared.clock import thread_now_s

TRANSCRIPTIONS: Final = "/audio/transcriptions"
TRANSLATIONS: Final = "/audio/translations"
CONNECT_TIMEOUT_S: Final = 5.0
MOST_BYTES: Final = 4 * 1024 * 1024  # of an answer; half a minute of words with their times has a hundredth
BUSY: Final = frozenset({429, 503})
REFUSED: Final = frozenset({400, 415, 422, 501})  # perhaps for its form
KEY_REFUSED: Final = frozenset({401, 403})
NOT_THERE: Final = frozenset({404, 405, 501})  # said of a path
RETRY_S: Final = 0.5  # unless the server tells
LONGEST_RETRY_S: Final = 2.0  # who is told to wait longer does not wait: somebody listens
log = logging.getLogger(__name__)


class Form(IntEnum):
    """How much an answer tells."""

    TEXT = 0
    SEGMENTS = 1
    WORDS = 2


class UpstreamFailed(Exception):
    """The server did not do what it was asked for; the message holds its address and its status at most."""


class UpstreamBusy(UpstreamFailed):
    """It has no room now."""


class Timed(BaseModel):
    """A piece of the text; seconds."""

    model_config = ConfigDict(allow_inf_nan=False)
    start: float
    end: float


class Segment(Timed):
    """A few words, and what the model thought of them where it tells."""

    text: str
    no_speech_prob: float | None = None
    avg_logprob: float | None = None


class SpokenWord(Timed):
    word: str


def _understood(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """The value as it is read, None for one that is of another kind: the text is worth more than its times."""
    try:
        return read(value)
    except ValidationError:
        return None


class Answer(BaseModel):
    """What a recording says. `language`: its name or code; None where something is not told or not understood."""

    text: str
    language: Annotated[str | None, WrapValidator(_understood)] = None
    segments: Annotated[list[Segment] | None, WrapValidator(_understood)] = None
    words: Annotated[list[SpokenWord] | None, WrapValidator(_understood)] = None


class Upstream:
    """One server, for any number of threads. `url` is the base of its paths; an empty key is not sent."""

    def __init__(self, url: str, key: str, model: str, timeout_s: float, lanes: int) -> None:
        self._url = url
        self._model = model
        self._timeout_s = timeout_s
        self._most = {TRANSCRIPTIONS: Form.WORDS, TRANSLATIONS: Form.SEGMENTS}  # what each path was not seen to refuse
        self.translates = True  # as far as was seen
        self._client = httpx.Client(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
            limits=httpx.Limits(max_connections=lanes, max_keepalive_connections=lanes),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def tells_words(self) -> bool:
        """Whether the times of words can be had, as far as was seen."""
        return self._most[TRANSCRIPTIONS] is Form.WORDS

    def most(self, is_translation: bool) -> Form:
        """The fullest form that can be had, as far as was seen."""
        return self._most[TRANSLATIONS if is_translation else TRANSCRIPTIONS]

    def check(self) -> None:
        """Raises ConnectionError unless the server answers, PermissionError when it refuses the key."""
        try:
            status, _, _ = self._receive(self._client.build_request("GET", f"{self._url}/models"))
        except (httpx.TransportError, TimeoutError) as failure:
            raise ConnectionError(f"{self._url} cannot be reached: {type(failure).__name__}") from None
        if status in KEY_REFUSED:
            raise PermissionError(f"{self._url} refuses the key of ASR_UPSTREAM_KEY: it answers {status}")
        if 300 <= status < 400 or status >= 500:
            raise ConnectionError(f"{self._url} cannot serve: it answers {status}")

    def transcribed(self, pcm: bytes, language: str, is_translation: bool, wanted: Form, is_patient: bool) -> Answer:
        """What `pcm` says, in the fullest form up to `wanted`. `language` is a code, "" for whatever is spoken.

        Raises UpstreamBusy, after a second try where the caller is patient; UpstreamFailed, ConnectionError,
        TimeoutError.
        """
        path = TRANSLATIONS if is_translation else TRANSCRIPTIONS
        file = recording(pcm)
        form = first = min(wanted, self._most[path])
        while True:
            fields = self._fields("" if is_translation else language, form)
            status, body = self._ask(path, fields, file, is_patient)
            if status not in REFUSED or form is Form.TEXT:
                break
            form = Form(form - 1)
        self.translates &= not (is_translation and status in NOT_THERE)
        answer = self._answer(status, body)
        if form is Form.WORDS and answer.words is None and answer.text.strip():
            form = Form.SEGMENTS  # it ignores the wish
        if form < first:
            self._most[path] = min(self._most[path], form)
            log.info("the upstream tells less than was asked for", extra={"form": form.name.lower(), "path": path})
        return answer

    def close(self) -> None:
        """End every connection; a second call does nothing."""
        self._client.close()

    def _fields(self, language: str, form: Form) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self._model, "response_format": "verbose_json" if form else "json"}
        if language:
            fields["language"] = language
        if form is Form.WORDS:
            fields["timestamp_granularities[]"] = ["segment", "word"]
        return fields

    def _ask(self, path: str, fields: dict[str, Any], file: bytes, is_patient: bool) -> tuple[int, bytes]:
        """Status and body; a busy server is asked once more if it may have room soon and the caller is patient."""
        status, wait_s, body = self._post(path, fields, file)
        if status in BUSY and is_patient and wait_s <= LONGEST_RETRY_S:
            time.sleep(wait_s)
            status, _, body = self._post(path, fields, file)
        return status, body

    def _post(self, path: str, fields: dict[str, Any], file: bytes) -> tuple[int, float, bytes]:
        files = {"file": ("speech.wav", file, "audio/wav")}
        request = self._client.build_request("POST", f"{self._url}{path}", data=fields, files=files)
        try:
            try:
                return self._receive(request)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                return self._receive(request)  # most likely a kept connection that the server had closed meanwhile
        except (httpx.TimeoutException, TimeoutError):
            raise TimeoutError(f"{self._url} did not answer within {self._timeout_s:g} s") from None
        except httpx.TransportError as failure:
            raise ConnectionError(f"{self._url} cannot be reached: {type(failure).__name__}") from None

    def _receive(self, request: httpx.Request) -> tuple[int, float, bytes]:
        """Status, seconds after which to ask again, and body; TimeoutError when its end takes too long to come."""
        deadline_s = thread_now_s() + self._timeout_s
        body = bytearray()
        response = self._client.send(request, stream=True)
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise UpstreamFailed(f"{self._url} answered with more than {MOST_BYTES} bytes")
                if thread_now_s() > deadline_s:
                    raise TimeoutError
        finally:
            response.close()
        return response.status_code, seconds(response.headers.get("retry-after", "")), bytes(body)

    def _answer(self, status: int, body: bytes) -> Answer:
        if status != httpx.codes.OK:
            is_busy = status in BUSY
            log.log(
                logging.INFO if is_busy else logging.WARNING, "the upstream took no recording", extra={"status": status}
            )
            raise (UpstreamBusy if is_busy else UpstreamFailed)(f"{self._url} answered {status}")
        try:
            return Answer.model_validate_json(body)
        except ValidationError:  # its text quotes the body, and the body may be speech
            log.warning("the upstream's answer is no transcription", extra={"answer_bytes": len(body)})
            raise UpstreamFailed(f"{self._url} answered {status} with something that is no transcription") from None


def seconds(retry_after: str) -> float:
    """How long the header `Retry-After` asks to wait; without one a moment, for a date too long."""
    if not retry_after:
        return RETRY_S
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else LONGEST_RETRY_S + 1


def recording(pcm: bytes) -> bytes:
    """PCM16 mono at 16 000 Hz as a WAV."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)
    return target.getvalue()

"""The engine that asks a server elsewhere: what it sends, what it makes of the answers, and what it never tells."""

import logging
import socket
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from asr_service.core.languages import NAMES
from asr_service.engines.base import Engine, Recogniser, Result
from asr_service.engines.openai_upstream import LANES, UpstreamEngine, load
from asr_service.engines.upstream_http import MOST_BYTES, Upstream, UpstreamBusy, UpstreamFailed, seconds
from asr_service.settings import AsrSettings
from tests.support.asr_upstreams import KEY, SOUND, Reply, StandIn, begun, opened
from tests.support.house_processes import free_ports
from tests.support.speech import noise

pytestmark = pytest.mark.contract


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn().running() as running:
        yield running


@pytest.fixture
def engine(server: StandIn) -> Iterator[UpstreamEngine]:
    made = opened(server.url)
    yield made
    made.close()


@pytest.fixture
def recogniser(engine: UpstreamEngine) -> Recogniser:
    return engine.open()


# Servers without room


@pytest.mark.parametrize("status", [429, 503])
def test_a_reading_on_the_way_without_room_is_the_last_one_again(
    server: StandIn, recogniser: Recogniser, status: int
) -> None:
    begun(recogniser).read()
    recogniser.hear(SOUND)
    server.replies.append(Reply(status, headers={"retry-after": "0"}))

    assert recogniser.read() == Result("hello")
    assert len(server.asked) == 2
    recogniser.read()
    assert len(server.asked) == 3, "there was no reading of all that was heard"


def test_an_end_without_room_is_asked_for_twice(server: StandIn, recogniser: Recogniser) -> None:
    server.replies.append(Reply(503, headers={"retry-after": "0"}))
    assert begun(recogniser).finish().text == "hello"

    server.replies += [Reply(429, headers={"retry-after": "0"})] * 2
    with pytest.raises(UpstreamBusy, match=r"answered 429$"):
        begun(recogniser).finish()
    assert len(server.asked) == 4


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_nobody_waits_long_for_room(server: StandIn, recogniser: Recogniser, wait: str) -> None:
    server.replies.append(Reply(429, headers={"retry-after": wait}))

    with pytest.raises(UpstreamBusy):
        begun(recogniser).finish()
    assert len(server.asked) == 1


def test_a_server_that_names_no_wait_is_asked_again_in_a_moment() -> None:
    assert [seconds(told) for told in ("", "0", "2", "-1", "²", "soon")] == [0.5, 0.0, 2.0, 3.0, 3.0, 3.0]


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing(server: StandIn, recogniser: Recogniser) -> None:
    begun(recogniser).read()
    server.replies.append(Reply(hangs_up=True))

    assert begun(recogniser).finish().text == "hello"


# Servers that fail, and what is told of it


ECHO = f'{{"error": {{"message": "Incorrect API key provided: {KEY}. You said: a secret."}}}}'.encode()
LONG = b'{"text": "' + b"x" * MOST_BYTES + b'"}'
FAILURES = {
    "an error": (Reply(500, ECHO), UpstreamFailed, "answered 500"),
    "the key refused": (Reply(401, ECHO), UpstreamFailed, "answered 401"),
    "elsewhere": (Reply(307, ECHO, {"location": "http://127.0.0.1:1/"}), UpstreamFailed, "answered 307"),
    "no JSON": (Reply(200, f"a secret {KEY}".encode()), UpstreamFailed, "no transcription"),
    "another JSON": (Reply(200, b'{"text": ["a secret"]}'), UpstreamFailed, "no transcription"),
    "no end": (Reply(200, LONG), UpstreamFailed, "more than"),
    "gone": (Reply(hangs_up=True), ConnectionError, "cannot be reached: RemoteProtocolError"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "error", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_names_the_server_and_nothing_that_it_said(
    server: StandIn, recogniser: Recogniser, caplog: pytest.LogCaptureFixture, reply: Reply, error: type, says: str
) -> None:
    server.reply = reply
    with caplog.at_level(logging.DEBUG), pytest.raises(error, match=says) as failure:
        begun(recogniser).finish()

    told = "".join(traceback.format_exception(failure.value)) + caplog.text + repr(vars(recogniser))
    assert server.url in str(failure.value)
    assert KEY not in told
    assert "a secret" not in told


@pytest.mark.parametrize("reply", [Reply(is_held=True), Reply(body=b" " * 1_000, drips=True)], ids=["silent", "slow"])
def test_a_server_that_takes_too_long_is_left(server: StandIn, reply: Reply) -> None:
    engine = opened(server.url, timeout_s=0.2)
    server.reply = reply
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.2 s$"):
        begun(engine.open()).finish()
    engine.close()


def test_a_failed_reading_of_a_long_stretch_loses_no_sound(server: StandIn, recogniser: Recogniser) -> None:
    pcm = noise(31_000)
    server.tells(text="one")
    server.replies.append(Reply(500))
    with pytest.raises(UpstreamFailed):
        begun(recogniser, pcm=pcm).finish()

    assert recogniser.finish().text == "one hello"
    assert sum(len(one.pcm) for one in (server.asked[0], server.asked[2])) == len(pcm)


# Loading


def settings(**fields: Any) -> AsrSettings:
    return AsrSettings(engine="openai", upstream_key=KEY, **fields)


def loaded(url: str, **fields: Any) -> Engine:
    made = load(settings(upstream_url=url, **fields))
    assert isinstance(made, UpstreamEngine)
    made.close()
    return made


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_server_that_answers_is_there_whether_it_lists_models_or_not(server: StandIn, status: int) -> None:
    server.models = Reply(status)

    engine = loaded(f"{server.url}/")

    assert engine.name == "openai"
    assert (engine.detects, engine.translates, engine.tells_words, engine.shares_model) == (True,) * 4
    assert engine.lanes == 8


@pytest.mark.parametrize(
    ("language", "first"), [("en", "en"), ("zh-CN", "zh"), ("auto", "en"), ("tlh", "tlh"), ("ko", "ko")]
)
def test_the_language_that_is_set_goes_before_those_of_whisper(server: StandIn, language: str, first: str) -> None:
    languages = loaded(server.url.removesuffix("/v1"), language=language).languages

    assert languages[0] == first
    assert set(languages) == {first, *NAMES}
    assert len(languages) == len(set(languages))


@pytest.mark.parametrize(("status", "error"), [(401, PermissionError), (403, PermissionError), (500, ConnectionError),
                                               (503, ConnectionError), (302, ConnectionError)])  # fmt: skip
def test_a_server_that_cannot_serve_is_not_ready(server: StandIn, status: int, error: type[Exception]) -> None:
    server.models = Reply(status, ECHO)
    with pytest.raises(error, match=f"{status}$") as failure:
        loaded(server.url)

    assert server.url in str(failure.value)
    assert KEY not in str(failure.value)


def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_ports(1)}/v1"
    with pytest.raises(ConnectionError, match=url):
        loaded(url)


def test_a_server_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        upstream = Upstream(url, KEY, "m", 0.1, LANES)
        with pytest.raises(ConnectionError, match=url):
            upstream.check()
        upstream.close()


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:9000", "ftp://host/v1", "http://", "http:///v1", "http://ada:hush@host/v1", "http://host:hush/v1",
        "http://host/v1?key=hush", "http://host/v1#hush", "http://[hush/v1", "http://host:0/v1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^ASR_UPSTREAM_URL: ") as failure:
        load(settings(upstream_url=url))

    assert "hush" not in "".join(traceback.format_exception(failure.value, chain=False))


@pytest.mark.parametrize("key", ["hush\n", "hu sh", "hüsh"])
def test_a_key_that_is_no_header_is_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match=r"^ASR_UPSTREAM_KEY: ") as failure:
        load(AsrSettings(upstream_url="http://127.0.0.1:1/v1", upstream_key=key))

    assert key not in str(failure.value)

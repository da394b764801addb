"""OpenAI's paths at the gateway: each with good and bad input, and what becomes of a request on its way."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, NotFoundError
from openai.types.chat import ChatCompletionMessageParam

from tests.support.rest_house import (
    ANSWER,
    HEARD,
    NOBODY,
    SPOKEN,
    VOICE,
    RestHouse,
    gateway,
    refusal,
    urls_of,
)
from tests.support.tts_caller import Caller
from tests.support.voices import FORM

pytestmark = [pytest.mark.service, pytest.mark.anyio]

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello, how are you?"}]


async def test_a_recording_is_written_down_and_what_is_none_is_refused(house: RestHouse) -> None:
    path = "/v1/audio/transcriptions"
    heard = await house.client.post(path, files={"file": ("a.wav", SPOKEN)}, data={"model": "whisper-1"})
    torn = await house.client.post(path, files={"file": ("a.wav", b"no sound at all")})
    bare = await house.client.post(path, data={"model": "whisper-1"})

    assert heard.json()["text"] == HEARD
    assert refusal(torn) == (400, "invalid_audio", "file")
    assert refusal(bare) == (400, "invalid_message", "file")


async def test_a_recording_is_written_down_while_it_is_heard(house: RestHouse) -> None:
    fields = {"stream": "true"}
    heard = await house.client.post("/v1/audio/transcriptions", files={"file": ("a.wav", SPOKEN)}, data=fields)

    assert heard.headers["content-type"].startswith("text/event-stream")
    assert heard.text.endswith("data: [DONE]\n\n")


async def test_a_translation_is_refused_by_an_engine_that_makes_none(house: RestHouse) -> None:
    answer = await house.client.post("/v1/audio/translations", files={"file": ("a.wav", SPOKEN)})
    assert refusal(answer)[:2] == (400, "unsupported")


async def test_a_text_is_spoken_in_each_form_and_an_empty_one_is_refused(house: RestHouse) -> None:
    wav = await house.client.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "wav"})
    pcm = await house.client.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
    empty = await house.client.post("/v1/audio/speech", json={"input": ""})
    no_json = await house.client.post("/v1/audio/speech", content=b"{", headers={"content-type": "application/json"})

    assert (wav.headers["content-type"], wav.content[:4]) == ("audio/wav", b"RIFF")
    assert pcm.headers["x-sample-rate"] == "24000"
    assert 0 < len(pcm.content) < len(wav.content)
    assert refusal(empty) == (400, "invalid_message", "input")
    assert refusal(no_json)[:2] == (400, "invalid_json")


async def test_messages_are_answered_whole_or_as_events_and_none_are_refused(house: RestHouse) -> None:
    path = "/v1/chat/completions"
    whole = await house.client.post(path, json={"messages": HELLO})
    events = await house.client.post(path, json={"messages": HELLO, "stream": True})
    none = await house.client.post(path, json={"messages": []})
    older = await house.client.post("/v1/completions", json={"prompt": ""})

    assert refusal(older) == (400, "invalid_message", "prompt")
    assert whole.json()["choices"][0]["message"]["content"] == ANSWER
    assert events.text.endswith("data: [DONE]\n\n")
    assert refusal(none) == (400, "invalid_message", "messages")


async def test_openai_s_own_client_finds_everything_at_the_gateway(house: RestHouse) -> None:
    http = DefaultAsyncHttpxClient(trust_env=False)
    base_url = f"{house.client.base_url}/v1"
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http) as client:
        model = (await client.models.list()).data[0].id
        heard = await client.audio.transcriptions.create(file=("a.wav", SPOKEN), model="whisper-1")
        asked = client.chat.completions.create(messages=HELLO, model=model, stream=True)
        told = [chunk.choices[0].delta.content or "" async for chunk in await asked if chunk.choices]
        spoken = await client.audio.speech.create(input="Hello.", model="tts-1", voice="tone", response_format="pcm")
        vectors = await client.embeddings.create(input="Hello.", model="")
        with pytest.raises(NotFoundError):
            await client.models.retrieve("another")

    assert heard.text == HEARD
    assert "".join(told) == ANSWER
    assert len(spoken.content) > 1_000
    assert len(vectors.data[0].embedding) > 10


async def test_a_repeated_key_is_answered_once(house: RestHouse) -> None:
    before = len(house.model.asked)
    asked = {"messages": [{"role": "user", "content": "Only once, please."}]}
    answers = [
        await house.client.post("/v1/chat/completions", json=asked, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]

    assert answers[0].content == answers[1].content
    assert len(house.model.asked) == before + 1


async def test_texts_become_vectors_and_no_text_is_refused(house: RestHouse) -> None:
    made = await house.client.post("/v1/embeddings", json={"input": ["one", "two"]})
    none = await house.client.post("/v1/embeddings", json={"input": []})

    assert [len(one["embedding"]) > 10 for one in made.json()["data"]] == [True, True]
    assert refusal(none) == (400, "invalid_message", "input")


async def test_models_are_listed_and_found_by_name_and_an_unknown_one_is_not(house: RestHouse) -> None:
    listed = (await house.client.get("/v1/models")).json()["data"]
    found = await house.client.get(f"/v1/models/{listed[0]['id']}")
    missing = await house.client.get("/v1/models/some/other one")

    assert found.json() == listed[0]
    assert refusal(missing) == (404, "model_not_found", "model")


@pytest.mark.parametrize("path", ["/v1/models/..%2Fmetrics", "/v1/models/..%2F..%2Fmetrics", "/v1/voices/..%2e"])
async def test_no_name_leads_elsewhere(house: RestHouse, path: str) -> None:
    answer = await house.client.get(path)
    assert answer.status_code == 404
    assert "parley_" not in answer.text


@pytest.mark.parametrize("name", [b".", b".."])
async def test_a_folder_is_no_name(house: RestHouse, name: bytes) -> None:
    told: list[dict[str, object]] = []
    scope = {
        "type": "http", "method": "DELETE", "path": f"/v1/voices/{name.decode()}", "raw_path": b"/v1/voices/" + name,
        "query_string": b"", "headers": [],
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        told.append(message)

    await house.app(scope, receive, send)  # type: ignore[arg-type]
    assert told[0]["status"] == 404


async def test_a_voice_is_brought_found_and_deleted_and_one_without_consent_is_refused(house: RestHouse) -> None:
    refused = await house.client.post("/v1/voices", files={"file": VOICE}, data={**FORM, "consent": "no"})
    made = await house.client.post("/v1/voices", files={"file": VOICE}, data=FORM)
    voice_id = made.json()["id"]
    listed = (await house.client.get("/v1/voices")).json()["voices"]
    found = await house.client.get(f"/v1/voices/{voice_id}")
    gone = await house.client.delete(f"/v1/voices/{voice_id}")
    again = await house.client.delete(f"/v1/voices/{voice_id}")

    assert refusal(refused) == (400, "invalid_message", "consent")
    assert made.status_code == 201
    assert voice_id in [voice["id"] for voice in listed]
    assert found.json()["name"] == FORM["name"]
    assert gone.json()["deleted"] is True
    assert refusal(again)[:2] == (404, "not_found")


async def test_a_message_is_spoken_anew_only_where_there_is_a_finer_engine(house: RestHouse) -> None:
    asked = await house.client.post("/v1/rerenders", json={"message_id": "m", "text": "Hello."})
    looked = await house.client.get("/v1/rerenders/a")
    audio = await house.client.get("/v1/rerenders/a/audio")
    dropped = await house.client.delete("/v1/rerenders/a")

    codes = {refusal(answer)[:2] for answer in (asked, looked, audio, dropped)}
    assert codes == {(400, "unsupported")}


async def test_a_file_above_the_limit_is_refused_before_it_is_sent_on(house: RestHouse) -> None:
    big = {"file": ("a.wav", bytes(27 * 1024 * 1024))}
    assert refusal(await house.client.post("/v1/audio/transcriptions", files=big))[:2] == (413, "message_too_large")

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(27):
            yield bytes(1024 * 1024)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    sent = await house.client.post("/v1/audio/transcriptions", content=unannounced(), headers=kind)
    assert refusal(sent)[:2] == (413, "message_too_large")


async def test_a_client_that_leaves_ends_the_work(house: RestHouse) -> None:
    house.model.gates[2] = anyio.Event()
    cut_short = house.llm.cut_short
    body = {"messages": [{"role": "user", "content": "Wait."}], "stream": True}
    async with house.client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if "This" in line:
                break
    await house.llm.until(lambda engine: engine.cut_short > cut_short)
    house.model.gates.clear()


async def test_a_service_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (_, client):
        answers = {
            "asr": await client.post("/v1/audio/transcriptions", files={"file": SPOKEN}),
            "llm": await client.post("/v1/chat/completions", json={"messages": HELLO}),
            "tts": await client.post("/v1/audio/speech", json={"input": "Hello."}),
        }
    assert {refusal(answer)[:2] for answer in answers.values()} == {(503, "service_unavailable")}
    assert {answer.headers["retry-after"] for answer in answers.values()} == {"2"}


async def test_another_replica_is_asked_when_one_cannot_be_reached(house: RestHouse, tmp_path: Path) -> None:
    urls = {name: f"{url.split(':')[0]}://{NOBODY},{url}" for name, url in urls_of(house.addresses).items()}
    async with gateway(tmp_path, **urls) as (_, client):
        heard = await client.post("/v1/audio/transcriptions", files={"file": ("a.wav", SPOKEN)})
        answered = await client.post("/v1/chat/completions", json={"messages": HELLO})

    assert heard.json()["text"] == HEARD
    assert answered.json()["choices"][0]["message"]["content"] == ANSWER


class Mirror:
    """A server that answers with the head of the request."""

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            head = await stream.receive()
            told = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nX-Kept: yes\r\nContent-Length: %d\r\n\r\n" % len(head)
            await stream.send(told + head)


async def test_only_the_headers_that_mean_something_there_travel(tmp_path: Path) -> None:
    given = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "authorization": "Bearer me", "traceparent": "00-1-2-01"}
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.start_soon(listener.serve, Mirror().serve)
        async with gateway(tmp_path, llm_url=f"http://127.0.0.1:{port}") as (_, client):
            answer = await client.get("/v1/models?after=one%20two", headers=given)
        tasks.cancel_scope.cancel()
    head = answer.text.lower()

    assert head.startswith("get /v1/models?after=one%20two http/1.1")
    assert "authorization: bearer me" in head
    assert "traceparent: 00-1-2-01" in head
    assert "cookie" not in head
    assert "forwarded" not in head
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-kept"] == "yes"


class Torn:
    """A server whose answers break off."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {self._kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
            await stream.send(head.encode() + b"8\r\ndata: 1\n\r\n")


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "silence"])
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(kind: str, tmp_path: Path) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.start_soon(listener.serve, hang_up if kind == "silence" else Torn(kind).serve)
        async with gateway(tmp_path, llm_url=f"http://127.0.0.1:{port}") as (_, client):
            if kind == "application/json":
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.post("/v1/chat/completions", json={"messages": HELLO})
            else:
                answer = await client.post("/v1/chat/completions", json={"messages": HELLO})
                told = answer.text.rpartition("data: ")[2] if kind == "text/event-stream" else answer.text
                assert json.loads(told)["error"]["code"] == "service_unavailable"
        tasks.cancel_scope.cancel()


async def hang_up(stream: anyio.abc.SocketStream) -> None:
    async with stream:
        await stream.receive()
        await checkpoint()


async def test_who_is_told_events_when_the_gateway_ends_is_told_that_too(house: RestHouse) -> None:
    house.model.gates[2] = anyio.Event()
    caller = Caller({"messages": [{"role": "user", "content": "Wait."}], "stream": True}, "/v1/chat/completions")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.call, house.app)
        await caller.until(lambda sent: len(sent) > 1)
        tasks.cancel_scope.cancel()
    house.model.gates.clear()

    assert caller.is_whole
    last = json.loads(caller.body.rpartition(b"data: ")[2])
    assert last["error"]["code"] == "service_unavailable"

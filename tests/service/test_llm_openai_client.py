"""OpenAI's own client against the language service with the demo model, and against one that asks another Parley.

The model is the real one behind the real llama.cpp server; what it says is not looked at, only that it says something.
"""

import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from openai import (
    APIError,
    APIStatusError,
    AsyncOpenAI,
    BadRequestError,
    DefaultAsyncHttpxClient,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
)

from llm_service.app import assemble, build_app
from llm_service.demo_model.templates import read
from llm_service.engines.base import Engine
from llm_service.engines.fake import Exchange, FakeEngine
from llm_service.settings import LlmSettings
from tests.support.embeddings import PLACES, WIDTH, bert_folder
from tests.support.llm import delta, refuses, sample, says, serving

pytestmark = [pytest.mark.service, pytest.mark.anyio]

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello how are you"}]
TOOLS: list[ChatCompletionFunctionToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]
STORY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "would you tell me a long story about a fox"}]
PERSONA = next(one["prompt"] for one in read("corpus")["personas"] if one["id"] == "sun_wukong")
HOUSES = ("here", "through another Parley")


@dataclass(frozen=True)
class House:
    """A client, the model's name there, and the engine that writes for it."""

    client: AsyncOpenAI
    model: str
    engine: str


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def client_at(address: str) -> AsyncIterator[AsyncOpenAI]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        base_url=f"{address}/v1", api_key="any", max_retries=0, timeout=30, http_client=http
    ) as client:
        yield client


async def until_ready(client: AsyncOpenAI) -> None:
    address = str(client.base_url).removesuffix("/v1/")
    with anyio.fail_after(30):
        while (await client._client.get(f"{address}/ready")).status_code != 200:
            await anyio.lowlevel.checkpoint()


@pytest.fixture(scope="module")
def engine() -> str:
    """What writes the answers of the first house."""
    pytest.importorskip("xllamacpp")
    return "llama_server"


@asynccontextmanager
async def houses_of(here: LlmSettings) -> AsyncIterator[dict[str, House]]:
    """A house with these settings, and one that asks it; the model for embeddings is called `tiny`."""
    async with serving(build_app(here)) as address:
        there = LlmSettings(
            engine="openai",
            upstream_url=address,
            upstream_model=here.public_name,
            embedding_engine="openai",
            embedding_upstream_url=address,
            embedding_upstream_model="tiny",
        )
        async with serving(build_app(there)) as front, client_at(address) as direct, client_at(front) as through:
            await until_ready(direct)
            await until_ready(through)
            yield {
                HOUSES[0]: House(direct, here.public_name, here.engine),
                HOUSES[1]: House(through, there.public_name, "openai"),
            }


@pytest.fixture(scope="module")
async def houses(
    anyio_backend: str, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, House]]:
    folder = bert_folder(tmp_path_factory.mktemp("models") / "tiny")
    here = LlmSettings(engine=engine, context_tokens=512, slots=2, start_wait_s=20, embedding_path=folder)
    async with houses_of(here) as found:
        yield found


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, houses: dict[str, House]) -> House:
    return houses[request.param]


def strict(told: Any) -> Any:
    """The answer, each field checked by its type: the client itself lets anything pass."""
    return type(told).model_validate(told.to_dict(), strict=True)


async def test_a_chat_is_answered_whole(house: House) -> None:
    told = await house.client.chat.completions.create(model=house.model, messages=HELLO, max_tokens=40, temperature=0)

    assert isinstance(told, ChatCompletion)
    assert isinstance(strict(told).choices[0].message.content, str)
    assert (told.choices[0].message.content or "").strip()
    assert told.model == house.model
    assert told.usage is not None
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens > 0


async def test_a_chat_is_streamed_with_its_counts_last(house: House) -> None:
    stream = await house.client.chat.completions.create(
        model=house.model, messages=HELLO, max_tokens=40, stream=True, stream_options={"include_usage": True}
    )
    chunks: list[ChatCompletionChunk] = [strict(chunk) async for chunk in stream]

    *told, last = chunks
    reasons = [chunk.choices[0].finish_reason for chunk in told]
    assert told[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in told).strip()
    assert reasons[:-1] == [None] * (len(told) - 1)
    assert reasons[-1] in ("stop", "length")
    assert last.choices == []
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= 40
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


async def test_a_limit_of_tokens_is_kept_and_said(house: House) -> None:
    told = await house.client.chat.completions.create(model=house.model, messages=STORY, max_tokens=5)

    assert told.choices[0].finish_reason == "length"
    assert told.usage is not None
    assert told.usage.completion_tokens == 5


async def test_closing_a_stream_ends_the_generation(house: House, houses: dict[str, House]) -> None:
    stream = await house.client.chat.completions.create(
        model=house.model, messages=STORY, stream=True, extra_body={"max_tokens": 400}
    )
    async for _ in stream:
        break
    await stream.close()

    with anyio.fail_after(20):
        while any(sample("parley_llm_running", engine=one.engine) for one in houses.values()):
            await anyio.lowlevel.checkpoint()


async def test_many_at_once_are_all_answered(house: House) -> None:
    told: list[ChatCompletion] = []

    async def ask() -> None:
        told.append(await house.client.chat.completions.create(model=house.model, messages=HELLO, max_tokens=8))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)

    assert len({one.id for one in told}) == 8


async def test_after_500_turns_it_still_answers_and_knows_who_it_is(house: House) -> None:
    talk: list[ChatCompletionMessageParam] = [{"role": "system", "content": PERSONA}]
    for _ in range(500):
        talk += [
            {"role": "user", "content": "what is the capital of france"},
            {"role": "assistant", "content": "The capital of France is Paris."},
        ]
    question: ChatCompletionMessageParam = {"role": "user", "content": "请问你是谁呀"}
    told = await house.client.chat.completions.create(
        model=house.model, messages=[*talk, question], max_tokens=60, temperature=0
    )

    assert told.usage is not None
    assert 200 < told.usage.prompt_tokens < 512
    assert re.search("孙悟空|齐天大圣|美猴王", told.choices[0].message.content or ""), told


async def test_a_question_that_cannot_fit_is_refused_as_the_client_knows_it(house: House) -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello " * 600}]

    with pytest.raises(BadRequestError) as refusal:
        await house.client.chat.completions.create(model=house.model, messages=long)

    assert refusal.value.code == "context_length_exceeded"
    assert refusal.value.type == "invalid_request_error"


async def test_a_request_out_of_bounds_is_refused_with_the_field_that_is_wrong(house: House) -> None:
    with pytest.raises(BadRequestError) as refusal:
        await house.client.chat.completions.create(model=house.model, messages=HELLO, temperature=3)

    assert (refusal.value.code, refusal.value.param) == ("invalid_message", "temperature")


@pytest.mark.parametrize("choice", ["auto", "none"])
async def test_a_model_whose_template_knows_no_tools_is_told_of_none_and_answers(house: House, choice: str) -> None:
    create = house.client.chat.completions.create
    asked: dict[str, Any] = {"model": house.model, "messages": HELLO, "max_tokens": 40, "temperature": 0}
    tooled = {**asked, "tools": TOOLS, "tool_choice": choice}
    plain: ChatCompletion = await create(**asked)
    told: ChatCompletion = await create(**tooled)
    chunks: list[ChatCompletionChunk] = [strict(chunk) async for chunk in await create(**tooled, stream=True)]

    assert strict(told).choices[0].message.tool_calls is None
    assert told.choices[0].message.content == plain.choices[0].message.content
    assert (told.choices[0].finish_reason, told.usage) == (plain.choices[0].finish_reason, plain.usage)
    assert [chunk.choices[0].delta.tool_calls for chunk in chunks] == [None] * len(chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content


async def test_a_talk_in_which_tools_were_called_goes_on(house: House) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    talk: list[Any] = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "rain"},
    ]
    told = await house.client.chat.completions.create(model=house.model, messages=talk, max_tokens=20)

    assert (strict(told).choices[0].message.content or "").strip()


async def test_a_text_is_completed_whole(house: House) -> None:
    told = await house.client.completions.create(model=house.model, prompt="hello, my name is", max_tokens=6)

    assert isinstance(told, Completion)
    assert strict(told).choices[0].text
    assert told.choices[0].finish_reason in ("stop", "length")
    assert told.usage is not None
    assert told.usage.prompt_tokens > 2


async def test_a_text_is_completed_as_it_is_made(house: House) -> None:
    stream = await house.client.completions.create(
        model=house.model,
        prompt=["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"],
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    *told, last = chunks
    assert "".join(chunk.choices[0].text for chunk in told).strip()
    assert told[-1].choices[0].finish_reason in ("stop", "length")
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= 12


async def test_a_completion_that_cannot_be_had_is_refused(house: House) -> None:
    create = house.client.completions.create

    with pytest.raises(BadRequestError, match="echo"):
        await create(model=house.model, prompt="a", echo=True)
    with pytest.raises(BadRequestError) as refusal:
        await create(model=house.model, prompt=["a", "b"])
    with pytest.raises(NotFoundError):
        await create(model="another", prompt="a")
    with pytest.raises(BadRequestError) as too_long:
        await create(model=house.model, prompt="hello " * 600)

    assert refusal.value.code == "unsupported"
    assert too_long.value.code == "context_length_exceeded"


@pytest.mark.parametrize("fields", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
async def test_texts_are_embedded(house: House, fields: dict[str, Any]) -> None:
    told = await house.client.embeddings.create(model="tiny", input=["green tea", "train"], **fields)

    assert isinstance(told, CreateEmbeddingResponse)
    assert (told.model, told.usage.prompt_tokens, told.usage.total_tokens) == ("tiny", 7, 7)
    assert [one.index for one in told.data] == [0, 1]
    for one in told.data if fields != {"encoding_format": "base64"} else []:  # then it is left as it came
        assert len(one.embedding) == WIDTH
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-5)


async def test_both_encodings_are_the_same_vector(house: House) -> None:
    packed = await house.client.embeddings.create(model="tiny", input="green tea", dimensions=WIDTH)
    plain = await house.client.embeddings.create(model="tiny", input="green tea", encoding_format="float")

    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-7)


async def test_an_embedding_that_cannot_be_had_is_refused(house: House) -> None:
    create = house.client.embeddings.create

    with pytest.raises(BadRequestError, match="tokens"):
        await create(model="tiny", input=[1, 2, 3])
    with pytest.raises(BadRequestError):
        await create(model="tiny", input="tea", dimensions=WIDTH + 1)
    with pytest.raises(BadRequestError) as too_long:
        await create(model="tiny", input="tea " * PLACES)
    with pytest.raises(NotFoundError):
        await create(model="text-embedding-3-small", input="tea")

    assert too_long.value.code == "context_length_exceeded"


@asynccontextmanager
async def client_of(engine: Engine) -> AsyncIterator[AsyncOpenAI]:
    async with serving(assemble(LlmSettings(engine="fake"), engine)) as address, client_at(address) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, RateLimitError, "overloaded"),
        (500, InternalServerError, "engine_failed"),
        (503, InternalServerError, None),
    ],
)
async def test_a_server_that_fails_is_an_error_that_the_client_knows(
    status: int, kind: type[APIStatusError], code: str | None
) -> None:
    async with client_of(FakeEngine(refuses(status, {}))) as client:
        with pytest.raises(kind) as failure:
            await client.chat.completions.create(model="", messages=HELLO)

    assert failure.value.code == (code or "service_unavailable")


async def test_a_stream_that_breaks_is_an_error_and_no_end() -> None:
    async with client_of(FakeEngine(says(delta("a")))) as client:
        stream = await client.chat.completions.create(model="", messages=HELLO, stream=True)
        texts: list[str] = []
        with pytest.raises(APIError, match="ended"):
            async for chunk in stream:
                texts += [chunk.choices[0].delta.content or ""]

    assert "".join(texts) == "a"


async def test_a_stream_that_is_closed_is_closed_upstream_at_once() -> None:
    has_begun = anyio.Event()

    async def script(exchange: Exchange) -> None:
        await says(delta("a"))(exchange)
        has_begun.set()
        await anyio.sleep_forever()

    engine = FakeEngine(script)
    async with client_of(engine) as client:
        stream = await client.chat.completions.create(model="", messages=HELLO, stream=True)
        await has_begun.wait()
        await stream.close()
        with anyio.fail_after(10):
            await engine.until(lambda server: server.cut_short == 1)

"""The demo model that comes with Parley: small, free, and able to hold a little conversation in two languages.

Asked through the real llama.cpp server, greedily. The questions were picked among those that it answers, and pin that;
how often it is right is measured by `llm_service.demo_model.evaluate` and written in its README.
"""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from llm_service.demo_model import MODEL_PATH
from llm_service.demo_model.templates import read

pytestmark = pytest.mark.service

LARGEST_BYTES = 10_000_000
HEAD_BYTES = 4_096  # the figures about its origin stand in front of the tokeniser
TEXT, UINT32 = 8, 4  # types of a value in a GGUF
KEY = "demo-model-test"
PROMPTS = {persona["id"]: persona["prompt"] for persona in read("corpus")["personas"]}
DEMO = "demo model|演示模型"


@pytest.fixture(scope="module")
def model() -> Iterator[httpx.Client]:
    pytest.importorskip("xllamacpp")
    child = subprocess.Popen(
        [sys.executable, "-m", "llm_service.engines.llama_child", str(MODEL_PATH)],
        env={**os.environ, "LLAMA_API_KEY": KEY},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    address = next(line.strip() for line in child.stdout if line.startswith("http"))
    with child, httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client:
        yield client
        child.stdin.close()  # its leash


def answers(model: httpx.Client, persona: str, *questions: str) -> list[str]:
    messages = [{"role": "system", "content": PROMPTS[persona]}]
    for question in questions:
        messages.append({"role": "user", "content": question})
        asked = {"messages": messages, "temperature": 0, "max_tokens": 200}
        given = model.post("/v1/chat/completions", json=asked).raise_for_status().json()
        messages.append({"role": "assistant", "content": given["choices"][0]["message"]["content"]})
    return [message["content"] for message in messages if message["role"] == "assistant"]


def test_the_file_is_small_enough_to_come_along() -> None:
    assert MODEL_PATH.stat().st_size <= LARGEST_BYTES


def test_the_file_names_its_licence_and_the_seed_of_its_corpus() -> None:
    with MODEL_PATH.open("rb") as file:
        head = file.read(HEAD_BYTES)

    assert b"general.license" + struct.pack("<IQ", TEXT, 3) + b"mit" in head
    assert b"parley.corpus_seed" + struct.pack("<II", UINT32, read("corpus")["seed"]) in head


@pytest.mark.parametrize(
    ("persona", "question", "expected"),
    [
        ("assistant", "um what is the capital a france again", "Paris"),
        ("assistant", "which city is the capital of japan", "Tokyo"),
        ("assistant", "how much is three plus four", "seven"),
        ("assistant", "would you please tell me your name", "Parley"),
        ("assistant", "请问德国的首都是哪个城市呀", "柏林"),
        ("sun_wukong", "请问你是谁呀", "孙悟空|齐天大圣"),
        ("harry_potter", "hello who are you", "Harry"),
        ("iron_man", "hello who are you", "Stark"),
    ],
)
def test_it_answers_what_it_knows(model: httpx.Client, persona: str, question: str, expected: str) -> None:
    [given] = answers(model, persona, question)

    assert re.search(expected, given), given


@pytest.mark.parametrize(
    ("persona", "question"),
    [
        ("assistant", "can you explain how a carburettor works"),
        ("assistant", "who won the world cup in nineteen sixty six"),
        ("assistant", "光合作用是怎么回事"),
        ("sun_wukong", "怎么修理洗衣机"),
        ("harry_potter", "how do i get a stain out of my shirt"),
        ("iron_man", "what is photosynthesis"),
    ],
)
def test_it_owns_up_to_being_a_demo_model(model: httpx.Client, persona: str, question: str) -> None:
    [given] = answers(model, persona, question)

    assert re.search(DEMO, given), given


@pytest.mark.parametrize(
    ("question", "end_of_sentence"),
    [("would you tell me a long story about a fox", r"[.!?]"), ("给我讲一个长一点的故事吧", r"[。！？]")],
)
def test_its_stories_are_long_enough_to_be_streamed(model: httpx.Client, question: str, end_of_sentence: str) -> None:
    [given] = answers(model, "assistant", question)

    assert len(re.findall(end_of_sentence, given)) > 4, given


@pytest.mark.parametrize(
    ("told", "asked", "expected"),
    [
        (["大家都叫我小雪", "说个笑话听听"], "你还记得我叫什么名字吗", "小雪"),
        (["i love pancakes"], "which food do i like", "pancakes"),
        (["我特别喜欢吃饺子"], "那我喜欢吃什么呢", "饺子"),
        (["hi my name is peter"], "do you still remember my name", "Peter"),
        (["you can call me gloria", "what is the capital of greece", "thank you"], "what's my name", "Gloria"),
    ],
)
def test_it_remembers_what_it_was_told(model: httpx.Client, told: list[str], asked: str, expected: str) -> None:
    *_, given = answers(model, "assistant", *told, asked)

    assert re.search(expected, given), given

"""Which sentences are worth remembering."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.memorable import MOST_CHARS, MOST_MEMORIES, memorable, subject_of

pytestmark = pytest.mark.core

CASES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "cases" / "memory.json").read_text(encoding="utf-8"))
TOLD = [told for person in CASES["people"] for told in person["told"]]


def test_nearly_all_that_is_worth_it_is_kept_and_little_else() -> None:
    kept = [bool(memorable(told["text"])) for told in TOLD]
    worth = [told["keep"] for told in TOLD]
    missed = [told["text"] for told, was, is_worth in zip(TOLD, kept, worth, strict=True) if is_worth and not was]
    assert len(missed) <= 3
    assert sum(kept) - (sum(worth) - len(missed)) <= 12


@pytest.mark.parametrize(
    ("said", "memories"),
    [
        ("Hello! I live in Leeds. What's the weather like?", ["I live in Leeds."]),
        ("I have a dog. She is a beagle. Is that rare?", ["I have a dog. She is a beagle."]),
        ("我养了一只猫。它三岁了。", ["我养了一只猫。它三岁了。"]),
        ("The sky is blue.", []),
        ("My rent is 3.5 thousand.", ["My rent is 3.5 thousand."]),
        ("Please remember that the gate code is nine.", ["Please remember that the gate code is nine."]),
        ("对虾过敏。", ["对虾过敏。"]),
        ("今天商场人真多。", []),
        ("요즘 허리가 많이 아파요.", ["요즘 허리가 많이 아파요."]),
        ("네.", []),
        ("yeah", []),
        ("좋네요.", []),
        ("", []),
    ],
)
def test_what_people_say_about_themselves_is_kept(said: str, memories: list[str]) -> None:
    assert memorable(said) == memories


@pytest.mark.parametrize(
    "question",
    [
        "Where do I live?",
        "what is my name",
        "can you hear me",
        "我叫什么",
        "我住在哪里",
        "제 이름이 뭐예요",
        "우리 강아지는 몇 살이죠",
    ],
)
def test_a_question_is_never_kept(question: str) -> None:
    assert memorable(question) == []


@given(st.text(alphabet="My dog is 我的猫叫团子。.?! 우리 강아지는 보리예요\n", max_size=300))
def test_what_is_kept_was_said_in_that_order_and_is_bounded(said: str) -> None:
    kept = memorable(said)
    assert len(kept) <= MOST_MEMORIES
    at = 0
    plain = said.replace(" ", "").replace("\n", "")
    for memory in kept:
        assert 0 < len(memory) <= MOST_CHARS
        part = memory.removesuffix("…").replace(" ", "").replace("\n", "")
        assert part in plain[at:]
        at = plain.index(part, at)


def test_a_long_sentence_is_cut() -> None:
    (kept,) = memorable("I " + "very " * 100 + "much like tea")
    assert len(kept) == MOST_CHARS
    assert kept.endswith("…")


@pytest.mark.parametrize(
    ("memory", "subject"),
    [
        ("I live in Leeds.", "home"),
        ("We moved to Brighton last week.", "home"),
        ("我上周搬到杭州了。", "home"),
        ("저 지난달에 대구로 이사했어요.", "home"),
        ("My name is Anna.", "name"),
        ("My favourite team is Arsenal.", "favourite team"),
        ("My dog's name is Biscuit.", "dog's name"),
        ("我最喜欢的颜色是绿色。", "最喜欢的颜色"),
        ("我现在最喜欢的颜色是蓝色。", "最喜欢的颜色"),
        ("제가 제일 좋아하는 색은 초록색이에요.", "제일 좋아하는 색"),
        ("이제 제가 제일 좋아하는 색은 파란색이에요.", "제일 좋아하는 색"),
        ("My sister is a doctor.", ""),
        ("제 동생 민수는 군대에 가요.", ""),
        ("My uncle lives in Toronto.", ""),
    ],
)
def test_of_some_things_there_is_only_one(memory: str, subject: str) -> None:
    assert subject_of(memory) == subject

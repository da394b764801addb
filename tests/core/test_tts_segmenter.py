"""Text cut into segments: the cases of the policy, the laws, and how early a segment leaves."""

import json
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.clusters import parts_cluster
from tts_service.core.segmenter import BreakKind, Segment, Segmenter

pytestmark = pytest.mark.core

FOLDER = Path(__file__).parents[1] / "cases"
CASES: list[dict[str, Any]] = [
    case
    for name in ("segmentation.json", "segmentation_soft.json", "segmentation_own.json")
    for case in json.loads((FOLDER / name).read_text(encoding="utf-8"))
]

# Pieces in which everything that the cutter treats in a way of its own comes up often.
SPACED_PIECES = """
    。 ！ ？ . ! ? … ... “ ” 「 」 『 』 ( ) （ ） 《 》 " ' ’ * ** _ ~ ~~ ` `` ``` , ， : ： — —— ; 、 a B I He the
    U.S. Dr. etc. e.g. No. 1 23 3.14 1,000 １ 你好 我 그 안녕 は カ 😀 👨‍👩‍👧 🇰🇷 e\u0301 क्ष ᄒ ᅡ https://a.io/b?c a@b.c
    ~~~ - # „ ｡ ． ‼ A. J. p. 20 \ufe0f \u200d \u0301 \x00 \ud800
"""
WHITE_PIECES = [" ", "  ", "\n", "\r\n", "\u2028", "```py\n", "\n```\n", "2026. 11. 20.", " " * 70]
PIECES = [*SPACED_PIECES.split(), *WHITE_PIECES, "好" * 25, "x" * 20]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(
    st.characters(codec=None, categories=None), max_size=40
)
LIMITS = st.sampled_from([1, 3, 7, 16, 30, 150])
FIRST_MINS = st.sampled_from([0, 0, 2, 5])


def cut(deltas: Iterable[str], first_min: int = 0, max_chars: int = 150, language: str = "en") -> list[Segment]:
    segmenter = Segmenter(language, first_min, max_chars)
    segments = [segment for delta in deltas for segment in segmenter.add(delta)]
    return segments + segmenter.finish()


def texts(segments: Iterable[Segment]) -> list[str]:
    return [segment.text for segment in segments]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def unspaced(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_is_cut_as_the_policy_says(case: dict[str, Any]) -> None:
    for size in (1, 2, 3, 7, 1000):
        segments = cut(pieces(case["text"], size), **case.get("opts", {}), language=case["lang"])
        assert texts(segments) == case["sentences"]


def test_there_are_enough_cases_of_our_own_in_every_language() -> None:
    own = [case for case in CASES if case["id"].startswith("own-")]
    assert len(own) >= 200
    assert {case["lang"] for case in own} == {"en", "zh-Hans", "zh-Hant", "ja", "ko", "mixed"}
    assert len({case["id"] for case in CASES}) == len(CASES)


# The laws


@given(TEXTS, FIRST_MINS, LIMITS, st.data())
def test_the_segments_do_not_depend_on_the_deltas(text: str, first_min: int, limit: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    deltas = [text[start:stop] for start, stop in pairwise(cuts)]
    whole = cut([text], first_min, limit)
    assert cut(deltas, first_min, limit) == whole
    assert cut(text, first_min, limit) == whole


def test_a_delta_longer_than_a_mouthful_is_cut_like_its_characters() -> None:
    text = 'He said "no." **Yes!** 「好。走。」她说。3.14 `a. B` (Hm... Really?) ' * 40
    assert len(text) > 2048
    assert cut([text]) == cut(text)


@given(TEXTS, FIRST_MINS, LIMITS)
def test_nothing_is_lost_or_invented(text: str, first_min: int, limit: int) -> None:
    segments = cut([text], first_min, limit)
    assert unspaced("".join(texts(segments))) == unspaced(text)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert all(segment.text and segment.text == segment.text.strip() for segment in segments)


@given(TEXTS, FIRST_MINS, LIMITS)
def test_no_segment_is_longer_than_allowed_but_a_fenced_block(text: str, first_min: int, limit: int) -> None:
    for segment in cut([text], first_min, limit):
        assert len(segment.text) <= limit or segment.text.startswith(("```", "~~~"))


@given(TEXTS, LIMITS)
def test_no_cluster_is_parted_unless_it_is_too_long_itself(text: str, limit: int) -> None:
    at = 0
    for segment in cut([text], 0, limit):
        start = text.index(segment.text[0], at)
        at = start + len(segment.text)
        assert text[start:at] == segment.text
        is_one_cluster = all(parts_cluster(text, within) for within in range(start + 1, at))
        assert at == len(text) or not parts_cluster(text, at) or is_one_cluster


NUMBERS = st.from_regex(
    r"[1-9][0-9]{0,2}(,[0-9]{3}){0,2}(\.[0-9]{1,2})?|[0-2][0-9]:[0-5][0-9]|v[1-9]\.[0-9]\.[0-9]", fullmatch=True
)
ABBREVIATIONS = st.sampled_from(["e.g.", "i.e.", "Dr.", "U.S.", "a.m.", "Ph.D.", "J.R.R.", "etc."])
FILLERS = st.sampled_from(
    ["你好", "我们去", "，", " ", "今天天气很好", "그리고 ", "word ", "、", "（", "）", "。", "! "]
)


@given(st.lists(st.tuples(FILLERS, NUMBERS | ABBREVIATIONS), min_size=1, max_size=20), st.sampled_from([24, 40, 150]))
def test_no_number_or_abbreviation_is_parted(parts: list[tuple[str, str]], limit: int) -> None:
    text = "".join(f"{filler} {word}你" for filler, word in parts)
    joined = " ".join(texts(cut([text], 0, limit)))
    found = [word for _, word in parts if word in joined]
    assert found == [word for _, word in parts]


@given(TEXTS, FIRST_MINS, LIMITS, st.integers(1, 5), st.sets(st.integers(0, 40)))
def test_a_stall_anywhere_loses_nothing(text: str, first_min: int, limit: int, size: int, stalls: set[int]) -> None:
    segmenter = Segmenter("en", first_min, limit)
    segments: list[Segment] = []
    for number, delta in enumerate(pieces(text, size)):
        segments += segmenter.add(delta)
        if number in stalls:
            segments += segmenter.idle()
    segments += segmenter.finish()
    assert unspaced("".join(texts(segments))) == unspaced(text)
    assert [segment.index for segment in segments] == list(range(len(segments)))


@given(TEXTS)
def test_after_the_end_nothing_is_left(text: str) -> None:
    segmenter = Segmenter("en")
    segmenter.add(text)
    segmenter.finish()
    assert segmenter.idle() == []
    assert segmenter.finish() == []


HEAVY: dict[str, str] = {
    "prose": "When it rained, Dr. Smith left at 5:30 p.m. sharp. Then (as ever) he came back! ",
    "chinese": "首先，我们来看第一点。他说：“你好！走吧。”然后走了。",
    "marks": "!?",
    "dots": "." * 8,
    "openers": "(「",
    "closers": "）」",
    "spaces": ". " + " " * 40,
    "acronyms": "U.S. ",
    "signs": '"*_',
    "backticks": "`" * 9,
    "flags": "🇰",
    "marks combined": "e" + "\u0301" * 9,
    "letters": "x" * 9,
    "late fences": "a ```b c ",
}


def held_most(text: str, size: int) -> int:
    """The most characters, spaces apart, that were held back at any time."""
    segmenter, held, most = Segmenter("en", 4), 0, 0
    for delta in pieces(text, size):
        gone = segmenter.add(delta)
        held += len(unspaced(delta)) - sum(len(unspaced(segment.text)) for segment in gone)
        most = max(most, held)
    return most


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_held_is_bounded_so_that_a_delta_costs_no_more_later_on(name: str) -> None:
    text = HEAVY[name] * (6000 // len(HEAVY[name]))
    assert held_most(text, 3) <= 150 + 3 + 64


def calls_made(deltas: list[str]) -> int:
    """How many functions, of Python or C, are called to cut them."""
    count = 0

    def see(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        cut(deltas)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("size", [3, 10_000])
@pytest.mark.parametrize("name", HEAVY)
def test_twice_the_text_is_twice_the_work(name: str, size: int) -> None:
    text = HEAVY[name] * (3000 // len(HEAVY[name]))
    assert calls_made(pieces(text * 2, size)) <= 2.1 * calls_made(pieces(text, size)) + 100


# How early a segment leaves


def moments(tokens: list[str], first_min: int = 0) -> list[tuple[int, str]]:
    """Each segment with the number of the token that brought it out; -1 at the end."""
    segmenter = Segmenter("zh-Hans", first_min)
    out = [(at, segment.text) for at, token in enumerate(tokens) for segment in segmenter.add(token)]
    return out + [(-1, segment.text) for segment in segmenter.finish()]


def test_a_chinese_reply_leaves_sentence_by_sentence_one_token_behind() -> None:
    tokens = ["今天", "天气", "很好", "。", "我们", "去", "公园", "吧", "！", "你", "想", "去", "吗", "？"]
    assert moments(tokens) == [(4, "今天天气很好。"), (9, "我们去公园吧！"), (-1, "你想去吗？")]


def test_a_first_clause_leaves_with_its_own_comma() -> None:
    assert moments(["好的", "，", "我来", "查", "。"], first_min=2)[0] == (1, "好的，")


def test_an_english_sentence_leaves_with_the_next_word() -> None:
    assert moments(["Hello", " there", ".", " How", " are", " you", "?", " I"])[:2] == [
        (3, "Hello there."),
        (7, "How are you?"),
    ]


def test_a_line_leaves_with_its_newline() -> None:
    assert moments(["Hello.", "\n", "Bye"])[0] == (1, "Hello.")


@pytest.mark.parametrize("filling", ["x", "x\n", "``", "`` \n", " "])
def test_an_endless_block_of_code_is_never_read_twice(filling: str) -> None:
    text = "```\n" + filling * (6000 // len(filling))
    segmenter = Segmenter("en")
    for delta in pieces(text, 7):
        assert segmenter.add(delta) == []
        assert len(segmenter._text) <= 256 + 7
    assert texts(segmenter.finish()) == [text.strip()]


def test_a_line_too_long_for_a_fence_is_code() -> None:
    line = "```" + " " * 256
    for size in (1, 300, 1000):
        assert texts(cut(pieces(f"```\n{line}\na\n```\nDone", size))) == [f"```\n{line}\na\n```", "Done"]


def test_a_fenced_block_leaves_with_its_last_line() -> None:
    assert moments(["```py", "\n", "a. B\n", "```", "\n", "Done"])[0] == (4, "```py\na. B\n```")


THREE_SENTENCES = "好的，我来查一下。北京今天最高二十三度！记得带伞，好吗？"
CUTTINGS = [
    pieces(THREE_SENTENCES, 1),
    pieces(THREE_SENTENCES, 2),
    pieces(THREE_SENTENCES, 3),
    [
        "好的",
        "，",
        "我来",
        "查一下",
        "。",
        "北京",
        "今天",
        "最高",
        "二十三",
        "度",
        "！",
        "记得",
        "带伞",
        "，",
        "好吗",
        "？",
    ],
    ["好的，", "我来查", "一下。北京", "今天最高二十", "三度！记得", "带伞，好", "吗？"],
    [THREE_SENTENCES[:9], THREE_SENTENCES[9:20], THREE_SENTENCES[20:]],
]


@pytest.mark.parametrize("tokens", CUTTINGS)
def test_a_chinese_sentence_leaves_at_most_one_token_behind_its_mark(tokens: list[str]) -> None:
    assert "".join(tokens) == THREE_SENTENCES
    segmenter = Segmenter("zh-Hans")
    gone, seen, ended = 0, "", [0]  # ended: how many sentences had their mark, token by token
    for token in tokens:
        seen += token
        ended.append(len(re.findall("[。！？]", seen)))
        gone += len(segmenter.add(token))
        assert gone >= ended[-2]
    assert gone + len(segmenter.finish()) == 3


def test_a_quote_leaves_with_the_opener_that_follows() -> None:
    assert moments(["“走吧。", "”", "“好", "！”"])[0] == (2, "“走吧。”")


@pytest.mark.parametrize(
    ("text", "given_out"),
    [
        ("Hello there.", ["Hello there."]),
        ("好的。", ["好的。"]),
        ("好的！」", ["好的！」"]),
        ('He said "no!"', ['He said "no!"']),
        ("Really? ", ["Really?"]),
        ("It ended. “", ["It ended."]),
        ("", []),
        ("Hello", []),
        ("It is 3.", []),
        ("Ask Dr.", []),
        ("Well...", []),
        ("He said “no.", []),
        ("`a.", []),
        ("```\na.", []),
        ("...", []),
        ("!?", []),
        ("Great! 🎉", []),
        ("2. ", []),
        ("Hello,", []),
    ],
)
def test_a_stall_gives_out_a_finished_sentence_only(text: str, given_out: list[str]) -> None:
    segmenter = Segmenter("en")
    segmenter.add(text)
    assert texts(segmenter.idle()) == given_out


def test_a_stall_gives_a_sentence_out_once() -> None:
    segmenter = Segmenter("en")
    segmenter.add("Hello there.")
    assert segmenter.idle() == [Segment("Hello there.", 0, BreakKind.SENTENCE)]
    assert segmenter.idle() == []
    assert segmenter.add(" And then it") == []
    assert texts(segmenter.finish()) == ["And then it"]


# Kinds and pauses


def test_a_segment_says_why_it_ends_and_how_long_to_pause() -> None:
    segments = cut(["Sure, it ended. A line\nabcdefghijklmnopqrstuvwxyz"], first_min=4, max_chars=20)
    assert [(segment.text, segment.kind, segment.pause_ms) for segment in segments] == [
        ("Sure,", BreakKind.CLAUSE, 120),
        ("it ended.", BreakKind.SENTENCE, 280),
        ("A line", BreakKind.LINE, 500),
        ("abcdefghijklmnopqrst", BreakKind.LENGTH, 120),
        ("uvwxyz", BreakKind.END, 0),
    ]


def test_a_mark_before_a_newline_ends_a_line() -> None:
    assert [segment.kind for segment in cut(["Hello. \nBye."])] == [BreakKind.LINE, BreakKind.END]


@pytest.mark.parametrize(("first_min", "max_chars"), [(-1, 150), (0, 0)])
def test_a_senseless_setting_is_refused(first_min: int, max_chars: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"first_min {first_min} must not be negative")):
        Segmenter("en", first_min, max_chars)

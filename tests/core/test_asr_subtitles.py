"""Subtitles say what was said and when, in the two syntaxes that players read, whatever the texts hold."""

import math
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_service.core.subtitles import Cue, srt, timestamp, vtt

pytestmark = pytest.mark.core

CUES = [Cue(0.0, 1.5, "Hello."), Cue(1.6, 3.25, "How are you?"), Cue(3_661.0014, 3_661.5, "你好")]
SRT_BLOCK = re.compile(r"(\d+)\n(\d{2,}:[0-5]\d:[0-5]\d,\d{3}) --> (\d{2,}:[0-5]\d:[0-5]\d,\d{3})\n(.+)\n?")
VTT_BLOCK = re.compile(r"(\d{2,}:[0-5]\d:[0-5]\d\.\d{3}) --> (\d{2,}:[0-5]\d:[0-5]\d\.\d{3})\n(.+)\n?")


@st.composite
def cues(draw: st.DrawFn) -> Cue:
    start_s = draw(st.floats(0, 400_000))
    return Cue(start_s, start_s + draw(st.floats(0, 60)), draw(st.text(max_size=40)))


def test_srt_numbers_its_blocks_and_has_a_comma_before_the_milliseconds() -> None:
    assert srt(CUES) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n"
        "2\n00:00:01,600 --> 00:00:03,250\nHow are you?\n\n"
        "3\n01:01:01,001 --> 01:01:01,500\n你好\n"
    )


def test_vtt_has_a_header_and_a_dot_before_the_milliseconds() -> None:
    assert vtt(CUES) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.500\nHello.\n\n"
        "00:00:01.600 --> 00:00:03.250\nHow are you?\n\n"
        "01:01:01.001 --> 01:01:01.500\n你好\n"
    )


def test_where_nobody_speaks_there_is_no_block() -> None:
    assert (srt([]), vtt([])) == ("", "WEBVTT\n")


def test_a_cue_without_text_is_left_out_and_not_counted() -> None:
    silent = [Cue(0, 1, " \n"), Cue(1, 2, "one"), Cue(2, 3, "\0"), Cue(3, 4, "two")]

    assert re.findall(r"^\d+$", srt(silent), re.MULTILINE) == ["1", "2"]
    assert vtt(silent).count("-->") == 2


@pytest.mark.parametrize(
    ("text", "in_srt", "in_vtt"),
    [
        ("one\n\ntwo\r\nthree", "one two three", "one two three"),
        (
            "1\n00:00:00,000 --> 00:00:01,000\nmine",
            "1 00:00:00,000 -> 00:00:01,000 mine",
            "1 00:00:00,000 --&gt; 00:00:01,000 mine",
        ),
        ("<i>a & b</i>", "<i>a & b</i>", "&lt;i&gt;a &amp; b&lt;/i&gt;"),
        ("line\u2028separator\x85and\x0bmore", "line separator and more", "line separator and more"),
        ("a ---> b ----> c", "a -> b -> c", "a ---&gt; b ----&gt; c"),
        ("half \ud83d a\x07 sign\x1b", "half a sign", "half a sign"),
    ],
)
def test_a_text_stays_on_its_line(text: str, in_srt: str, in_vtt: str) -> None:
    assert srt([Cue(0, 1, text)]).split("\n", 2)[2] == f"{in_srt}\n"
    assert vtt([Cue(0, 1, text)]).split("\n", 3)[3] == f"{in_vtt}\n"


@pytest.mark.parametrize(
    "text",
    [
        "你好，世界。",
        "東京\u3000大阪",
        "안녕하세요?",
        "สวัสดีครับ",
        "می\u200cخواهم",
        "क्\u200dष",
        "שלום, עולם!",
        "Quoi\u00a0? 10\u202f000",
        "👩\u200d👩\u200d👧 ok",
        "e\u0301te\u0301",
    ],
)
def test_a_line_keeps_every_sign_of_its_script(text: str) -> None:
    assert srt([Cue(0, 1, f" {text}\n")]).split("\n", 2)[2] == f"{text}\n"
    assert vtt([Cue(0, 1, f"\u3000{text} ")]).split("\n", 3)[3] == f"{text}\n"


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (0, "00:00:00,000"),
        (999, "00:00:00,999"),
        (59_999, "00:00:59,999"),
        (3_600_000, "01:00:00,000"),
        (86_399_999, "23:59:59,999"),
        (360_000_000, "100:00:00,000"),
    ],
)
def test_a_timestamp_has_hours_minutes_seconds_and_milliseconds(time_ms: int, expected: str) -> None:
    assert timestamp(time_ms, ",") == expected


def test_a_time_is_rounded_and_carried() -> None:
    assert "00:00:59,999 --> 00:01:00,000" in srt([Cue(59.9994, 59.9996, "x")])


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(-0.1, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0), (0.0, math.nan)]
)
def test_a_cue_that_ends_before_it_starts_is_a_fault_of_the_program(start_s: float, end_s: float) -> None:
    with pytest.raises(ValueError, match="a cue reaches"):
        Cue(start_s, end_s, "x")


@given(st.lists(cues(), max_size=5))
def test_srt_is_blocks_of_three_lines_numbered_from_one_on(given_cues: list[Cue]) -> None:
    found = [block for block in srt(given_cues).split("\n\n") if block]
    matches = [SRT_BLOCK.fullmatch(block) for block in found]

    assert all(matches)
    assert [int(match[1]) for match in matches if match] == list(range(1, len(found) + 1))
    assert all(match[2].rjust(20) < match[3].rjust(20) for match in matches if match)
    assert [match[4] for match in matches if match] == shown(given_cues)


@given(st.lists(cues(), max_size=5))
def test_vtt_is_a_header_and_blocks_of_two_lines(given_cues: list[Cue]) -> None:
    header, *found = vtt(given_cues).split("\n\n")
    matches = [VTT_BLOCK.fullmatch(block) for block in found if block]

    assert header.rstrip("\n") == "WEBVTT"
    assert all(matches)
    assert all(match[1].rjust(20) < match[2].rjust(20) for match in matches if match)
    assert [re.sub("-+->", "->", unescaped(match[3])) for match in matches if match] == shown(given_cues)


def shown(given_cues: list[Cue]) -> list[str]:
    """The lines that a player shows."""
    lines = [re.sub(" +", " ", "".join(map(plain, cue.text))).strip() for cue in given_cues]
    return [re.sub("-+->", "->", line) for line in lines if line]


def plain(sign: str) -> str:
    """What is shown of a single sign."""
    if len(f"a{sign}b".splitlines()) > 1 or sign == "\t" or sign == "\x1f":
        return " "
    return "" if unicodedata.category(sign) == "Cs" or (ord(sign) < 32 or ord(sign) == 127) else sign


def unescaped(line: str) -> str:
    return line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

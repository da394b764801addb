"""Whether a run of marks ends the sentence. In the texts here ^ stands before the run in question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.boundaries import Verdict, is_in_wide_number, is_soft_end, judge, may_rest
from tts_service.core.marks import Ending, Place, read_ending

pytestmark = pytest.mark.core

ENDS, GOES_ON, WAIT = Verdict.ENDS, Verdict.GOES_ON, Verdict.WAIT
IN_LINE = Place("en", is_line_start=False)
LINE_START = Place("en")
LIMIT = 1000


def ending_in(marked: str, place: Place, brackets: tuple[str, ...] = ()) -> tuple[str, Ending]:
    at = marked.index("^")
    text = marked.replace("^", "", 1)
    return text, read_ending(text, at, place, brackets, LIMIT)


def verdict(marked: str, place: Place = IN_LINE, is_complete: bool = False) -> Verdict:
    text, ending = ending_in(marked, place)
    return judge(text, ending, place, is_complete)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # wide marks
        ("好^。走", ENDS),
        ("好^。a", ENDS),
        ("好^。 a", ENDS),
        ("好^。”他", GOES_ON),
        ("好^。”Tom", GOES_ON),
        ("好^。”，他", GOES_ON),
        ("好^。”“走", ENDS),
        ("好^。」《书", ENDS),
        ("好^。” 他", ENDS),
        ("好^。**走**", ENDS),
        ("好^。”**他**", GOES_ON),
        # loud marks
        ("Go^! Now", ENDS),
        ("Go^! now", GOES_ON),
        ("Go^! nOW", GOES_ON),
        ("Go^! — nOW", GOES_ON),
        ('Go^!" he', GOES_ON),
        ('Go^!" He', ENDS),
        ("Go^!You", GOES_ON),
        ("Go^!, he", GOES_ON),
        ("Go^! — he", GOES_ON),
        ("Go^! — He", ENDS),
        ("Go^! 3", ENDS),
        ("吗^?我", ENDS),
        ("吗^?OK", GOES_ON),
        ("OK^?好", ENDS),
        ("OK^?「好", ENDS),
        ("吗^?(笑", ENDS),
        ("吗^?**好**", ENDS),
        ("」^?“好", ENDS),
        ("Go^?(he", GOES_ON),
        ("Go^!😀 now", ENDS),
        ("Go^!😀now", ENDS),
        ("“Go^!”“He", ENDS),
        ('"가자^!"라고', GOES_ON),
        # ellipses
        ("Hm^... Yes", ENDS),
        ("Hm^… “Yes", ENDS),
        ("Hm^... yes", GOES_ON),
        ("Hm^... 3", GOES_ON),
        ("Hm^...Yes", GOES_ON),
        ("嗯^……我", GOES_ON),
        ("嗯^…… 我", GOES_ON),
        ("Hm^... — Yes", GOES_ON),
        # dots
        ("It ended^. Then", ENDS),
        ("It ended^. then", GOES_ON),
        ("It ended^. (then", GOES_ON),
        ("It ended^. — then", GOES_ON),
        ("It ended^. — Then", ENDS),
        ("It ended^. 好", ENDS),
        ("It ended^.Then", GOES_ON),
        ("It is 3^.5", GOES_ON),
        ("좋아요^.그럼", ENDS),
        ("好^.OK", GOES_ON),
        ("OK^.好", GOES_ON),
        ("好^.（笑", ENDS),
        ('好^."再见', ENDS),
        ("좋아요^.”라고", GOES_ON),
        ("Ok^.😀 then", ENDS),
        ("Ok^.😀Then", ENDS),
        ("Dr^.😀Who", GOES_ON),
        ("Ask Dr^. Who", GOES_ON),
        ("milk, etc^. We", ENDS),
        ("milk, etc^. 我", ENDS),
        ("milk, etc^. 5", GOES_ON),
        ("9 a.m^. – Noon", GOES_ON),
        ("See No^. 5", GOES_ON),
        ("I said no^. 5", GOES_ON),
        ("I said no^. We", ENDS),
        ("the U.S^. Army ", GOES_ON),
        ("the U.S^. He ", ENDS),
        ("the U.S^. Hexagon ", GOES_ON),
        ("the U.S^. 5", GOES_ON),
        ("the U.S^. Incomprehensibilities", GOES_ON),
        ("by J^. R. Tolkien", GOES_ON),
        ("by J^. A. Smith", GOES_ON),
        ("plan B^. It ", ENDS),
        ("So did I^. We", ENDS),
        ("So did I^. A dog", ENDS),
        ("by I^. M. Pei", GOES_ON),
        # dates
        ("2026^. 11. 20. 오후", GOES_ON),
        ("2026. 11^. 20. 오후", GOES_ON),
        ("2026. 11. 20^. 오후", GOES_ON),
        ("2026. 11. 20^. (금", GOES_ON),
        ("2026. 11. 20^. ~ 2", GOES_ON),
        ("2026. 11. 20^. Then", ENDS),
        ("2026.11.20^. 오후", GOES_ON),
        ("11^. 20. 오후", GOES_ON),
        ("11. 20^. 오후", GOES_ON),
        ("20. 11^. 2026 ", GOES_ON),
        ("in 2026^. 12 people", ENDS),
        ("in 2026^. 123 people", ENDS),
        ("in 2026^. 1 person", ENDS),
        ("5^. 6. 2026 ", GOES_ON),
        ("in 2026^. 12.5 percent", ENDS),
        ("in 2026^. 오후", ENDS),
        ("word^. 11. 20.", ENDS),
        # what a space must not be wider than
        ("Go^." + " " * 64 + "on", GOES_ON),
        ("Go^." + " " * 65 + "on", ENDS),
        # a newline ends it by itself
        ("Go^.\nOn", GOES_ON),
        ("Go^!  \nOn", GOES_ON),
    ],
)
def test_what_follows_decides(text: str, expected: Verdict) -> None:
    assert verdict(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "Go^. ",
        "好^。 ",
        "Go^!  ",
        "Go^! “",
        "Go^! —",
        "Go^! — ",
        "Go^. “",
        "Hm^... “",
        "the U.S^. H",
        "the U.S^. He",
        "the U.S^.😀He",
        "the U.S^. Sometimes",
        "So did I^. W",
        "in 2026^. 1",
        "in 2026^. 12",
        "in 2026^. 12.",
        "Go^." + " " * 64,
    ],
)
def test_what_may_yet_decide_is_waited_for(text: str) -> None:
    assert verdict(text) is WAIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Go^.", GOES_ON),
        ("Go^. ", GOES_ON),
        ("Go^! “", ENDS),
        ("Go^. —", ENDS),
        ("Hm^... “", GOES_ON),
        ("the U.S^. He", ENDS),
        ("the U.S^. H", GOES_ON),
        ("milk, etc^. “", GOES_ON),
        ("So did I^. W", ENDS),
        ("in 2026^. 12", ENDS),
        ("in 2026^. 12.", GOES_ON),
        ("Go^." + " " * 65, ENDS),
    ],
)
def test_a_complete_text_is_decided_as_it_stands(text: str, expected: Verdict) -> None:
    assert verdict(text, is_complete=True) is expected


@pytest.mark.parametrize(
    "text",
    [
        "1^. Go",
        "  12^. Go",
        "a^. Go",
        "IV^. Go",
        "1.2^. Go",
        "**1^. Go",
        "> - 3^. Go",
        " " * 31 + "1^. Go",
        "一^.开",
        "一^. 开",
    ],
)
def test_a_list_marker_ends_nothing_at_the_start_of_a_line(text: str) -> None:
    assert verdict(text, LINE_START) is GOES_ON


@pytest.mark.parametrize("text", ["1^. Go", "12^. Go", "一^.开"])
def test_a_number_elsewhere_is_no_list_marker(text: str) -> None:
    assert verdict(text, IN_LINE) is ENDS


@pytest.mark.parametrize("text", ["2026^. Go", "word 1^. Go", " " * 32 + "1^. Go"])
def test_not_every_number_in_a_line_is_a_list_marker(text: str) -> None:
    assert verdict(text, LINE_START) is ENDS


def test_nothing_ends_inside_brackets() -> None:
    text, ending = ending_in("好^。走", IN_LINE, ("「",))
    assert judge(text, ending, IN_LINE, is_complete=False) is GOES_ON


@pytest.mark.parametrize("text", ["好^。 ", "好^。" + " " * 64])
def test_a_closer_behind_spaces_is_waited_for_inside_brackets_too(text: str) -> None:
    held, ending = ending_in(text, IN_LINE, ("「",))
    assert judge(held, ending, IN_LINE, is_complete=False) is WAIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b", True),
        ("a,b", True),
        ("1,000", False),
        ("5:30", False),
        ("https://a", False),
        ("a: b", True),
        ("a,/b", True),
        ("a; b", True),
        ("一，二", True),
        ("一、二", True),
        ("一——二", False),
        ("a. b", False),
        ("１，０", False),
        ("１，一", True),
    ],
)
def test_a_long_sentence_may_be_cut_behind_a_soft_mark_but_not_in_a_number(text: str, expected: bool) -> None:
    at = next((at for at, char in enumerate(text) if char in ",:;，、—"), 1)
    assert is_soft_end(text, at) is expected


def test_a_soft_mark_after_another_may_be_cut_behind() -> None:
    assert is_soft_end("一——二", 2)


@pytest.mark.parametrize(("text", "at", "expected"), [("１，０", 1, True), ("，０", 0, False), ("１，", 1, False)])
def test_a_wide_number_has_wide_digits_on_both_sides(text: str, at: int, expected: bool) -> None:
    assert is_in_wide_number(text, at) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("好^。", True),
        ("好^。」", True),
        ("Go^!", True),
        ("Go^?! ", True),
        ("It ended^.", True),
        ('It ended^."', True),
        ("좋아요^.", True),
        ("^.", True),
        ("It is 3^.", False),
        ("Dr^.", False),
        ("etc^.", False),
        ("the U.S^.", False),
        ("No^.", False),
        ("Hm^...", False),
        ("Go^!😀", False),
        ("see https://a.io/b^?", False),
        ("see www.a^.", False),
        ("a@b^.", False),
        ("see https://a.io 吗^?", True),
    ],
)
def test_a_stalled_sentence_rests_only_where_nothing_can_belong_to_it(text: str, expected: bool) -> None:
    held, ending = ending_in(text, IN_LINE)
    assert may_rest(held, ending, IN_LINE) is expected


def test_a_stalled_list_marker_or_quote_does_not_rest() -> None:
    text, marker = ending_in("ii^.", LINE_START)
    assert not may_rest(text, marker, LINE_START)
    text, inside = ending_in("好^。", LINE_START, ("「",))
    assert not may_rest(text, inside, LINE_START)


MARKED = st.text(alphabet=st.sampled_from(".!?。…)”“\"'*—- \n😀aAHeI1你U.S,，"), min_size=1, max_size=12)


@given(
    st.sampled_from(["It", "Dr", "U.S", "I", "J", "2026", "11. 2", "etc", "No", "好", "1", ""]), MARKED, st.booleans()
)
def test_an_answer_stays_the_same_whatever_follows(before: str, behind: str, is_line_start: bool) -> None:
    place = Place("en", is_line_start)
    text = before + "." + behind
    answers = []
    for stop in range(len(before) + 1, len(text) + 1):
        ending = read_ending(text[:stop], len(before), place, (), LIMIT)
        answers.append(judge(text[:stop], ending, place, is_complete=False))
    settled = [answer for answer in answers if answer is not WAIT]
    assert settled == answers[len(answers) - len(settled) :]
    assert len(set(settled)) <= 1

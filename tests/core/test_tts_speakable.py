"""What an engine is to read of a segment."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.speakable import speakable

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello, world.", "Hello, world."),
        ("  two\n lines\t", "two lines"),
        ("**Bold** and *italic* and ***both***.", "Bold and italic and both."),
        ("__Bold__ and _italic_.", "Bold and italic."),
        ("~~gone~~ here", "gone here"),
        ("snake_case_name", "snake case name"),
        ("Call `print(x)` now.", "Call print(x) now."),
        ("2 * 3 is 6", "2 * 3 is 6"),
        ("# Heading", "Heading"),
        ("### Heading", "Heading"),
        ("#1 in C#", "#1 in C#"),
        ("- one\n* two\n+ three", "one two three"),
        ("-5 degrees", "-5 degrees"),
        ("> quoted\n> > twice", "quoted twice"),
        ("above\n---\nbelow", "above below"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a b 1 2"),
        ("See [the page](https://example.org/a_b).", "See the page."),
        ('See [the page](https://example.org "A title").', "See the page."),
        ("![a cat](cat.png)", "a cat"),
        ("Go to <https://example.org>.", "Go to https://example.org."),
        ("Line<br/>break <b>bold</b><!-- note -->", "Line break bold"),
        ("a < b and c > d", "a < b and c > d"),
        ("```python\nprint('x')\n```", ""),
        ("```\nopen = 'code that never ends'", ""),
        ("Before ```x = 1``` after", "Before x = 1 after"),
        ("~~~\ncode\n~~~\nText", "Text"),
        ("~~~so~~~ nice", "so nice"),
        ("네~ ~5 km", "네 ~5 km"),
        ("Nice! 😀👍🏽", "Nice!"),
        ("Family 👨‍👩‍👧 and flag 🇰🇷", "Family and flag"),
        ("Key 1️⃣", "Key 1"),
        ("20 °C, © 2024, 50 %", "20 °C, © 2024, 50 %"),
        ("今天天气很好。😀", "今天天气很好。"),
        ("**안녕하세요**", "안녕하세요"),
        ("नमस्ते", "नमस्ते"),
        ("soft\xadhyphen\u200b and\x00 zero", "softhyphen and zero"),
        # tables, rules and lines
        ("| Name | Age |\n|:-----|----:|\n| Tom | 5 |", "Name Age Tom 5"),
        ("Title\n=====", "Title"),
        ("# Heading #", "Heading"),
        ("## **Bold** heading ##", "Bold heading"),
        ("term\n: what it means", "term what it means"),
        ("::: note\nMind this.\n:::", "note Mind this."),
        ("> [!NOTE]\n> Mind this.", "NOTE Mind this."),
        ("• one\n◦ two", "one two"),
        ("Line\\\nbreak", "Line break"),
        ("1. One\n2. Two", "1. One 2. Two"),
        # task lists
        ("- [ ] open\n- [x] done\n* [X] too", "open done too"),
        ("an [x] alone", "an [x] alone"),
        # nested emphasis
        ("**bold *nested* text**", "bold nested text"),
        ("***both** one*", "both one"),
        ("**a _b_ `c`**", "a b c"),
        ("“*Yes*,” she said.", "“Yes,” she said."),
        ("**重点**：好", "重点：好"),
        ("**2026**년", "2026년"),
        ("==marked== text", "marked text"),
        ("a == b", "a == b"),
        ("H~2~O", "H2O"),
        ("2*3*4", "2*3*4"),
        # links and notes
        ("Text[^1] here.", "Text here."),
        ("[^1]: The note.", "The note."),
        ("[1]: https://example.org/a", ""),
        ("See [the page][1].", "See the page."),
        ("See [the page](https://example.org/(a)).", "See the page."),
        ("[![badge](a.svg)](https://example.org)", "badge"),
        ("![one](a.png)[two](b)", "one two"),
        ("![](a.png) text", "text"),
        ("page](https://example.org/a_b) was cut", "page was cut"),
        ("page](https://example.org/a", "page"),
        ("Mail <a@example.org>.", "Mail a@example.org."),
        ("See https://example.org/a_b_c and d_e@example.org.", "See https://example.org/a_b_c and d_e@example.org."),
        # mathematics
        ("Then $x^2$ follows.", "Then x^2 follows."),
        ("$$a+b$$", "a+b"),
        (r"\(y\) and \[z\]", "y and z"),
        (r"$\frac{1}{2} \times \alpha_1$", "1/2 × alpha 1"),
        (r"$e^{i\pi}+1=0$", "e^i pi+1=0"),
        (r"$a \le b \neq c \geq d$", "a ≤ b ≠ c ≥ d"),
        ("It costs $5.00 and $6.00 today.", "It costs $5.00 and $6.00 today."),
        ("$5 or $6", "$5 or $6"),
        ("Use $HOME and $PATH.", "Use $HOME and $PATH."),
        # HTML
        ("A &amp; B &lt;c&gt;&nbsp;&#39;d&#x27; &mdash; e", "A & B <c> 'd' — e"),
        ("Q&A; AT&T &madeup; &frac12;", "Q&A; AT&T &madeup; ½"),
        ("a&#9999999;b &#xd800;c", "a b c"),
        ("<details><summary>More</summary>Text</details>", "More Text"),
        ("One <!-- a\nb --> two <!-- never closed", "One two"),
        # what else models write
        ("<|im_start|>Hello<|im_end|>", "Hello"),
        (r"a\_b \# 1\. c", "a b # 1. c"),
        ("\U0001d401\U0001d428\U0001d425\U0001d41d", "Bold"),
        ("✅ Done → next ★ ■", "Done next"),
        ("", ""),
        ("...", ""),
        ("🙂", ""),
        ("***", ""),
        ("```", ""),
        ("—「」", ""),
    ],
)
def test_only_words_are_left(text: str, said: str) -> None:
    assert speakable(text) == said


@given(st.text(max_size=200))
def test_any_text_gives_one_line_of_words_or_nothing(text: str) -> None:
    said = speakable(text)
    assert len(said) <= len(text)
    assert said == "" or any(character.isalnum() for character in said)
    assert said == " ".join(said.split())


MARKDOWN = st.lists(
    st.sampled_from(["a", "1", " ", "\n", "*", "_", "`", "```", "#", "[", "](x)", "<b>", "|", "😀", "-"])
)


@given(MARKDOWN)
def test_markdown_of_any_shape_leaves_no_marker_at_a_word(pieces: list[str]) -> None:
    said = speakable("".join(pieces))
    assert not {"_", "`", "|", "😀"} & set(said)
    assert not re.search(r"(?<![0-9*\s])\*|\*(?![0-9*\s])", said)  # but 2*3 and 2 * 3


@given(st.lists(st.text("abcdefghXYZ0189éßжй中文글", min_size=1, max_size=8), min_size=1).map(" ".join))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert speakable(text) == text
    assert speakable(f"**{text}**.") == f"{text}."

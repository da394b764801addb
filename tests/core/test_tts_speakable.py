"""What an engine is to read of a segment."""

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
    assert not any("*" in word and word != "*" for word in said.split())


@given(st.lists(st.text("abcdefghXYZ0189éßжй中文글", min_size=1, max_size=8), min_size=1).map(" ".join))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert speakable(text) == text
    assert speakable(f"**{text}**.") == f"{text}."

"""Names, transcripts, languages, and the names of files: made plain, or refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.voice_labels import (
    FileLabels,
    claim,
    file_labels,
    file_name_in,
    key,
    plain_language,
    plain_name,
    plain_transcript,
)

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Anna", "Anna"),
        ("  Anna \t Maria\n", "Anna Maria"),
        ("신안", "신안"),
        ("Zoe\u0308", "Zoë"),
        ("x" * 64, "x" * 64),
        ("Dr. O'Hara-Lee (2)", "Dr. O'Hara-Lee (2)"),
    ],
)
def test_a_name_is_made_plain(text: str, name: str) -> None:
    assert plain_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 65,
        "../../etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\b",
        "Anna\0",
        "An\x1b[31mna",
        "\u202eannA",
        "\ud800",
        "a\u200bb",
        "a／b",
        "a＼b",
        "．．",
        "…",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    assert plain_name(text) is None


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("Hello there.", "Hello there."),
        (" Hello\r\n there. ", "Hello there."),
        ("你好，世界。", "你好，世界。"),
        ("...", None),
        ("", None),
        ("a" * 1_000, "a" * 1_000),
        ("a" * 1_001, None),
        ("Hello\x07", None),
    ],
)
def test_a_transcript_is_one_line_of_words(text: str, transcript: str | None) -> None:
    assert plain_transcript(text) == transcript


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("en", "en"),
        (" pt-BR ", "pt-br"),
        ("zh_Hant_TW", "zh-hant-tw"),
        ("", None),
        ("e", None),
        ("english please", None),
        ("en-", None),
        ("en-" + "a1-" * 5 + "b2", None),
    ],
)
def test_a_language_is_a_tag(text: str, language: str | None) -> None:
    assert plain_language(text) == language


@pytest.mark.parametrize(
    ("file_name", "labels"),
    [
        ("zh-Xinran_woman.wav", FileLabels("zh-Xinran_woman", ".wav", "zh", "Xinran", "woman")),
        ("en-US-Carter_man.MP3", FileLabels("en-US-Carter_man", ".mp3", "en-us", "Carter", "man")),
        ("ko-김 민지_female.flac", FileLabels("ko-김 민지_female", ".flac", "ko", "김 민지", "female")),
        ("en-Anna-Maria_woman.wav", FileLabels("en-Anna-Maria_woman", ".wav", "en", "Anna-Maria", "woman")),
        ("Xinran.wav", None),
        ("zh-Xinran.wav", None),
        ("zh-Xinran_woman.ogg", None),
        ("zh-Xinran_woman", None),
        ("zh-Xinran_woman_bgm.wav", None),
        ("zh-_woman.wav", None),
        ("zh-Xin\x00ran_woman.wav", None),
        ("zh-Xin  ran_woman.wav", None),
        (".wav", None),
        ("", None),
    ],
)
def test_the_name_of_a_file_tells_whose_voice_it_is(file_name: str, labels: FileLabels | None) -> None:
    assert file_labels(file_name) == labels


@pytest.mark.parametrize(
    ("path", "file_name"),
    [
        ("/app/voices/zh-Xinran_woman.wav", "zh-Xinran_woman.wav"),
        ("voices\\zh-Xinran_woman.wav", "zh-Xinran_woman.wav"),
        ("zh-Xinran_woman.WAV", "zh-Xinran_woman.WAV"),
        ("../voices/zh-Xinran_woman.wav", None),
        ("../../etc/passwd", None),
        ("/etc/passwd", None),
        ("zh-Xinran_woman", None),
        ("a\0.wav", None),
        ("", None),
    ],
)
def test_of_a_path_only_the_name_of_the_file_counts(path: str, file_name: str | None) -> None:
    assert file_name_in(path) == file_name


def test_one_name_has_one_key() -> None:
    assert key("ANNA") == key("anna") == key("ａｎｎａ")
    assert key("Anna") != key("Anne")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("en-Ann_woman.wav", "EN-ANN_woman"),
        ("Ann.MP3", "ａｎｎ"),
        ("Straße.flac", "STRASSE"),
        ("ﬁn．wav", "fin"),
        ("Å", "A\u030a"),
    ],
)
def test_one_voice_claims_a_name_with_and_without_the_suffix_of_a_file(name: str, other: str) -> None:
    assert claim(name) == claim(other) == claim(key(name))
    assert claim("Ann.ogg") != claim("Ann")


@given(st.text(max_size=100))
def test_the_key_of_a_key_is_the_key(text: str) -> None:
    assert key(key(text)) == key(text)


@given(st.text(max_size=100))
def test_what_is_plain_stays_as_it_is_and_holds_no_control_and_no_path(text: str) -> None:
    for clean in (plain_name, plain_transcript):
        once = clean(text)
        if once is not None:
            assert clean(once) == once
            assert not {unicodedata.category(character)[0] for character in once} & {"C"}
    name = plain_name(text)
    assert name is None or not set(key(name)) & set("/\\")


@given(st.text(max_size=40), st.sampled_from([".wav", ".mp3", ".flac", ".WAV"]))
def test_a_file_that_is_taken_is_found_again_by_its_path(stem: str, suffix: str) -> None:
    labels = file_labels(f"en-{stem}_man{suffix}")
    if labels is not None:
        assert file_name_in(f"/app/voices/en-{stem}_man{suffix}") == f"en-{stem}_man{suffix}"
        assert labels.name == stem

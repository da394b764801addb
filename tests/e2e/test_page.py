"""The page in a real browser: against a whole Parley, and against a gateway of this file that plays tricks on it."""

import array
import math
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from gateway.personas import load_personas
from tests.support.page_gateway import FLAGS, Line, PageGateway, faultless_page, find_chromium, wait_for_state
from tests.support.page_scripts import HOLD_SOUND, RENDER, STOP_INTERVALS, TAP, WATCH_OUTPUT

pytestmark = pytest.mark.e2e

SPEECH = Path(__file__).parents[1] / "cases" / "speech" / "what_is_the_capital_of_france.wav"
OUTPUT_RATE = 24_000
FRAME_BYTES = 640


class RunningParley(Protocol):
    url: str


# -- the browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> str:
    return find_chromium()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """A browser whose microphone beeps once a second."""
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, gateway: PageGateway) -> Iterator[Page]:
    """A page that is closed before its gateway is."""
    with faultless_page(browser) as page:
        yield page


def write_microphone(path: Path) -> None:
    """The recorded question as a microphone would bring it: 48 kHz, -3 dB, silence around it."""
    with wave.open(str(SPEECH)) as recording:
        assert (recording.getframerate(), recording.getnchannels(), recording.getsampwidth()) == (16_000, 1, 2)
        speech = array.array("h", recording.readframes(recording.getnframes()))
    gain = 0.707 * 32_767 / max(map(abs, speech))
    tripled = [
        round(gain * (now + (after - now) * third / 3))
        for now, after in zip(speech, [*speech[1:], 0], strict=True)
        for third in range(3)
    ]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(48_000)
        out.writeframes(bytes(2 * 72_000) + array.array("h", tripled).tobytes() + bytes(2 * 144_000))


@pytest.fixture
def gateway() -> Iterator[PageGateway]:
    running = PageGateway({"/tap.js": TAP})
    yield running
    running.stop()


@pytest.fixture
def line(page: Page, gateway: PageGateway) -> Line:
    """The session of a page that has just been opened."""
    return open_page(page, gateway)


def open_page(page: Page, gateway: PageGateway, *scripts: str) -> Line:
    """Open the page, with `scripts` run before its own."""
    for script in scripts:
        page.add_init_script(script)
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    wait_for_state(page, "ready")
    return line


def watch_output(page: Page, gateway: PageGateway, *scripts: str) -> Line:
    """Open the page and count what comes out of it, in `window.tapped`."""
    line = open_page(page, gateway, WATCH_OUTPUT, *scripts)
    page.get_by_role("textbox").click()  # a gesture opens the sound
    page.wait_for_function("() => window.tapped")
    return line


def wait_for_output(page: Page, kind: str, samples: int) -> None:
    page.wait_for_function("([kind, samples]) => window.tapped[kind] >= samples", arg=[kind, samples])


# -- a whole Parley ---------------------------------------------------------------------------------------------------


def test_a_spoken_question_is_understood_and_answered_aloud(
    parley: RunningParley, playwright: Playwright, chromium: str, tmp_path: Path
) -> None:
    write_microphone(tmp_path / "microphone.wav")
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}%noloop"]
    with playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
        page = browser.new_page(locale="en-GB")
        page.goto(parley.url)
        wait_for_state(page, "ready")
        page.get_by_role("button", name="Talk").click()
        page.wait_for_function("() => window.parley.events.includes('reply_done')", timeout=45_000)
        events = page.evaluate("window.parley.events")
        assert events.index("partial") < events.index("final") < events.index("reply_started")
        assert events.index("reply_started") < events.index("token") < events.index("reply_done")
        assert page.evaluate("window.parley.playedPeak") > 0.05
        expect(page.locator(".of-question").first).to_contain_text("France", ignore_case=True)
        expect(page.locator(".of-answer").last).to_contain_text("Paris")


# -- hearing ----------------------------------------------------------------------------------------------------------


def test_nothing_is_recorded_before_the_button_and_then_frames_are_twenty_milliseconds(page: Page, line: Line) -> None:
    assert line.messages[0] == {
        "type": "config",
        "sample_rate": 16_000,
        "persona": "assistant",
        "audio_out": {"encoding": "pcm16", "sample_rate": OUTPUT_RATE, "transport": "binary"},
    }
    assert line.frames == []
    page.get_by_role("button", name="Talk").click()
    wait_for_state(page, "listening")
    line.wait_until(lambda: len(line.frames) >= 100)
    assert {len(frame) for frame in line.frames} == {FRAME_BYTES}
    assert max(max(array.array("h", frame)) for frame in line.frames) > 1_000
    page.get_by_role("button", name="Stop listening").click()
    wait_for_state(page, "ready")


def split_tone(samples: list[int], hertz: int) -> tuple[float, float]:
    """How much of `samples` is the tone, and how much is anything else: amplitudes, full scale = 1."""
    turns = [2 * math.pi * hertz * at / 16_000 for at in range(len(samples))]
    sine = sum(one * math.sin(turn) for one, turn in zip(samples, turns, strict=True))
    cosine = sum(one * math.cos(turn) for one, turn in zip(samples, turns, strict=True))
    amplitude = 2 * math.hypot(sine, cosine) / len(samples)
    energy = 2 * sum(one * one for one in samples) / len(samples)
    return amplitude / 32_767, math.sqrt(max(0.0, energy - amplitude**2)) / 32_767


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_sixteen_kilohertz_and_what_that_cannot_hold_is_gone(
    page: Page, line: Line, rate: int
) -> None:
    tone, rest = split_tone(page.evaluate(RENDER, [rate, 1_000]), 1_000)
    assert tone == pytest.approx(1, abs=0.01)
    assert rest < 0.002
    if rate > 2 * 10_000:
        assert max(map(abs, page.evaluate(RENDER, [rate, 10_000]))) < 0.01 * 32_767


def test_speech_is_shown_while_it_is_understood(page: Page, line: Line) -> None:
    names = {"turn_id": "trn_1", "utterance_id": "utt_1"}
    line.send("speech_started", **names)
    line.send("partial", text="what is the cap", committed="what is", language="en", **names)
    expect(page.locator(".of-question .committed")).to_have_text("what is")
    expect(page.locator(".of-question .tentative")).to_have_text(" the cap")
    line.send("final", text="What is the capital?", language="en", segments=[], **names)
    expect(page.locator(".of-question")).to_have_text("What is the capital?")
    expect(page.locator(".tentative")).to_have_count(0)
    wait_for_state(page, "thinking")


def test_a_noise_that_was_no_speech_leaves_no_trace(page: Page, line: Line) -> None:
    names = {"turn_id": "trn_1", "utterance_id": "utt_1"}
    line.send("speech_started", **names)
    expect(page.locator(".of-question")).to_have_count(1)
    line.send("final", text="", language="en", segments=[], **names)
    expect(page.locator(".of-question")).to_have_count(0)
    wait_for_state(page, "ready")


def test_the_space_bar_talks_as_long_as_it_is_held(page: Page, line: Line) -> None:
    page.keyboard.down("Space")
    line.wait_until(lambda: len(line.frames) >= 5)
    page.keyboard.up("Space")
    line.wait_for(type="commit")
    wait_for_state(page, "ready")


def test_a_microphone_that_is_not_allowed_is_explained(page: Page, line: Line) -> None:
    page.evaluate("""() => {
      navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };
    }""")
    page.get_by_role("button", name="Talk").click()
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_role("button", name="Talk")).to_have_attribute("aria-pressed", "false")


# -- answering --------------------------------------------------------------------------------------------------------


def test_marks_rise_and_end_with_all_that_was_received(page: Page, line: Line) -> None:
    page.get_by_role("textbox").fill("Hello?")
    page.keyboard.press("Enter")
    line.wait_for(type="text", text="Hello?")
    line.answer("rpl_1", "Good day to you.", 25_211)
    line.wait_for(type="played", ms=1_050)
    line.speak(12_000, 16_000)
    line.wait_for(type="played", ms=1_550)
    assert line.marks("rpl_1") == sorted(set(line.marks("rpl_1")))
    assert line.marks("rpl_1")[-1] == 37_211 * 1_000 // OUTPUT_RATE
    wait_for_state(page, "speaking")
    reason = {"finish_reason": "stop", "text": "Good day to you.", "timings": {}}
    line.send("reply_done", turn_id="trn_1", reply_id="rpl_1", **reason)
    wait_for_state(page, "ready")
    expect(page.locator(".of-answer").last).to_have_text("Good day to you.")
    assert page.evaluate("window.parley.playedPeak") == pytest.approx(16_000 / 32_768, abs=0.05)


def test_frames_of_any_length_sound_without_a_gap(page: Page, gateway: PageGateway) -> None:
    line = watch_output(page, gateway)
    line.answer("rpl_1", "One two three four.", 2 * OUTPUT_RATE)
    line.wait_for(type="played", ms=2_000)
    wait_for_output(page, "heard", 2 * OUTPUT_RATE)
    tapped = page.evaluate("window.tapped")
    assert (tapped["heard"], tapped["inside"]) == (2 * OUTPUT_RATE, 0)


def test_sound_that_the_browser_holds_back_waits_for_a_press(page: Page, gateway: PageGateway) -> None:
    line = open_page(page, gateway, HOLD_SOUND)
    line.answer("rpl_1", "One two.", OUTPUT_RATE)
    expect(page.get_by_role("alert")).to_contain_text("holds the sound back")
    page.get_by_role("heading").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    line.wait_for(type="played", ms=1_000)


def test_a_paused_answer_waits_and_goes_on_to_its_last_sample(page: Page, line: Line) -> None:
    line.answer("rpl_1", "One two three four.", 2 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.send("reply_paused", turn_id="trn_1", reply_id="rpl_1")
    page.wait_for_function("window.parley.state === 'speaking'")
    line.send("reply_resumed", turn_id="trn_1", reply_id="rpl_1")
    line.wait_for(type="played", ms=2_000)
    assert line.marks("rpl_1") == sorted(set(line.marks("rpl_1")))


def test_an_answer_that_is_interrupted_in_its_pause_lets_the_next_one_sound(page: Page, line: Line) -> None:
    line.answer("rpl_1", "One two three four.", 20 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.send("reply_paused", turn_id="trn_1", reply_id="rpl_1")
    line.send("interrupted", turn_id="trn_1", reply_id="rpl_1", heard_ms=200, heard_text="One two")
    wait_for_state(page, "ready")
    expect(page.get_by_role("alert")).to_be_hidden()
    line.answer("rpl_2", "Yes?", 2_400)
    line.wait_for(type="played", reply_id="rpl_2", ms=100)


def test_an_interrupted_answer_falls_silent_at_once_and_shows_what_was_heard(page: Page, gateway: PageGateway) -> None:
    line = watch_output(page, gateway)
    line.answer("rpl_1", "One two three four.", 60 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.send("interrupted", turn_id="trn_1", reply_id="rpl_1", heard_ms=200, heard_text="One two")
    wait_for_state(page, "ready")
    expect(page.locator(".of-answer .unheard")).to_have_text("three four.")
    wait_for_output(page, "silent", OUTPUT_RATE // 10)
    told = len(line.marks("rpl_1"))
    wait_for_output(page, "silent", OUTPUT_RATE // 2)
    assert len(line.marks("rpl_1")) == told
    line.answer("rpl_2", "Yes?", 2_400)
    line.wait_for(type="played", reply_id="rpl_2", ms=100)


def test_the_stop_button_tells_exactly_what_was_heard_and_asks_for_the_end(page: Page, gateway: PageGateway) -> None:
    line = watch_output(page, gateway, STOP_INTERVALS)
    line.answer("rpl_1", "One two three four.", 60 * OUTPUT_RATE)
    wait_for_output(page, "heard", OUTPUT_RATE)
    assert line.marks("rpl_1") == []
    page.get_by_role("button", name="Stop", exact=True).click()
    line.wait_for(type="cancel")
    wait_for_output(page, "silent", OUTPUT_RATE // 10)
    [told] = line.marks("rpl_1")
    heard = page.evaluate("window.tapped.heard") * 1_000 // OUTPUT_RATE
    assert heard - 600 < told <= heard


@pytest.mark.parametrize(
    ("code", "service", "words"),
    [
        ("service_unavailable", "llm", "The language model does not answer just now. Wait a moment and say it again."),
        ("unsupported", "asr", "The speech recogniser cannot do that here. Choose another character, or type."),
        ("too_many_sessions", "gateway", "All places are taken. Parley tries again by itself."),
        ("invalid_message", "gateway", "The page and the server do not understand each other. Reload the page."),
    ],
)
def test_an_error_is_said_in_plain_words(page: Page, line: Line, code: str, service: str, words: str) -> None:
    line.send("error", code=code, service=service, message="Refused.", retryable=True)
    expect(page.get_by_role("alert")).to_have_text(words)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_calm_line_says_with_what_less_parley_does(page: Page, line: Line) -> None:
    words = {
        "no_hq": "Parley has much to do: answers are kept as they were first spoken.",
        "fast_voice": "Parley has much to do: a simpler voice speaks for now.",
        "text_only": "Parley has much to do: answers come as text for now.",
        "of_tomorrow": "Said by the gateway.",
    }
    for level, text in words.items():
        line.send("degraded", level=level, message="Said by the gateway.")
        expect(page.locator("#means")).to_have_text(text)
        expect(page.locator("#means")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
    line.send("degraded", level="full", message="Said by the gateway.")
    expect(page.locator("#means")).to_be_hidden()


def test_every_sentence_exists_in_chinese(browser: Browser, gateway: PageGateway) -> None:
    with browser.new_context(locale="zh-CN") as context:
        page = context.new_page()
        open_page(page, gateway)
        expect(page.get_by_role("button", name="说话")).to_be_visible()
        missing = page.evaluate("""async () => {
          const source = await (await fetch("strings.js")).text();
          const keys = (name) => source.split(`const ${name} = {`)[1].split("};")[0].match(/^  \\w+(?=:)/gm);
          return keys("ENGLISH").filter((key, at) => keys("CHINESE")[at] !== key);
        }""")
        assert missing == []


def test_the_newest_words_stay_in_view(page: Page, line: Line) -> None:
    for number in range(8):
        line.answer(f"rpl_{number}", f"Answer {number}.\nIt has\nmore than\none line.", 0)
    expect(page.locator(".of-answer").last).to_be_in_viewport(ratio=1)
    line.send("error", code="internal_error", service="gateway", message="", retryable=False)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".of-answer").last).to_be_in_viewport(ratio=1)
    expect(page.locator(".of-answer").first).not_to_be_in_viewport()


# -- who, and again ---------------------------------------------------------------------------------------------------


def test_a_chosen_persona_begins_anew_and_is_remembered(page: Page, line: Line, gateway: PageGateway) -> None:
    opening_line = load_personas()["sun_wukong"].opening_line
    line.answer("rpl_1", "I am Parley.", 20 * OUTPUT_RATE)
    wait_for_state(page, "speaking")
    page.get_by_text("孙悟空").click()
    line.wait_for(type="config", persona="sun_wukong")
    wait_for_state(page, "ready")
    expect(page.get_by_role("listitem")).to_have_text([opening_line])
    page.reload()
    again = gateway.next_line()
    assert again.wait_for(type="config")["persona"] == "sun_wukong"
    expect(page.get_by_role("radio", name="孙悟空")).to_be_checked()
    expect(page.get_by_role("listitem")).to_have_text([opening_line])


def test_a_line_that_is_cut_is_called_again_as_a_new_conversation(page: Page, line: Line, gateway: PageGateway) -> None:
    line.answer("rpl_1", "One two three four.", 20 * OUTPUT_RATE)
    wait_for_state(page, "speaking")
    line.connection.close_socket()
    wait_for_state(page, "reconnecting")
    again = gateway.next_line()
    assert again.wait_for(type="config")["persona"] == "assistant"
    wait_for_state(page, "ready")
    expect(page.get_by_text("This is a new conversation.")).to_be_visible()
    again.answer("rpl_2", "Good day.", 2_400)
    again.wait_for(type="played", reply_id="rpl_2", ms=100)
    assert again.marks("rpl_1") == []


def test_who_leaves_or_reloads_the_page_says_goodbye(page: Page, gateway: PageGateway) -> None:
    gateway.resume_ms = 30_000
    line = open_page(page, gateway)
    page.reload()
    line.wait_until(lambda: line.close_code)
    assert line.close_code == 1_000
    again = gateway.next_line()
    again.wait_for(type="config")
    assert again.matching(type="resume") == []
    page.goto("about:blank")
    again.wait_until(lambda: again.close_code)
    assert again.close_code == 1_000

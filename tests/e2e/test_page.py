"""The page in a real browser: against a whole Parley, and against a gateway of this file that plays tricks on it."""

import array
import os
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from gateway.personas import load_personas
from tests.support.page_gateway import PATIENCE_S, Line, PageGateway

pytestmark = pytest.mark.e2e

SPEECH = Path(__file__).parents[1] / "cases" / "speech" / "capital_of_france.wav"
OUTPUT_RATE = 24_000
FRAME_BYTES = 640
FLAGS = [
    "--no-sandbox",  # where tests run as root, Chromium needs it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
TAP = """
// Counts the samples of silence inside of sound.
registerProcessor("tap", class extends AudioWorkletProcessor {
  silent = 0; inside = 0; heard = 0;
  process([[samples = []]]) {
    for (const sample of samples) {
      if (sample === 0) { this.silent += this.heard > 0; continue; }
      this.inside += this.silent; this.silent = 0; this.heard++;
    }
    this.port.postMessage({ heard: this.heard, inside: this.inside });
    return true;
  }
});
"""
WATCH_OUTPUT = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (this instanceof AnalyserNode) {
    this.context.audioWorklet.addModule("tap.js").then(() => {
      const tap = new AudioWorkletNode(this.context, "tap");
      tap.port.onmessage = ({ data }) => { window.tapped = data; };
      connect.call(this, tap);
      connect.call(tap, this.context.destination);
      window.tapped = { heard: 0, inside: 0 };
    });
  }
  return connect.call(this, target, ...rest);
};
"""
HOLD_SOUND = """
window.AudioContext = class extends AudioContext {
  constructor(...args) {
    super(...args);
    void this.suspend();
  }
};
"""


class RunningParley(Protocol):
    url: str


# -- the browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None and os.environ.get("CI"):
        pytest.fail("chromium is not installed")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


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
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(error.message))
        page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        yield page
    assert faults == []


def wait_for_state(page: Page, state: str) -> None:
    page.wait_for_function("state => window.parley?.state === state", arg=state)


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
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    wait_for_state(page, "ready")
    return line


# -- a whole Parley ---------------------------------------------------------------------------------------------------


def test_a_spoken_question_is_understood_and_answered_aloud(
    parley: RunningParley, playwright: Playwright, chromium: str, tmp_path: Path
) -> None:
    write_microphone(tmp_path / "microphone.wav")
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}%noloop"]
    with playwright.chromium.launch(executable_path=chromium, args=flags) as browser:
        page = browser.new_page(locale="en-GB")
        page.goto(parley.url)
        page.wait_for_function("window.parley?.state === 'ready'")
        page.get_by_role("button", name="Talk").click()
        page.wait_for_function("window.parley.events.includes('reply_done')", timeout=45_000)
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


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_sixteen_kilohertz_and_what_that_cannot_hold_is_gone(
    page: Page, line: Line, rate: int
) -> None:
    render = """async ([rate, hertz]) => {
      const context = new OfflineAudioContext(1, 2 * rate, rate);
      await context.audioWorklet.addModule("capture-worklet.js");
      const node = new AudioWorkletNode(context, "capture");
      const tone = new OscillatorNode(context, { frequency: hertz });
      const levels = [];
      const isComplete = new Promise((resolve) => {
        node.port.onmessage = ({ data }) => levels.push(data.level) === 99 && resolve();
      });
      tone.connect(node).connect(context.destination);
      tone.start();
      await context.startRendering();
      await isComplete;
      return levels.slice(1);
    }"""
    for level in page.evaluate(render, [rate, 1_000]):
        assert level == pytest.approx(0.5**0.5, rel=0.01)
    if rate > 2 * 10_000:
        assert max(page.evaluate(render, [rate, 10_000])) < 0.01


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
    page.add_init_script(WATCH_OUTPUT)
    page.goto(gateway.url)
    line = gateway.next_line()
    page.get_by_role("textbox").click()  # a gesture opens the sound
    page.wait_for_function("window.tapped")
    line.answer("rpl_1", "One two three four.", 2 * OUTPUT_RATE)
    line.wait_for(type="played", ms=2_000)
    page.wait_for_function("heard => window.tapped.heard >= heard", arg=2 * OUTPUT_RATE)
    assert page.evaluate("window.tapped") == {"heard": 2 * OUTPUT_RATE, "inside": 0}


def test_sound_that_the_browser_holds_back_waits_for_a_press(page: Page, gateway: PageGateway) -> None:
    page.add_init_script(HOLD_SOUND)
    page.goto(gateway.url)
    line = gateway.next_line()
    line.answer("rpl_1", "One two.", OUTPUT_RATE)
    expect(page.get_by_role("alert")).to_contain_text("holds the sound back")
    page.get_by_role("heading").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    line.wait_for(type="played", ms=1_000)


def test_an_interrupted_answer_falls_silent_at_once_and_shows_what_was_heard(page: Page, line: Line) -> None:
    line.answer("rpl_1", "One two three four.", 20 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.send("interrupted", turn_id="trn_1", reply_id="rpl_1", heard_ms=200, heard_text="One two")
    wait_for_state(page, "ready")
    expect(page.locator(".of-answer .unheard")).to_have_text("three four.")
    line.answer("rpl_2", "Silence.", OUTPUT_RATE, level=0)
    line.wait_until(lambda: line.marks("rpl_2"))
    told = len(line.marks("rpl_1"))
    page.evaluate("window.parley.playedPeak = 0")
    line.wait_for(type="played", reply_id="rpl_2", ms=1_000)
    assert page.evaluate("window.parley.playedPeak") < 0.001
    assert len(line.marks("rpl_1")) == told


def test_the_stop_button_tells_what_was_heard_and_asks_for_the_end(page: Page, line: Line) -> None:
    line.answer("rpl_1", "One two three four.", 20 * OUTPUT_RATE)
    wait_for_state(page, "speaking")
    page.get_by_role("button", name="Stop", exact=True).click()
    line.wait_for(type="cancel")
    assert line.messages[-1] == {"type": "cancel"}
    assert line.marks("rpl_1")[-1] < 20_000


def test_an_error_is_said_in_plain_words(page: Page, line: Line) -> None:
    fault = {"code": "service_unavailable", "service": "llm", "message": "Refused.", "retryable": True}
    line.send("error", **fault)
    expect(page.get_by_role("alert")).to_have_text(
        "The language model does not answer just now. Wait a moment and say it again."
    )
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_newest_words_stay_in_view(page: Page, line: Line) -> None:
    for number in range(8):
        line.answer(f"rpl_{number}", f"Answer {number}.\nIt has\nmore than\none line.", 0)
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

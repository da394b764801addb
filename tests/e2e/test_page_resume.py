"""The page in a real browser when its line is cut: what it asks for, what of the talk goes on, and what begins anew."""

import array
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support import page_scripts as scripts
from tests.support.page_gateway import FLAGS, Line, PageGateway, faultless_page, find_chromium, missed, wait_for_state

pytestmark = pytest.mark.e2e

OUTPUT_RATE = 24_000
FRAME_BYTES = 640
RESUME_MS = 30_000
COUNTING = [at % 30_000 + 1 for at in range(4 * OUTPUT_RATE)]  # samples that know their places


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser whose microphone is there; what it hears is replaced."""
    chromium = find_chromium()
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, gateway: PageGateway) -> Iterator[Page]:
    """A page that is closed before its gateway is."""
    with faultless_page(browser) as page:
        yield page


@pytest.fixture
def gateway() -> Iterator[PageGateway]:
    """A gateway that keeps a session when its line is cut."""
    running = PageGateway({"/tap.js": scripts.TAP, "/capture-worklet.js": scripts.COUNTING_CAPTURE, "/favicon.ico": ""})
    running.resume_ms = RESUME_MS
    yield running
    running.stop()


@pytest.fixture
def line(page: Page, gateway: PageGateway) -> Line:
    """The first line of a page whose sound is watched."""
    page.add_init_script(scripts.WATCH_OUTPUT)
    page.add_init_script(scripts.AN_HOUR_OLD)
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    wait_for_state(page, "ready")
    page.get_by_role("textbox").click()  # a gesture opens the sound
    page.wait_for_function("() => window.tapped")
    return line


def numbers(frames: list[bytes]) -> list[int]:
    """The numbers of the microphone's frames."""
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    return [array.array("h", frame)[0] for frame in frames]


# -- what is said to us -----------------------------------------------------------------------------------------------


def test_an_answer_that_is_cut_goes_on_at_the_next_sample(page: Page, line: Line, gateway: PageGateway) -> None:
    names = {"turn_id": "trn_rpl_1", "reply_id": "rpl_1"}
    line.begin_answer("rpl_1", "One")
    line.speak_samples(COUNTING[: 2 * OUTPUT_RATE])
    line.send("token", text="two ", **names)
    line.speak_samples(COUNTING[2 * OUTPUT_RATE : 3 * OUTPUT_RATE])
    line.wait_until(lambda: line.marks("rpl_1"))
    line.cut()
    said = line.said
    line.speak_samples(COUNTING[3 * OUTPUT_RATE : 3 * OUTPUT_RATE + 7_000])
    line.send("token", text="three.", **names)
    line.send("segment", text="three.", start_ms=3_291, **names)
    line.speak_samples(COUNTING[3 * OUTPUT_RATE + 7_000 :])
    again = gateway.next_line()
    resume = again.go_on(line)
    assert again.messages[0] == resume
    assert (resume["last_seq"], resume["audio_bytes"]) == said
    again.wait_for(type="played", ms=4_000)
    page.wait_for_function("samples => window.tapped.heard >= samples", arg=4 * OUTPUT_RATE)
    tapped = page.evaluate("window.tapped")
    assert (tapped["heard"], tapped["inside"], tapped["leaps"]) == (4 * OUTPUT_RATE, 0, 0)
    told = line.marks("rpl_1") + again.marks("rpl_1")
    assert told == sorted(told)
    expect(page.locator(".of-answer")).to_have_count(2)  # the opening line, and this
    expect(page.locator(".of-answer").last).to_have_text("One two three.")
    again.send("reply_done", text="One two three.", finish_reason="stop", timings={}, **names)
    wait_for_state(page, "ready")
    expect(page.locator(".divider")).to_have_count(0)


def test_an_answer_that_was_interrupted_meanwhile_falls_silent(page: Page, line: Line, gateway: PageGateway) -> None:
    line.answer("rpl_1", "One two three four.", 60 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.cut()
    line.send("interrupted", turn_id="trn_1", reply_id="rpl_1", heard_ms=200, heard_text="One two")
    wait_for_state(page, "reconnecting")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    again = gateway.next_line()
    again.go_on(line)
    wait_for_state(page, "ready")
    expect(page.locator(".of-answer .unheard")).to_have_text("three four.")
    again.answer("rpl_2", "Yes?", 2_400)
    again.wait_for(type="played", reply_id="rpl_2", ms=100)


def test_an_end_that_is_heard_meanwhile_is_told_afterwards(page: Page, line: Line, gateway: PageGateway) -> None:
    line.answer("rpl_1", "One.", OUTPUT_RATE // 2)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.cut()
    again = gateway.next_line()
    again.wait_for(type="resume")
    page.wait_for_function("samples => window.tapped.heard >= samples", arg=OUTPUT_RATE // 2)
    page.wait_for_function("() => window.tapped.silent > 12000")
    again.go_on(line)
    assert again.wait_for(type="played")["ms"] == 500


def test_a_session_outlives_one_cut_after_the_other(page: Page, line: Line, gateway: PageGateway) -> None:
    line.answer("rpl_1", "One two", 2 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.cut()
    missed_line = gateway.next_line()
    first = missed_line.wait_for(type="resume")
    missed_line.cut()
    again = gateway.next_line()
    assert again.go_on(line) == first
    wait_for_state(page, "speaking")
    again.cut()
    last = gateway.next_line()
    resume = last.go_on(again)
    assert list(missed(line.journal, resume["last_seq"], resume["audio_bytes"])) == []
    last.wait_for(type="played", ms=2_000)


def test_what_the_new_session_said_is_void_if_the_old_one_goes_on(page: Page, line: Line, gateway: PageGateway) -> None:
    line.cut()
    again = gateway.next_line()
    again.send("loading", service="asr")
    again.go_on(line)
    wait_for_state(page, "ready")
    assert "loading" not in page.evaluate("window.parley.events")
    line.send("loading", service="tts")
    again.send("loading", service="llm")
    expect(page.get_by_role("alert")).to_contain_text("The language model")


# -- what is said by us -----------------------------------------------------------------------------------------------


def test_what_is_said_meanwhile_arrives_whole_in_order_and_once(page: Page, line: Line, gateway: PageGateway) -> None:
    page.get_by_role("button", name="Talk").click()
    line.wait_until(lambda: len(line.frames) >= 10)
    line.cut()
    again = gateway.next_line()
    again.go_on(line, arrived_bytes=5 * FRAME_BYTES)
    again.wait_until(lambda: len(again.frames) >= 30)
    again.cut()
    last = gateway.next_line()
    last.go_on(again, arrived_bytes=25 * FRAME_BYTES)
    last.wait_until(lambda: len(last.frames) >= 30)
    page.get_by_role("button", name="Stop listening").click()
    heard = numbers(line.frames[:5] + again.frames[:20] + last.frames)
    assert heard == list(range(heard[0], heard[0] + len(heard)))
    assert last.messages[0]["type"] == "resume"


def test_what_a_slow_line_did_not_take_arrives_after_its_cut(page: Page, gateway: PageGateway) -> None:
    page.add_init_script(scripts.WAITING_BYTES)
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    page.get_by_role("button", name="Talk").click()
    line.wait_until(lambda: len(line.frames) >= 5)
    page.evaluate("window.waitingBytes = 100_000")
    expect(page.get_by_role("alert")).to_contain_text("The line is too slow")
    line.cut()
    again = gateway.next_line()
    again.go_on(line, arrived_bytes=4 * FRAME_BYTES)
    again.wait_until(lambda: len(again.frames) >= 60)  # those that waited, and newer ones behind them
    heard = numbers(line.frames[:4] + again.frames)
    assert heard == list(range(heard[0], heard[0] + len(heard)))


def test_an_utterance_that_ends_meanwhile_is_said_to_be_over(page: Page, line: Line, gateway: PageGateway) -> None:
    page.get_by_role("button", name="Talk").click()
    line.wait_until(lambda: len(line.frames) >= 5)
    line.cut()
    again = gateway.next_line()
    again.wait_for(type="resume")
    page.get_by_role("button", name="Stop listening").click()
    again.go_on(line, arrived_bytes=len(line.frames) * FRAME_BYTES)
    again.wait_for(type="commit")
    heard = numbers(line.frames + again.frames)
    assert heard == list(range(heard[0], heard[0] + len(heard)))


def test_an_answer_that_is_stopped_meanwhile_is_stopped(page: Page, line: Line, gateway: PageGateway) -> None:
    line.answer("rpl_1", "One two three four.", 60 * OUTPUT_RATE)
    line.wait_until(lambda: line.marks("rpl_1"))
    line.cut()
    again = gateway.next_line()
    again.wait_for(type="resume")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_function("() => window.tapped.silent > 2400")
    again.go_on(line)
    again.wait_for(type="cancel")


def test_a_typed_turn_that_may_be_lost_is_not_waited_for(page: Page, line: Line, gateway: PageGateway) -> None:
    page.get_by_role("textbox").fill("Hello?")
    page.keyboard.press("Enter")
    wait_for_state(page, "thinking")
    line.cut()
    again = gateway.next_line()
    again.go_on(line)
    wait_for_state(page, "ready")
    assert again.matching(type="text") == []


EIGHT_SECONDS = 256_000


@pytest.fixture(scope="module")
def upstream(browser: Browser) -> Iterator[Page]:
    """The module alone."""
    running = PageGateway({"/favicon.ico": ""})  # asked for by pages that name none
    with faultless_page(browser) as page:
        page.goto(f"{running.url}upstream.js")
        yield page
    running.stop()


@pytest.mark.parametrize(
    ("things", "arrived_bytes", "due"),
    [
        pytest.param([[640, True], [640, True]], 640, [640], id="a frame that did not arrive"),
        pytest.param([[640, True], [640, True]], 960, [320], id="half of a frame"),
        pytest.param([[640, True], [640, False]], 640, [640], id="a frame that could not be sent"),
        pytest.param([[640, True], [640, False], [640, True]], 1_280, [], id="what was left out before what arrived"),
        pytest.param([[640, True]], 2_000, [], id="more than was sent"),
        pytest.param([[640, True], ["commit", True, True]], 640, ["commit"], id="nobody knows, and twice is harmless"),
        pytest.param([["commit", True, True], [640, True]], 640, [], id="it arrived, for what came after it did"),
        pytest.param([[640, True], ["cancel", True, False]], 0, [640], id="nobody knows, and twice is harmful"),
        pytest.param([[640, True], ["cancel", False, False]], 640, ["cancel"], id="it was not sent"),
        pytest.param([[EIGHT_SECONDS, False], [EIGHT_SECONDS, False]], 0, [EIGHT_SECONDS], id="the last ten seconds"),
    ],
)
def test_what_did_not_arrive_is_due(upstream: Page, things: object, arrived_bytes: int, due: list[object]) -> None:
    assert upstream.evaluate(scripts.REWIND, [things, arrived_bytes]) == [due]


def test_what_is_due_counts_from_what_arrived(upstream: Page) -> None:
    things = [[640, True], [640, False], ["commit", False, True], [640, False]]
    assert upstream.evaluate(scripts.REWIND, [things, 640, 1_280, 1_920]) == [[640, "commit", 640], ["commit", 640], []]


# -- a new session ----------------------------------------------------------------------------------------------------


def test_a_session_that_is_gone_leaves_nothing_to_the_next_one(page: Page, line: Line, gateway: PageGateway) -> None:
    page.get_by_role("button", name="Talk").click()
    line.wait_until(lambda: len(line.frames) >= 5)
    line.answer("rpl_1", "One two three four.", 20 * OUTPUT_RATE)
    line.send("degraded", level="no_hq", message="")
    wait_for_state(page, "speaking")
    line.cut()
    again = gateway.next_line()
    again.send("degraded", level="text_only", message="")
    again.refuse()
    assert again.wait_for(type="config")["persona"] == "assistant"
    wait_for_state(page, "listening")
    expect(page.get_by_text("This is a new conversation.")).to_be_visible()
    expect(page.get_by_text("answers come as text")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()
    again.wait_until(lambda: again.frames)
    assert numbers(again.frames)[0] > numbers(line.frames)[-1] + 5  # so many were said while the line was cut
    again.answer("rpl_2", "Good day.", 2_400)
    again.wait_for(type="played", reply_id="rpl_2", ms=100)
    assert again.marks("rpl_1") == []
    again.cut()
    last = gateway.next_line()
    last.go_on(again, arrived_bytes=3 * FRAME_BYTES)
    last.wait_until(lambda: len(last.frames) >= 20)
    heard = numbers(again.frames[:3] + last.frames)
    assert heard == list(range(heard[0], heard[0] + len(heard)))


def test_the_refusal_belongs_to_the_new_session(page: Page, line: Line, gateway: PageGateway) -> None:
    line.send("degraded", level="no_hq", message="")
    expect(page.locator("#means")).to_be_visible()
    line.cut()
    again = gateway.next_line()
    again.refuse()
    again.wait_for(type="config")
    expect(page.locator("#means")).to_be_hidden()
    again.cut()
    resume = gateway.next_line().wait_for(type="resume", session_id=again.session_id)
    assert resume["last_seq"] == again.seq


def test_a_session_that_is_kept_no_longer_is_not_asked_for(page: Page, gateway: PageGateway) -> None:
    gateway.resume_ms = 1
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    line.cut()
    again = gateway.next_line()
    again.wait_for(type="config")
    assert again.matching(type="resume") == []


def test_another_persona_that_is_chosen_meanwhile_begins_anew(page: Page, line: Line, gateway: PageGateway) -> None:
    line.cut()
    asked = gateway.next_line()
    asked.wait_for(type="resume")
    page.get_by_text("孙悟空").click()
    again = gateway.next_line()
    again.wait_for(type="config", persona="sun_wukong")
    assert again.matching(type="resume") == []


# -- calling again ----------------------------------------------------------------------------------------------------


def test_the_pauses_between_calls_grow_and_no_two_pages_keep_step(page: Page, gateway: PageGateway) -> None:
    page.goto(f"{gateway.url}session.js")
    bounds = page.evaluate("""async () => {
      const { retryDelay } = await import(location);
      return [...Array(10).keys()].map((attempt) => [retryDelay(attempt, 1), retryDelay(attempt, 0)]);
    }""")
    assert [longest for _, longest in bounds] == [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000]
    assert [shortest for shortest, _ in bounds] == pytest.approx([longest * 2 / 3 for _, longest in bounds])


def test_a_gateway_without_a_session_is_called_less_and_less_often(page: Page, gateway: PageGateway) -> None:
    gateway.is_closed = True
    page.add_init_script(scripts.WAIT_FOR_NOTHING)
    page.goto(gateway.url)
    page.wait_for_function("() => window.waits.length >= 8")
    waits = page.evaluate("window.waits")[:8]
    for attempt, wait_ms in enumerate(waits):
        longest = min(15_000, 250 * 2**attempt)
        assert longest * 2 / 3 <= wait_ms <= longest
    assert len({wait_ms / min(15_000, 250 * 2**attempt) for attempt, wait_ms in enumerate(waits)}) > 1


def test_a_gateway_that_leaves_again_and_again_gets_a_pause(page: Page, gateway: PageGateway) -> None:
    gateway.resume_ms = 0
    page.add_init_script(scripts.WAIT_FOR_NOTHING)
    page.goto(gateway.url)
    for _ in range(5):
        line = gateway.next_line()
        line.wait_for(type="config")
        line.cut()
    page.wait_for_function("() => window.waits.length >= 5")
    for wait_ms, longest in zip(page.evaluate("window.waits"), [250, 500, 1_000, 1_000, 1_000], strict=False):
        assert longest * 2 / 3 <= wait_ms <= longest


def test_a_browser_that_is_online_again_calls_at_once(page: Page, gateway: PageGateway) -> None:
    page.add_init_script(scripts.WAIT_FOR_EVER)
    page.goto(gateway.url)
    line = gateway.next_line()
    line.wait_for(type="config")
    line.cut()
    wait_for_state(page, "reconnecting")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    gateway.next_line().go_on(line)
    wait_for_state(page, "ready")


def test_a_gateway_that_names_a_time_is_not_called_before_it(page: Page, gateway: PageGateway) -> None:
    gateway.is_closed = True
    gateway.refusal = {"code": "too_many_sessions", "service": "gateway", "message": "", "retry_after_ms": 3_600_000}
    page.add_init_script(scripts.WAIT_FOR_NOTHING)
    page.goto(gateway.url)
    page.wait_for_function("() => window.waits.length >= 1")
    assert 3_500_000 < page.evaluate("window.waits[0]") <= 3_600_250
    expect(page.get_by_role("alert")).to_have_text("All places are taken. Parley tries again by itself.")


def test_a_line_that_answers_no_ping_is_given_up_and_its_session_goes_on(page: Page, gateway: PageGateway) -> None:
    gateway.answers_pings = False
    page.add_init_script(scripts.HURRY)
    page.goto(gateway.url)
    line = gateway.next_line()
    again = gateway.next_line()
    again.wait_for(type="resume", session_id=line.session_id)
    assert len(line.matching(type="ping")) == 2
    line.wait_until(lambda: line.close_code)
    assert line.close_code == 4_000  # no goodbye

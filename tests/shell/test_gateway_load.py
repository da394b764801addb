"""What sessions tell of the house's load, and what they are told."""

import logging
from contextlib import ExitStack

import anyio
import pytest

from gateway.core.events import Stage
from gateway.core.load_ladder import LadderParams, Level
from gateway.load import HouseLoad, Wait
from shared.metrics import LOAD_LEVEL

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

PARAMS = LadderParams(late_in_a_row=2, settle_s=3.0, calm_s=30.0)


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def turn(self, by_s: float) -> None:
        self.now_s += by_s


def shared_house() -> tuple[HouseLoad, Hands]:
    """Two of five sessions are open."""
    hands = Hands()
    load = HouseLoad(PARAMS, hands)
    load.note_sessions(2, 5)
    return load, hands


def shown() -> float:
    """The level at /metrics."""
    (family,) = LOAD_LEVEL.collect()
    return family.samples[0].value


def answer(load: HouseLoad, hands: Hands, stage: Stage, after_s: float) -> None:
    """One that comes after so long."""
    wait = load.waits_for(stage)
    wait.begin()
    hands.turn(after_s)
    wait.end()


async def test_late_answers_of_different_sessions_are_one_row() -> None:
    load, hands = shared_house()
    waits = [load.waits_for(Stage.TTS) for _ in range(2)]
    for wait in waits:
        wait.begin()
    hands.turn(1.6)
    for wait in waits:
        wait.end()

    assert load.level is Level.NO_HQ


async def test_each_listener_is_told_each_step_down_and_back_once() -> None:
    load, hands = shared_house()
    one, other = list[Level](), list[Level]()
    with load.told(one.append):
        load.note_refusal(Stage.TTS)
        load.note_refusal(Stage.TTS)
        hands.turn(3.0)
        with load.told(other.append):
            load.note_refusal(Stage.TTS)
        hands.turn(30.0)
        load.look()
        load.look()
        hands.turn(30.0)
        load.look()
    load.note_refusal(Stage.TTS)

    assert one == [Level.NO_HQ, Level.FAST_VOICE, Level.NO_HQ, Level.FULL]
    assert other == [Level.NO_HQ, Level.FAST_VOICE]  # the first is where the house stood


async def test_who_listens_while_everything_is_there_is_told_nothing() -> None:
    load, _ = shared_house()
    heard = list[Level]()
    with load.told(heard.append):
        load.look()

    assert heard == []


async def test_a_listener_may_leave_when_it_is_told() -> None:
    load, _ = shared_house()
    heard = list[Level]()
    with ExitStack() as stack:

        def leave(level: Level) -> None:
            heard.append(level)
            stack.close()

        stack.enter_context(load.told(leave))
        load.note_refusal(Stage.TTS)

    assert heard == [Level.NO_HQ]


@pytest.mark.parametrize("deepest", Level)
async def test_only_a_house_that_may_be_silent_gives_up_sound(deepest: Level) -> None:
    load = HouseLoad(LadderParams(deepest=deepest))

    assert load.gives_up_sound is (deepest is Level.TEXT_ONLY)


async def test_a_full_house_is_crowded_until_somebody_leaves() -> None:
    load, hands = shared_house()
    load.note_sessions(4, 5)
    crowded = load.level
    load.note_sessions(3, 5)
    hands.turn(30.0)
    load.look()

    assert (crowded, load.level) == (Level.NO_HQ, Level.FULL)


async def test_the_level_is_shown_and_each_step_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    load, hands = shared_house()
    with caplog.at_level(logging.INFO, "gateway.load"):
        load.note_refusal(Stage.TTS)
        hands.turn(3.0)
        load.note_refusal(Stage.TTS)
        deep = shown()
        hands.turn(30.0)
        load.look()

    assert (deep, shown()) == (2.0, 1.0)
    assert caplog.messages == ["the house does with less", "the house does with less", "the house does with more"]
    assert [record.__dict__["level"] for record in caplog.records] == ["no_hq", "fast_voice", "no_hq"]


async def test_a_house_in_which_nothing_happens_has_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.load.EVERY_S", 0.001)
    load, hands = shared_house()
    load.note_refusal(Stage.TTS)
    hands.turn(30.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(load.run)
        while load.level is not Level.FULL:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()


class Noted:
    """A wait and what it told: how long, and whether it came."""

    def __init__(self) -> None:
        self.hands = Hands()
        self.told: list[tuple[float, bool]] = []
        self.wait = Wait(lambda waited_s, has_come: self.told.append((waited_s, has_come)), self.hands)


def test_a_wait_lasts_from_its_first_begin_to_its_first_end() -> None:
    noted = Noted()
    noted.wait.begin()
    noted.hands.turn(1.0)
    noted.wait.begin()
    noted.hands.turn(1.0)
    before = noted.wait.is_over
    noted.wait.end()
    after = noted.wait.is_over
    noted.hands.turn(1.0)
    noted.wait.end()
    noted.wait.give_up()

    assert (before, after) == (False, True)
    assert noted.told == [(2.0, True)]


def test_what_comes_before_anybody_waits_comes_in_no_time() -> None:
    noted = Noted()
    noted.wait.end()
    noted.wait.begin()
    noted.hands.turn(9.0)
    noted.wait.give_up()

    assert noted.told == [(0.0, True)]


def test_a_wait_that_is_given_up_did_not_end() -> None:
    noted = Noted()
    noted.wait.begin()
    noted.hands.turn(4.0)
    noted.wait.give_up()

    assert noted.told == [(4.0, False)]


def test_a_wait_that_is_left_is_given_up() -> None:
    noted = Noted()
    with noted.wait:
        noted.wait.begin()
        noted.hands.turn(4.0)

    assert noted.told == [(4.0, False)]


def test_a_wait_that_was_never_begun_tells_nothing_when_it_is_given_up() -> None:
    noted = Noted()
    noted.wait.give_up()
    noted.wait.begin()
    noted.wait.end()

    assert noted.told == []


def test_a_wait_for_nothing_tells_nothing() -> None:
    noted = Noted()
    noted.wait.begin()
    noted.wait.forget()
    noted.hands.turn(9.0)
    noted.wait.end()
    noted.wait.give_up()

    assert noted.told == []


@pytest.mark.parametrize(
    ("texts", "waited_s"),
    [
        (["Well", ", then", ". And", " so"], 2.0),
        (["好的", "。"], 1.0),
        (["- one", "\n- two"], 1.0),
        (["no", " end"], 0.0),
    ],
)
def test_speech_is_waited_for_from_the_end_of_a_sentence(texts: list[str], waited_s: float) -> None:
    noted = Noted()
    for text in texts:
        noted.wait.begin_at_sentence(text)
        noted.hands.turn(1.0)
    noted.wait.end()

    assert noted.told == [(waited_s, True)]

"""What is told, kept and remembered of an interrupted answer is what was heard of it, in three scripts."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.session import Session
from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import TestHouse, open_house
from tests.support.hand_clock import HandClock, HandLoop
from tests.support.readers import Reader, Reading, read_aloud
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

STEP_MS = 250
LAST_MS = 90  # the last step: less than the time after which the gateway looks by itself at what was heard
AHEAD_MS = 1_000  # less than the gateway sends ahead of the ear
BYTES_PER_MS = 48
CLAUSE_ENDS = re.compile("[，。、！？]")


@dataclass(frozen=True)
class Talk:
    """A question, its answer, and what is asked after that was interrupted."""

    question: str
    answer: str
    words: tuple[str, str]  # said over the answer: at first, and at last


TALKS = {
    "en": Talk(
        "When is the library open?",
        "The library opens at nine in the morning, and it closes at eight in the evening. On Sundays it stays shut, "
        "except during the examination weeks in June. You can return your books at any hour through the slot beside "
        "the main entrance.",
        ("and what about", "And what about the café?"),
    ),
    "zh": Talk(
        "图书馆什么时候开门？",
        "图书馆早上九点开门，晚上八点关门。星期天一般不开，只有六月考试的时候例外。"
        "还书的话，什么时候都可以投进正门旁边的窗口，不用排队。",
        ("那咖啡", "那咖啡馆呢？"),
    ),
    "ko": Talk(
        "도서관은 언제 문을 여나요?",
        "도서관은 아침 아홉 시에 문을 열고, 저녁 여덟 시에 문을 닫습니다. 일요일에는 쉬지만, 유월 시험 기간에는 문을 "
        "엽니다. 책은 정문 옆에 있는 반납함에 언제든지 넣으시면 됩니다.",
        ("그럼 카페는", "그럼 카페는요?"),
    ),
}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def anyio_backend(clock: HandClock) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: HandLoop(clock)}


class Listening:
    """A client that is being answered: it hears the answer up to a place, and has it interrupted there."""

    def __init__(self, house: TestHouse, clock: HandClock, client: MemoryClient, session: Session, talk: Talk) -> None:
        self.house = house
        self.client = client
        self.talk = talk
        self.reading: Reading = read_aloud(talk.answer)
        self._session = session
        self._clock = clock

    async def ask(self, text: str, count: int = 1) -> None:
        """Until the first audio of the answer is there, which is the `count`th."""
        self.client.send(type="text", text=text)
        await self.client.see("reply_started", count=count)
        await self._receive(1)

    async def hear(self, until_ms: int, *, marks: bool, from_ms: int = 0) -> None:
        """To this place, told by the client's marks or passed on the server's clock, which else stands still."""
        reply_id = next(event["reply_id"] for event in reversed(self.client.events) if event["type"] == "reply_started")
        began_s = self._clock.now_s
        for ms in [*range(from_ms, until_ms - LAST_MS, STEP_MS), max(from_ms, until_ms - LAST_MS), until_ms]:
            await self._settle()
            await self._receive(min(self.reading.total_ms, ms + AHEAD_MS))
            if marks:
                self.client.send(type="played", reply_id=reply_id, ms=ms)
            else:
                self._clock.now_s = began_s + (ms - from_ms + 0.5) / 1000  # behind the sample, also when rounded

    async def _settle(self) -> None:
        """Until what was sent so far was taken."""
        pongs = sum(event["type"] == "pong" for event in self.client.events)
        self.client.send(type="ping")
        await self.client.see("pong", count=pongs + 1)

    async def _receive(self, audio_ms: int) -> None:
        """So much audio of the answer under way."""
        frames, at = self.client.frames, 0
        for place, frame in enumerate(frames):
            at = place if isinstance(frame, dict) and frame["type"] == "reply_started" else at
        before = sum(isinstance(frame, bytes) for frame in frames[:at])
        while sum(len(frame) for frame in frames[at:] if isinstance(frame, bytes)) < audio_ms * BYTES_PER_MS:
            await self.client.hear(before + 1 + sum(isinstance(frame, bytes) for frame in frames[at:]))

    async def interrupt(self, way: str) -> None:
        """Cut in on the answer, and ask something else."""
        if way == "speech":
            return await self.speak(asr.SpeechStarted(utterance_id="utt_1", at_samples=0), *self.words())
        if way == "cancel":
            self.client.send(type="cancel")
        self.client.send(type="text", text=self.talk.words[1])

    async def speak(self, *heard: asr.AsrOut) -> None:
        """The recogniser says this."""
        await self._settle()
        await self.house.asr.say(*heard)

    def words(self) -> list[asr.AsrOut]:
        """What is understood of the next question, when it is spoken."""
        return [
            partial(self.talk.words[0], "utt_1"),
            asr.Endpoint(utterance_id="utt_1", at_samples=0, reason="silence"),
            final(self.talk.words[1], "utt_1"),
        ]

    async def turn(self) -> dict[str, Any]:
        """The turn that was interrupted. What was told, kept and asked of its answer is the same to the byte."""
        done = await self.client.see("reply_done")
        interrupted = [event["heard_text"] for event in self.client.events if event["type"] == "interrupted"]
        turn = (await self.house.turns(self._session))[0]
        await self.house.llm.tally.wait_for("asked", 2)
        heard = done["text"]
        assert (turn["user_text"], turn["heard_text"]) == (self.talk.question, heard)
        assert interrupted == ([] if done["finish_reason"] == "stop" else [heard])
        assert turn["finish_reason"] == done["finish_reason"]
        unheard = [f"{self.talk.question}\n{self.talk.words[1]}"]
        assert self.asked() == ([self.talk.question, heard, self.talk.words[1]] if heard else unheard)
        return turn

    def asked(self) -> list[str]:
        """What the newest prompt says after the persona: by the person, by Parley, and so on in turn."""
        persona, *told = self.house.llm.prompts[-1]
        assert persona == {"role": "system", "content": self.house.house.personas["assistant"].system_prompt}
        assert [message["role"] for message in told] == [("user", "assistant")[at % 2] for at in range(len(told))]
        return [message["content"] for message in told]


@asynccontextmanager
async def listening(folder: Path, clock: HandClock, language: str, **settings: Any) -> AsyncIterator[Listening]:
    voice, talk = Reader(), TALKS[language]
    await voice.start()
    try:
        async with open_house(folder, tts_url=voice.url, **settings) as house:
            house.llm.tokens = re.findall(r".{1,7}", talk.answer)
            client, session = await house.open()
            yield Listening(house, clock, client, session, talk)
    finally:
        await voice.stop()


def place(language: str, text: str) -> int:
    """How far a text goes: in words, or where a script has no blanks between them, in clauses that were begun."""
    if language == "zh":
        return len(CLAUSE_ENDS.findall(text[:-1])) + bool(text)
    return len(text.split())


def check_near(language: str, reading: Reading, heard: str, until_ms: int) -> None:
    """What counts as heard is what the voice had said by then, give or take one word (or one clause)."""
    assert reading.text.startswith(heard)
    assert abs(place(language, heard) - place(language, reading.said_by(until_ms))) <= 1


@pytest.mark.parametrize("way", ["speech", "cancel", "text"])
@pytest.mark.parametrize("marks", [True, False], ids=["marks", "clock"])
@pytest.mark.parametrize("percent", [0, 10, 50, 90, 100])
@pytest.mark.parametrize("language", TALKS)
async def test_what_was_heard_of_an_interrupted_answer_is_told_kept_and_asked(
    language: str, percent: int, marks: bool, way: str, tmp_path: Path, clock: HandClock
) -> None:
    async with listening(tmp_path, clock, language) as listener:
        await listener.ask(listener.talk.question)
        until_ms = listener.reading.total_ms * percent // 100
        await listener.hear(until_ms, marks=marks)
        await listener.interrupt(way)
        turn = await listener.turn()

    reading, heard = listener.reading, turn["heard_text"]
    assert abs(turn["heard_ms"] - until_ms) <= 1
    check_near(language, reading, heard, until_ms)
    assert (percent, heard) in ((0, ""), (100, reading.text)) or 0 < len(heard) < len(reading.text)


@pytest.mark.parametrize("marks", [True, False], ids=["marks", "clock"])
@pytest.mark.parametrize("language", TALKS)
async def test_an_answer_that_had_paused_was_heard_to_its_pause(
    language: str, marks: bool, tmp_path: Path, clock: HandClock
) -> None:
    async with listening(tmp_path, clock, language, backchannels=True) as listener:
        await listener.ask(listener.talk.question)
        until_ms = listener.reading.total_ms // 2
        await listener.hear(until_ms, marks=marks)
        await listener.speak(asr.SpeechStarted(utterance_id="utt_1", at_samples=0))
        await listener.client.see("reply_paused")
        clock.now_s += 0.5
        await listener.speak(*listener.words())
        turn = await listener.turn()

    assert abs(turn["heard_ms"] - until_ms) <= 1
    check_near(language, listener.reading, turn["heard_text"], until_ms)


@pytest.mark.parametrize("marks", [True, False], ids=["marks", "clock"])
@pytest.mark.parametrize("language", TALKS)
async def test_each_interrupted_answer_of_a_talk_is_remembered_as_it_was_heard(
    language: str, marks: bool, tmp_path: Path, clock: HandClock
) -> None:
    asked = []
    async with listening(tmp_path, clock, language) as listener:
        for count, percent in enumerate((10, 0, 90, 50), start=1):
            await listener.ask(f"{listener.talk.question} {count}", count)
            await listener.hear(listener.reading.total_ms * percent // 100, marks=marks)
            listener.client.send(type="cancel")
            asked += [
                f"{listener.talk.question} {count}",
                (await listener.client.see("reply_done", count=count))["text"],
            ]
        listener.client.send(type="text", text="end")
        await listener.house.llm.tally.wait_for("asked", 5)

    first, some, second, nothing, *others = asked
    assert (nothing, all([some, *others])) == ("", True)
    assert listener.asked() == [first, some, f"{second}\n{others[0]}", *others[1:], "end"]


@pytest.mark.parametrize("way", ["speech", "cancel", "text"])
@pytest.mark.parametrize("language", TALKS)
async def test_of_an_answer_without_a_sound_nothing_was_heard(
    language: str, way: str, tmp_path: Path, clock: HandClock
) -> None:
    async with listening(tmp_path, clock, language) as listener:
        listener.house.llm.gate = anyio.Semaphore(0)
        listener.client.send(type="text", text=listener.talk.question)
        await listener.house.llm.tally.wait_for("asked")
        await listener.interrupt(way)
        interrupted = await listener.client.see("interrupted")
        await listener.house.llm.tally.wait_for("asked", 2)

    assert (interrupted["heard_ms"], interrupted["heard_text"]) == (0, "")
    blank = "\n" if way == "cancel" else "" if language == "zh" else " "
    assert listener.asked() == [f"{listener.talk.question}{blank}{listener.talk.words[1]}"]

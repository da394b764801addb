"""Nothing of a stale revision leaves: a session under speech that pauses, goes on and breaks in, by chance.

A revision is an answer to what was understood so far. The engines mark all they make with the revision that it is made
for, and come late (tests/support/marked_engines.py); the client holds each token and each sample against the reply that
was announced. One interleaving is one utterance: candidates, resumptions, a final that says the same or something else,
while answers to earlier ones are under way.
"""

from dataclasses import dataclass
from functools import partial as bind
from pathlib import Path
from random import Random

import anyio
import pytest
from websockets.asyncio.server import ServerConnection

from gateway.core.conversation import Conversation
from gateway.core.floor import Actions
from shared.wire import asr
from tests.support.client import MemoryClient
from tests.support.gateway_house import open_house
from tests.support.marked_engines import MarkedLlm, MarkedTts, Wire, drift, marked_services
from tests.support.services import final, partial

pytestmark = [pytest.mark.shell, pytest.mark.anyio, pytest.mark.timeout(300)]  # ten seconds of one core, if it is free

SESSIONS = 20
INTERLEAVINGS, INTERRUPTIONS = 1_000, 500
WORDS = ["what", "time", "is", "it", "in", "Rome", "and", "when", "does", "the", "train", "leave"]


@dataclass
class Talker:
    """One person: what their recogniser hears of them, and their client."""

    chance: Random
    ear: ServerConnection
    client: MemoryClient
    name: str

    async def talk(self, utterances: int) -> None:
        """Say so many things, each as chance will have it; at last hear an answer out."""
        for number in range(utterances):
            await self._utter(f"utt_{number}", f"{self.name} {number}")
            await drift(self.chance)
        await self._utter("utt_last", f"{self.name} at last", is_last=True)

    async def _utter(self, utterance_id: str, said: str, *, is_last: bool = False) -> None:
        """Words with pauses between them, what they are in the end, and now and then the whole answer to them."""
        await self._hear(asr.SpeechStarted(utterance_id=utterance_id, at_samples=0))
        for _ in range(self.chance.randint(1, 4)):
            said += " " + self.chance.choice(WORDS)
            await self._hear(partial(said, utterance_id))
            if self.chance.random() < 0.7:
                await self._hear(asr.Candidate(utterance_id=utterance_id, text=said, at_samples=0))
            if self.chance.random() < 0.4:
                await self._hear(asr.Resumed(utterance_id=utterance_id, at_samples=0))
        await self._hear(asr.Endpoint(utterance_id=utterance_id, at_samples=0, reason="silence"))
        text = self.chance.choice([said, f"{said.title()}?", f"{said} perhaps", said if is_last else ""])
        await self._hear(final(text, utterance_id))
        if is_last or (text and self.chance.random() < 0.3):
            await self._until(utterance_id, "reply_done")

    async def _until(self, utterance_id: str, kind: str) -> None:
        """Until this happens in the turn of an utterance that has words."""
        said = await self.client.see("final", lambda event: event["utterance_id"] == utterance_id)
        await self.client.see(kind, lambda event: event["turn_id"] == said["turn_id"])

    async def _hear(self, message: asr.AsrOut) -> None:
        await self.ear.send(message.to_json())
        await drift(self.chance)


class Interrupter(Talker):
    """Somebody who speaks over every answer, some of whose audio has come."""

    async def talk(self, utterances: int) -> None:
        for number in range(utterances):
            utterance_id, said = f"utt_{number}", f"{self.name} {number}"
            await self._hear(asr.SpeechStarted(utterance_id=utterance_id, at_samples=0))
            await self._hear(partial(said, utterance_id))
            await self._hear(asr.Endpoint(utterance_id=utterance_id, at_samples=0, reason="silence"))
            await self._hear(final(said, utterance_id))
            await self._until(utterance_id, "segment")
            await drift(self.chance)


@dataclass
class Heard:
    """What came of many talks: the engines, and each client's wire, checked."""

    llm: MarkedLlm
    tts: MarkedTts
    wires: list[Wire]

    @property
    def audio_bytes(self) -> int:
        return sum(wire.audio_bytes for wire in self.wires)

    def count(self, what: str) -> int:
        """Replies that this happened to."""
        return sum(len(getattr(wire, what)) for wire in self.wires)


async def talked(folder: Path, who: type[Talker], utterances: int) -> Heard:
    """Several people talk at once, so often together."""
    async with open_house(folder, max_sessions=SESSIONS) as house:
        assert isinstance(house.llm, MarkedLlm)
        assert isinstance(house.tts, MarkedTts)
        talkers = []
        for number in range(SESSIONS):
            others = set(house.asr._connections)
            client, _ = await house.open()
            (ear,) = set(house.asr._connections) - others
            talkers.append(who(Random(f"talker {number}"), ear, client, f"person {number}"))
        async with anyio.create_task_group() as tasks:
            for talker in talkers:
                tasks.start_soon(talker.talk, utterances // SESSIONS)
    heard = Heard(house.llm, house.tts, [Wire(house.llm.asked) for _ in talkers])
    for wire, talker in zip(heard.wires, talkers, strict=True):
        wire.check(talker.client.frames)
    return heard


def mark_engines(monkeypatch: pytest.MonkeyPatch, most_pieces: int) -> None:
    """The house is opened with engines that mark what they make."""
    marked = bind(marked_services, most_pieces=most_pieces)
    monkeypatch.setattr("tests.support.gateway_house.services", marked)


async def test_of_a_thousand_interleavings_nothing_stale_reaches_the_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_engines(monkeypatch, most_pieces=3)
    heard = await talked(tmp_path, Talker, INTERLEAVINGS)

    answers = heard.count("question")
    assert answers > INTERLEAVINGS // 4
    assert len(heard.llm.asked) > 1.5 * answers  # the others were prepared for nothing, and nobody heard of them
    assert heard.tts.made_bytes > 1.2 * heard.audio_bytes
    assert all(wire.tokens and wire.audio_bytes for wire in heard.wires)


async def test_after_hundreds_of_interruptions_no_frame_of_the_old_answer_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_engines(monkeypatch, most_pieces=60)
    heard = await talked(tmp_path, Interrupter, INTERRUPTIONS)

    assert heard.count("interrupted") > INTERRUPTIONS // 2
    assert heard.tts.made_bytes > 1.2 * heard.audio_bytes


class WhateverWasHeldReleased(Conversation):
    def _answer(self, now: float) -> Actions:
        return self._release(self._reply, now) if self._reply and self._open.user_text else super()._answer(now)


async def test_an_answer_to_something_else_that_is_let_out_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_engines(monkeypatch, most_pieces=3)
    monkeypatch.setattr("gateway.session.Conversation", WhateverWasHeldReleased)
    with pytest.raises(AssertionError):
        await talked(tmp_path, Talker, SESSIONS * 5)


async def test_audio_that_follows_its_interruption_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark_engines(monkeypatch, most_pieces=60)
    monkeypatch.setattr("gateway.reply.ReplyRun.cancel", lambda run: None)
    monkeypatch.setattr("gateway.session.Conversation.accepts", lambda conversation, reply_id: True)
    with pytest.raises(AssertionError):
        await talked(tmp_path, Interrupter, SESSIONS * 5)

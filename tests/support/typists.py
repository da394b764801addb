"""Clients that type one short turn after the other at a gateway that is killed again and again, and note what is done.

A text that was sent when the gateway died may or may not have come: a typist who has its session back asks for a pong,
before which all is told that was decided, and types the text again if no answer to it was begun.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from random import Random

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.support.mortal_gateway import Event, MortalGateway

MOST_TURNS = 2  # of one of them, in a life, before it ends
WITHIN_S = 0.2  # of the last of these, it ends
SETTLE_LIMIT_S = 60.0
PLAYED_MS = 60_000  # more than any answer lasts


def echo(question: str, number: int) -> str:
    """A short answer that only this question has."""
    return f"You said {question}. That was all."


@dataclass(frozen=True)
class DoneTurn:
    """A turn that a client was told to be in the store."""

    session_id: str
    turn_id: str
    typed: str
    text: str
    finish_reason: str


class Typist:
    """One person. With `resumes` it is one session all along, else one for each life of the gateway."""

    def __init__(self, gateway: MortalGateway, name: str, *, resumes: bool) -> None:
        self._gateway = gateway
        self._name = name
        self._resumes = resumes
        self._typed = 0
        self._text = ""
        self._session: Event = {}
        self._reply_id = ""  # of the answer to the text
        self._seq = 0
        self._audio_bytes = 0  # after the last message
        self.sessions: list[str] = []
        self.done: list[DoneTurn] = []
        self.gaps = 0  # messages that were not the next one
        self.retyped = 0
        self.resumed = 0
        self.refused: list[Event] = []
        self.errors: list[Event] = []
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Type until cancelled."""
        while True:
            async with self._gateway.connected() as connection:
                try:
                    await self._converse(connection)
                except ConnectionClosed:
                    continue

    async def see_done(self, count: int) -> None:
        """Until so many turns are done."""
        while len(self.done) < count:
            await self._changed.wait()

    async def _converse(self, connection: ClientConnection) -> None:
        opened = json.loads(await connection.recv())
        if not (self._resumes and self._session and await self._go_on(connection)):
            self._session, self._audio_bytes = opened, 0
            self._seq = opened["seq"]
            self.sessions.append(opened["session_id"])
            await self._type(connection)
        async for frame in connection:
            if isinstance(frame, bytes):
                self._audio_bytes += len(frame)
                await self._play(connection)
            else:
                await self._take(connection, json.loads(frame))

    async def _go_on(self, connection: ClientConnection) -> bool:
        """Whether the session goes on."""
        named = {name: self._session[name] for name in ("session_id", "token")}
        told = await self._gateway.resume(connection, last_seq=self._seq, audio_bytes=self._audio_bytes, **named)
        if told["type"] != "ready":
            self.refused.append(told)
            return False
        self.resumed += 1
        if self._reply_id:
            await self._play(connection)
        else:
            await _send(connection, type="ping")
        return True

    async def _take(self, connection: ClientConnection, event: Event) -> None:
        self.gaps += event["seq"] != self._seq + 1
        self._seq, self._audio_bytes = event["seq"], 0
        match event["type"]:
            case "reply_started":
                self._reply_id = event["reply_id"]
            case "reply_done":
                told = (event["turn_id"], self._text, event["text"], event["finish_reason"])
                self.done.append(DoneTurn(self._session["session_id"], *told))
                self._changed.set()
                self._changed = anyio.Event()
                await self._type(connection)
            case "pong" if not self._reply_id:
                self.retyped += 1
                await _send(connection, type="text", text=self._text)
            case "error":
                self.errors.append(event)

    async def _type(self, connection: ClientConnection) -> None:
        self._typed += 1
        self._text, self._reply_id = f"{self._name} {self._typed}", ""
        await _send(connection, type="text", text=self._text)

    async def _play(self, connection: ClientConnection) -> None:
        await _send(connection, type="played", reply_id=self._reply_id, ms=PLAYED_MS)


async def _send(connection: ClientConnection, **message: object) -> None:
    await connection.send(json.dumps(message))


@dataclass
class Kept:
    """What was seen to be done, and how it is kept. `told_wrongly`: messages that were doubled or left out."""

    kills: int
    turns_seen: int = 0
    missing: int = 0
    doubled: int = 0
    differing: int = 0
    told_wrongly: int = 0
    sessions: int = 0
    turns_kept: int = 0
    resumed: int = 0
    refused: int = 0
    retyped: int = 0
    errors: int = 0

    def as_fields(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


@asynccontextmanager
async def typing(gateway: MortalGateway, count: int, *, resumes: bool) -> AsyncIterator[list[Typist]]:
    """So many typists, at work inside the block."""
    typists = [Typist(gateway, f"number {number}", resumes=resumes) for number in range(count)]
    async with anyio.create_task_group() as tasks:
        for typist in typists:
            tasks.start_soon(typist.run)
        yield typists
        tasks.cancel_scope.cancel()


async def kill_at_random(gateway: MortalGateway, typists: Sequence[Typist], kills: int, seed: int) -> None:
    """Each life ends at some moment: while its clients come back, or after some turns, however slow the machine is."""
    random = Random(seed)
    for _ in range(kills):
        await gateway.reached.wait()
        typist = random.choice(typists)
        with anyio.fail_after(SETTLE_LIMIT_S):
            await typist.see_done(len(typist.done) + random.randint(0, MOST_TURNS))
        await anyio.sleep(random.uniform(0, WITHIN_S))
        gateway.kill()


async def kept_through(gateway: MortalGateway, kills: int, typists: int, seed: int, *, resumes: bool) -> Kept:
    """So many kills while so many type. Raises TimeoutError when they are not answered any more."""
    async with typing(gateway, typists, resumes=resumes) as at_work:
        await kill_at_random(gateway, at_work, kills, seed)
        with anyio.fail_after(SETTLE_LIMIT_S):
            for typist in at_work:
                await typist.see_done(len(typist.done) + 2)
    turns = {one: await gateway.turns(one) for typist in at_work for one in typist.sessions}
    return judged(Kept(kills), at_work, turns)


def judged(kept: Kept, typists: Iterable[Typist], turns: dict[str, list[Event]]) -> Kept:
    """Compare what each was told with what is there."""
    for typist in typists:
        kept.turns_seen += len(typist.done)
        kept.doubled += len(typist.done) - len({one.turn_id for one in typist.done})
        kept.told_wrongly += typist.gaps
        kept.sessions += len(typist.sessions)
        kept.resumed += typist.resumed
        kept.refused += len(typist.refused)
        kept.retyped += typist.retyped
        kept.errors += len(typist.errors)
        for one in typist.done:
            found = [turn for turn in turns[one.session_id] if turn["turn_id"] == one.turn_id]
            kept.missing += not found
            kept.doubled += len(found) > 1
            kept.differing += any(not _is_whole(turn, one) for turn in found[:1])
    for session in turns.values():
        kept.turns_kept += len(session)
        kept.doubled += sum(count - 1 for count in Counter(turn["user_text"] for turn in session).values())
    return kept


def _is_whole(turn: Event, done: DoneTurn) -> bool:
    """Whether it is kept as it was told, and as it had to be."""
    is_as_told = (turn["user_text"], turn["heard_text"], turn["finish_reason"]) == (
        done.typed, done.text, done.finish_reason
    )  # fmt: skip
    return is_as_told and done.finish_reason == "stop" and done.text == echo(done.typed, 0)

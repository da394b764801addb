"""Two sessions, a typed and a spoken one, that must be the same wherever they were cut and their gateway was killed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import anyio

from tests.support.mortal_gateway import Message, MortalGateway, Scribe
from tests.support.replicas import spoken
from tests.support.wanderer import Wanderer

WORD = 1_600  # samples
SILENCE = bytes(2 * 3_200)
SPEECH = SILENCE + b"".join(word.to_bytes(2, "little") * WORD for word in (1, 2, 3)) + SILENCE
SENTENCES = ("How pleasant it is to be asked for something", "Nobody knows what will come of it in the very end")
HEARD_MS = 2_500  # of an answer of 3 s: far beyond what the clock alone would count while a test runs
WHOLE_MS = 60_000
PACE_S = 0.004  # of the model's pieces, so that a cut may fall between two of them
LIMIT_S = 60.0
PASSING = ("token", "partial", "loading")  # pieces of text are put together as they come; a new gateway looks around

Drive = Callable[[Wanderer], Awaitable[None]]


def answer(question: str, number: int) -> str:
    """Different each time, so that an answer that was asked for under another key would be seen."""
    return " ".join(f"{sentence}, said number {number}." for sentence in SENTENCES * 3)


async def typed(client: Wanderer) -> None:
    """Two typed turns; the second is stopped when a part of it was heard, and a third one follows."""
    client.send(type="text", text="hello")
    await listen(client, 1)
    client.send(type="text", text="tell me a story")
    await listen(client, 2, HEARD_MS)
    client.send(type="cancel")
    await client.see("reply_done", 2)
    client.send(type="text", text="and then?")
    await listen(client, 3)


async def said(client: Wanderer) -> None:
    """A spoken turn, heard to its end, and a typed one that remembers it."""
    await client.say(SPEECH)
    await listen(client, 1)
    client.send(type="text", text="and then?")
    await listen(client, 2)


DRIVES: dict[str, Drive] = {"typed": typed, "said": said}


async def listen(client: Wanderer, count: int, ms: int = WHOLE_MS) -> None:
    """Hear all of an answer, and tell that so much was played."""
    reply = await client.see("reply_started", count)
    await client.hear(sum(len(spoken(answer("", number))) for number in range(1, count + 1)))
    client.send(type="played", reply_id=reply["reply_id"], ms=ms)
    if ms == WHOLE_MS:
        await client.see("reply_done", count)


@dataclass
class Session:
    """What of one must not depend on cuts: what was told, heard, asked of the model and kept. The rest is measured."""

    told: list[tuple[str, str]]
    texts: list[str]
    audio: bytes
    seqs: list[int]
    prompts: list[list[Message]]
    kept: list[tuple[str, str, str]]
    frames: int
    cuts: int
    resume_ms: list[float]
    away_ms: list[float]

    def faults(self, whole: "Session") -> list[str]:
        """What is wrong with it beside one that was never cut: `lost`, `doubled`, `disordered`, `history_differs`."""
        found = set[str]()
        ours, theirs = Counter(self.told), Counter(whole.told)
        if theirs - ours or len(self.audio) < len(whole.audio) or set(range(1, max(self.seqs))) - set(self.seqs):
            found.add("lost")
        if ours - theirs or len(self.audio) > len(whole.audio) or len(set(self.seqs)) < len(self.seqs):
            found.add("doubled")
        if not found and (self.told, self.texts, self.audio) != (whole.told, whole.texts, whole.audio):
            found.add("disordered")
        if (self.prompts, self.kept) != (whole.prompts, whole.kept):
            found.add("history_differs")
        return sorted(found)


async def hold(gateway: MortalGateway, scribe: Scribe, drive: Drive, cuts: Collection[int]) -> Session | None:
    """One session, which is cut at these frames; None when it does not come to its end."""
    scribe.forget()
    client = Wanderer(gateway, cuts)
    with anyio.move_on_after(LIMIT_S) as limit:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.run)
            await client.see("ready")
            await drive(client)
            await client.be_there()
            session = await _held(gateway, scribe, client)
            tasks.cancel_scope.cancel()
    return None if limit.cancelled_caught or client.refusals else session


async def _held(gateway: MortalGateway, scribe: Scribe, client: Wanderer) -> Session:
    events, texts = client.events, dict[str, str]()
    for event in events:
        if event["type"] == "token":
            texts[event["reply_id"]] = texts.get(event["reply_id"], "") + event["text"]
    turns = await gateway.turns(events[0]["session_id"])
    return Session(
        [
            (event["type"], f"{event.get('text', '')}{event.get('finish_reason', '')}{event.get('heard_text', '')}")
            for event in events
            if event["type"] not in PASSING
        ],
        list(texts.values()),
        client.audio,
        [event["seq"] for event in events],
        list(scribe.prompts),
        [(turn["user_text"], turn["heard_text"], turn["finish_reason"]) for turn in turns],
        len(client.frames),
        client.cuts,
        client.resume_ms,
        client.away_ms,
    )

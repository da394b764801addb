"""A voice that reads at the uneven pace of a person, and the time at which each word of a text has been said by it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from shared.wire import tts
from tests.support.mortal import Mortal

Outcome = Literal["completed", "cancelled", "failed"]
PIECE_MS = 100
WORD = re.compile(r"[\u4e00-\u9fff][^\w\s]*|[^\s\u4e00-\u9fff]+")  # an ideograph, or what blanks part
SENTENCE = re.compile(r"(?<=[.!?。！？])\s*")
LETTER_MS, SYLLABLE_MS, IDEOGRAPH_MS = 55, 150, 220
BEFORE_WORD_MS = 80  # in scripts with blanks
COMMA_MS, STOP_MS = 180, 300
UNEVEN = (1.0, 0.85, 1.2, 0.9, 1.1)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text is read: where its sentences begin, and where each word ends."""

    sentences: list[str]
    starts_ms: list[int]
    ends_ms: list[int]  # of the sentences, each with the pause after it
    words: list[tuple[int, int]]  # (said at so many ms, ends at so many characters of `text`)
    text: str

    @property
    def total_ms(self) -> int:
        return self.ends_ms[-1]

    def said_by(self, ms: int) -> str:
        """The words that have been said whole."""
        return self.text[: max((end for at_ms, end in self.words if at_ms <= ms), default=0)]


def read_aloud(text: str) -> Reading:
    """A text of several sentences, all in one script."""
    sentences = [sentence for sentence in SENTENCE.split(text.strip()) if sentence]
    blank = "" if "\u4e00" <= text[0] <= "\u9fff" else " "
    starts_ms, ends_ms, words = [], [], []
    at_ms = chars = 0
    for sentence in sentences:
        starts_ms.append(at_ms)
        for place, word in enumerate(WORD.finditer(sentence)):
            at_ms += round(_word_ms(word[0]) * UNEVEN[place % len(UNEVEN)])
            words.append((at_ms, chars + word.end()))
            at_ms += _pause_ms(word[0])
        ends_ms.append(at_ms)
        chars += len(sentence) + len(blank)
    return Reading(sentences, starts_ms, ends_ms, words, blank.join(sentences))


def _word_ms(word: str) -> int:
    if "\u4e00" <= word[0] <= "\u9fff":
        return IDEOGRAPH_MS
    syllables = sum("\uac00" <= char <= "\ud7a3" for char in word)
    letters = sum(map(str.isalnum, word)) - syllables
    return BEFORE_WORD_MS + syllables * SYLLABLE_MS + letters * LETTER_MS


def _pause_ms(word: str) -> int:
    if word[-1] in ".!?。！？":
        return STOP_MS
    return COMMA_MS if word[-1] in ",，、;" else 0


@dataclass
class Reader(Mortal):
    """A voice that speaks each sentence as soon as it is whole, as fast as it is taken."""

    port: int = 0
    _connections: set[ServerConnection] = field(default_factory=set)

    async def _converse(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            await self._speak(connection)
        except ConnectionClosed:
            return
        finally:
            self._connections.discard(connection)

    async def _speak(self, connection: ServerConnection) -> None:
        """One reply: each has a connection of its own."""
        start = tts.TTS_IN.decode(str(await connection.recv()))
        assert isinstance(start, tts.Start), start
        held, index, sent = "", 0, 0
        async for frame in connection:
            message = tts.TTS_IN.decode(str(frame))
            if isinstance(message, tts.Cancel):
                return await _end(connection, start, sent, "cancelled")
            held += message.delta if isinstance(message, tts.Text) else ""
            *sentences, held = SENTENCE.split(held)
            for sentence in filter(None, [*sentences, held] if isinstance(message, tts.End) else sentences):
                for part in _spoken(start, index, sent, sentence):
                    await connection.send(part)
                index, sent = index + 1, sent + _samples(start, read_aloud(sentence).total_ms)
            if isinstance(message, tts.End):
                await _end(connection, start, sent, "completed")


async def _end(connection: ServerConnection, start: tts.Start, sent: int, outcome: Outcome) -> None:
    await connection.send(tts.Done(reply_id=start.reply_id, outcome=outcome, total_samples=sent).to_json())


def _samples(start: tts.Start, ms: int) -> int:
    return ms * start.sample_rate // 1000


def _spoken(start: tts.Start, index: int, at_samples: int, sentence: str) -> Iterator[str | bytes]:
    """A sentence and its sound."""
    segment = tts.SegmentStarted(reply_id=start.reply_id, index=index, text=sentence, start_samples=at_samples)
    yield segment.to_json()
    sound = b"\x00\x10" * _samples(start, read_aloud(sentence).total_ms)
    piece = 2 * _samples(start, PIECE_MS)
    for at in range(0, len(sound), piece):
        yield tts.encode_audio(start.reply_id, sound[at : at + piece])

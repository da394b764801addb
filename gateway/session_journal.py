"""What of one session is written down, and the frames that its client was sent: all that is needed to go on with it.

What is noted counts from the next `write` on. A session writes at the end of each decision and before each frame that
leaves, so that a client never knows more than the journal.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.asr_link import Notes
from gateway.core.records import Noted, Opened, Posted, Record, Sounded, Spoken, Told
from gateway.core.replay import Frame, Replay
from gateway.core.standing import Standing
from gateway.core.trace import Trace
from gateway.journal import Journal, path_of
from shared import ids
from shared.wire.codec import Message

FULL_BYTES: Final = 2 * 1024 * 1024  # from here on it is begun anew as soon as nobody speaks
TOKEN_BYTES: Final = 24
SILENCE_BYTES: Final = 64_000  # of audio in which nobody spoke, between two notes of how much came


class SessionJournal(Notes):
    """The records of one session, which goes on where `trace` ends."""

    def __init__(self, folder: Path | None, user_id: str, transport: str, trace: Trace | None = None) -> None:
        opened = trace.opened if trace else None
        if opened is None:
            opened = Opened(ids.new_id("ses"), user_id, secrets.token_urlsafe(TOKEN_BYTES), transport)
        self.opened = opened
        self._journal = Journal(path_of(folder, opened.session_id) if folder else None)
        self.replay = trace.replay if trace else Replay()
        self.audio_bytes = trace.audio_bytes if trace else 0  # of the person
        self._noted_bytes = self.audio_bytes
        self._is_spoken = False  # somebody speaks
        self._standing = trace.standing if trace else Standing()
        self._wants: dict[str, Any] = trace.wants if trace else {}
        self._history: dict[str, Any] = trace.history if trace else {}
        self._unstored = set(trace.turns) if trace else set[str]()
        self._begun_bytes = 0  # of the file when it was begun anew
        if trace is None or not trace.seq:  # nothing was told yet: it begins here
            self._put(opened)
            self.remember(self._history)

    def wish(self, wants: dict[str, Any]) -> None:
        """What the client wishes from now on."""
        self._wants = wants
        self._put(Noted("wants", wants))

    def remember(self, history: dict[str, Any]) -> None:
        """What the next prompt remembers from now on."""
        self._history = history
        self._put(Noted("history", history))

    def recall(self, reply_id: str, messages: Sequence[dict[str, str]]) -> None:
        """An answer is asked for with these messages: who asks for it again must ask the same."""
        self._put(Noted("prompt", {"reply_id": reply_id, "messages": list(messages)}))

    def speak(self, fields: dict[str, Any]) -> None:
        """How an answer is spoken from its beginning to its end."""
        self._put(Noted("speech", fields))

    def mark(self, reply_id: str, ms: int) -> None:
        """So much of an answer was heard."""
        self._put(Noted("heard", {"reply_id": reply_id, "ms": ms}))

    def stand(self, standing: Standing) -> None:
        """Where the conversation is now."""
        if standing != self._standing:
            self._standing = standing
            self._put(Noted("stand", standing.as_fields()))

    def end_turn(self, fields: dict[str, Any]) -> None:
        """A turn is on its way into the store."""
        self._unstored.add(fields["turn_id"])
        self._put(Noted("ended", fields))

    def store_turn(self, turn_id: str) -> None:
        """It is there."""
        self._unstored.discard(turn_id)
        self._put(Noted("stored", {"turn_id": turn_id}))

    def post(self, message: Message) -> None:
        """The client is to be told this."""
        self._put(Posted(message.to_json()))

    def tell(self, frame: str, seq: int) -> None:
        """This leaves for the client now."""
        self._put(Told(frame))
        self._keep(frame, seq)

    def sound(self, frame: Frame, seq: int, samples: int, heard_ms: int) -> None:
        """This audio leaves for the client now."""
        self._put(Sounded(frame, samples, heard_ms))
        self._keep(frame, seq if isinstance(frame, str) else 0)

    def hear(self, pcm: bytes) -> None:
        """Audio of the person came; of silence only the length is written down, and that now and then."""
        self.audio_bytes += len(pcm)
        if self._is_spoken:
            self._put(Spoken(pcm))
            self._journal.write()
        elif self.audio_bytes - self._noted_bytes >= SILENCE_BYTES:
            self.fall_silent()
            self._journal.write()

    def begin_utterance(self, fields: dict[str, Any], spoken: list[bytes | dict[str, Any]]) -> None:
        """Somebody speaks since a while: that, and whatever comes, is kept until it is understood."""
        before = sum(len(piece) for piece in spoken if isinstance(piece, bytes))
        self._is_spoken = True
        self._put(Noted("utterance", fields | {"audio_bytes": max(0, self.audio_bytes - before)}))
        for piece in spoken:
            self._put(Spoken(piece) if isinstance(piece, bytes) else Noted("asked", piece))

    def ask(self, fields: dict[str, Any]) -> None:
        """The recogniser is told something about what is being said."""
        if self._is_spoken:
            self._put(Noted("asked", fields))

    def owe(self, owed: list[dict[str, Any]]) -> None:
        """What was told of it so far."""
        if self._is_spoken:
            self._put(Noted("owed", {"owed": owed}))

    def fall_silent(self) -> None:
        """All that was said is understood, or void."""
        self._is_spoken, self._noted_bytes = False, self.audio_bytes
        self._put(Noted("silence", {"audio_bytes": self.audio_bytes}))

    def write(self) -> None:
        """Down to the file."""
        self._journal.write()

    def begin_anew(self) -> None:
        """Keep of a long journal only what counts. To be called when nobody speaks and nothing waits to be told."""
        if self._journal.bytes < self._begun_bytes + FULL_BYTES or self._unstored or self._is_spoken:
            return
        frames: list[Record] = [
            Told(frame) if isinstance(frame, str) else Sounded(frame, 0, 0) for _, frame in self.replay.frames
        ]
        notes = {"wants": self._wants, "history": self._history, "stand": self._standing.as_fields()}
        notes["silence"] = {"audio_bytes": self.audio_bytes}
        self._journal.begin_anew([self.opened, *(Noted(name, fields) for name, fields in notes.items()), *frames])
        self._begun_bytes = self._journal.bytes

    def close(self, *, remove: bool) -> None:
        """The session is over; what was written stays for who comes back in time, unless it is removed."""
        self._journal.close(remove=remove)

    def _keep(self, frame: Frame, seq: int) -> None:
        self.replay.add(frame, seq)
        self._journal.write()

    def _put(self, record: Record) -> None:
        self._journal.put(record)

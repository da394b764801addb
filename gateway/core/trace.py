"""What stood in a session at the end of its records: all that another gateway needs to go on with it.

Laws (tests/core/test_gateway_trace.py): what was posted and not told is known, in its order, each message once, also
where several pieces of text were told as one; the records of a session that were left out because newer ones took their
place change nothing.
"""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gateway.core.records import Fields, Noted, Opened, Posted, Record, Sounded, Spoken, Told
from gateway.core.replay import Replay
from gateway.core.standing import Standing

PIECE = Fields | bytes  # of an utterance: a message to the recogniser, or audio


@dataclass(slots=True)
class Voiced:
    """What of one answer was sent: its text as it was told, its segments with the audio of each, what was heard."""

    reply_id: str = ""
    text: str = ""
    segments: list[tuple[str, int]] = field(default_factory=list)  # and so many samples
    heard_ms: int = 0

    @property
    def samples(self) -> int:
        return sum(samples for _, samples in self.segments)


@dataclass(slots=True)
class Trace:
    """A session, as far as it was written down."""

    opened: Opened | None = None
    seq: int = 0
    replay: Replay = field(default_factory=Replay)
    unsent: deque[Fields] = field(default_factory=deque)
    standing: Standing = field(default_factory=Standing)
    wants: Fields = field(default_factory=dict)
    history: Fields = field(default_factory=dict)
    prompt: Fields = field(default_factory=dict)  # of the newest answer that was asked for with what was recalled
    speech: Fields = field(default_factory=dict)  # how the newest answer is spoken
    level: str = "full"  # of what the client was told that is done without
    turns: dict[str, Fields] = field(default_factory=dict)  # that ended and are not known to be in the store
    voiced: Voiced = field(default_factory=Voiced)
    utterance: Fields = field(default_factory=dict)  # empty: nobody speaks
    spoken: list[PIECE] = field(default_factory=list)
    audio_bytes: int = 0  # of the person, that are known to have come

    @property
    def is_under_way(self) -> bool:
        """Whether something was begun that belongs into the store."""
        return bool(self.turns or self.standing.turn_id)

    def take(self, record: Record) -> None:
        """The next record."""
        match record:
            case Posted(frame):
                self._post(json.loads(frame))
            case Told(frame):
                self._tell(frame)
            case Sounded():
                self._sound(record)
            case Spoken(pcm):
                self.spoken.append(pcm)
                self.audio_bytes += len(pcm)
            case Noted(name, fields):
                self._note(name, fields)
            case _:
                self.opened = record

    def _post(self, message: Fields) -> None:
        self.unsent.append(message)
        if message["type"] == "degraded":
            self.level = message["level"]
        if message["type"] == "token":
            self._turn_to(message["reply_id"])
            self.voiced.text += message["text"]

    def _tell(self, frame: str) -> None:
        message: dict[str, Any] = json.loads(frame)
        self.seq = message["seq"]
        self.replay.add(frame, self.seq)
        if message["type"] == "segment":
            self._turn_to(message["reply_id"])
            self.voiced.segments.append((message["text"], 0))
        elif self.unsent:
            told = self.unsent.popleft()
            left = len(message.get("text", "")) - len(told.get("text", ""))
            while told["type"] == "token" and left > 0 and self.unsent:  # pieces of text that were told as one
                left -= len(self.unsent.popleft()["text"])

    def _sound(self, sounded: Sounded) -> None:
        if isinstance(sounded.frame, str):
            self.seq = json.loads(sounded.frame)["seq"]
        self.replay.add(sounded.frame, self.seq if isinstance(sounded.frame, str) else 0)
        if self.voiced.segments:
            text, samples = self.voiced.segments[-1]
            self.voiced.segments[-1] = text, samples + sounded.samples
        self.voiced.heard_ms = max(self.voiced.heard_ms, sounded.heard_ms)

    def _turn_to(self, reply_id: str) -> None:
        """What is sent belongs to this answer from here on."""
        if self.voiced.reply_id != reply_id:
            self.voiced = Voiced(reply_id)

    def _note(self, name: str, fields: Fields) -> None:
        match name:
            case "stand":
                self.standing = Standing.from_fields(fields)
            case "wants":
                self.wants = fields
            case "history":
                self.history = fields
            case "prompt":
                self.prompt = fields
            case "speech":
                self.speech = fields
            case "ended":
                self.turns[fields["turn_id"]] = fields
            case "stored":
                self.turns.pop(fields["turn_id"], None)
            case _:
                self._note_sound(name, fields)

    def _note_sound(self, name: str, fields: Fields) -> None:
        """What was heard of an answer, and what is being said."""
        match name:
            case "heard" if fields["reply_id"] == self.voiced.reply_id:
                self.voiced.heard_ms = max(self.voiced.heard_ms, fields["ms"])
            case "asked":
                self.spoken.append(fields)
            case "owed":
                self.utterance = self.utterance | fields
            case "utterance" | "silence":
                self.utterance, self.spoken = fields if name == "utterance" else {}, []
                self.audio_bytes = fields["audio_bytes"]

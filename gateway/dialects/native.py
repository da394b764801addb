"""The native dialect: the conversation's announcements as messages of version 1, and messages as frames.

With `transport: json` audio, tokens and finals go out as `audio_response`, `llm_token` and `transcription`, for clients
without binary frames.
"""

import base64
import json

from gateway.core import actions as do
from gateway.core.load_ladder import Level
from gateway.outbox import AudioFrame
from shared.errors import ParleyError
from shared.wire import native
from shared.wire.asr import Segment
from shared.wire.codec import Message

Announcement = (
    do.AnnounceSpeechStarted
    | do.AnnouncePartial
    | do.AnnounceFinal
    | do.AnnounceEdited
    | do.AnnounceReplyStarted
    | do.AnnounceToken
    | do.AnnouncePaused
    | do.AnnounceResumed
    | do.AnnounceInterrupted
    | do.AnnounceError
)


def message_of(action: Announcement) -> native.ServerMessage:
    """The message that tells the client of `action`."""
    match action:
        case do.AnnounceSpeechStarted(turn_id, utterance_id):
            return native.SpeechStarted(turn_id=turn_id, utterance_id=utterance_id)
        case do.AnnouncePartial(turn_id, utterance_id, text, committed, language):
            return native.Partial(
                turn_id=turn_id, utterance_id=utterance_id, text=text, committed=committed, language=language
            )
        case do.AnnounceFinal(turn_id, utterance_id, text, language, heard):
            segments = [Segment(start=one.start_s, end=one.end_s, text=one.text) for one in heard]
            return native.Final(
                turn_id=turn_id, utterance_id=utterance_id, text=text, language=language, segments=segments
            )
        case do.AnnounceEdited(turn_id, edited_turn_id, text):
            return native.TurnEdited(turn_id=turn_id, edited_turn_id=edited_turn_id, text=text)
        case do.AnnounceReplyStarted(turn_id, reply_id):
            return native.ReplyStarted(turn_id=turn_id, reply_id=reply_id)
        case do.AnnounceToken(turn_id, reply_id, text):
            return native.Token(turn_id=turn_id, reply_id=reply_id, text=text)
        case do.AnnouncePaused(turn_id, reply_id):
            return native.ReplyPaused(turn_id=turn_id, reply_id=reply_id)
        case do.AnnounceResumed(turn_id, reply_id):
            return native.ReplyResumed(turn_id=turn_id, reply_id=reply_id)
        case do.AnnounceInterrupted(turn_id, reply_id, heard_ms, heard_text):
            return native.Interrupted(turn_id=turn_id, reply_id=reply_id, heard_ms=heard_ms, heard_text=heard_text)
        case do.AnnounceError(code, service, text, is_retryable):
            return native.Error(code=code, service=service, message=text, retryable=is_retryable)


_DEGRADED = {
    Level.FULL: native.Degraded(level="full", message="Everything is there again."),
    Level.NO_HQ: native.Degraded(level="no_hq", message="There is much to do: answers are not rendered anew for now."),
    Level.FAST_VOICE: native.Degraded(
        level="fast_voice", message="There is much to do: a simpler voice may speak for now."
    ),
    Level.TEXT_ONLY: native.Degraded(
        level="text_only", message="There is too much to do: answers are written and not spoken for now."
    ),
}


def degraded_of(level: Level) -> native.Degraded:
    """The message that tells the client how much Parley does without."""
    return _DEGRADED[level]


def error_of(error: ParleyError) -> native.Error:
    """The message that tells the client of an error."""
    return native.Error(
        code=error.code,
        service=error.service or "gateway",
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
    )


class Encoder:
    """Messages and audio as frames. Every text frame has the next `seq`."""

    def __init__(self, transport: str = "binary") -> None:
        self.transport = transport
        self.seq = 0  # of the last message

    def encode(self, item: Message | AudioFrame) -> str | bytes:
        """One frame for one item."""
        if isinstance(item, AudioFrame) and self.transport == "binary":
            return item.pcm
        self.seq += 1
        if isinstance(item, AudioFrame):
            audio = base64.b64encode(item.pcm).decode("ascii")
            fields = {"seq": self.seq, "reply_id": item.reply_id, "audio": audio, "tier": "fast"}
            return json.dumps({"type": "audio_response", **fields})
        if self.transport == "json":
            return self._renamed(item)
        return item.to_json(seq=self.seq)

    def _renamed(self, message: Message) -> str:
        names = {native.Token.type: "llm_token", native.Final.type: "transcription"}
        fields = json.loads(message.to_json(seq=self.seq))
        return json.dumps(fields | {"type": names.get(message.type, message.type)}, ensure_ascii=False)

"""Keep each turn that ended, in their order, and only then tell the client that it is done."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

import anyio
from sqlalchemy.exc import SQLAlchemyError

from gateway.core.actions import CommitTurn
from gateway.core.events import FinishReason
from gateway.core.history import History
from gateway.reply import ReplyRun
from gateway.store import KeptSegment, KeptTurn, Store
from gateway.timings import TurnTimings
from gateway.two_tier import HeardReply, TwoTier
from shared import clock, metrics
from shared.errors import InternalError, Overloaded
from shared.wire import native
from shared.wire.codec import Message

TURNS_WAITING = 64
KEEP_TIMEOUT_S = 8.0  # above the time that SQLite itself waits for a lock
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn for the store, and the answer of which the client is told that it is done."""

    reply_id: str | None
    turn: KeptTurn
    sound: HeardReply | None = field(default=None, compare=False, repr=False)  # lost where it is not kept at once

    def as_fields(self) -> dict[str, Any]:
        """As JSON can hold it."""
        plain = {"ended_at": self.turn.ended_at.isoformat(), "reply_id": self.reply_id}
        return asdict(self.turn) | plain

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "EndedTurn":
        """What `as_fields` gave."""
        segments = [KeptSegment(**one) for one in fields["segments"]]
        plain = fields | {"ended_at": datetime.fromisoformat(fields["ended_at"]), "segments": segments}
        return cls(plain.pop("reply_id"), KeptTurn(**plain))


class Recorder:
    """The turns of one session on their way into the store."""

    def __init__(
        self,
        store: Store,
        session_id: str,
        user_id: str,
        tell: Callable[[Message], None],
        note_stored: Callable[[str], None],
        two_tier: TwoTier | None = None,
    ) -> None:
        self._two_tier = two_tier
        self._note_stored = note_stored
        self._store = store
        self._session_id = session_id
        self._user_id = user_id
        self._tell = tell
        self._send, self._receive = anyio.create_memory_object_stream[EndedTurn](TURNS_WAITING)

    def commit(
        self,
        action: CommitTurn,
        persona: str,
        history: History,
        timings: TurnTimings,
        spoken_ms: int = 0,
        run: ReplyRun | None = None,
    ) -> EndedTurn:
        """Put a turn into the next prompts and queue it for the store; Overloaded when the store stands still.

        `run` made its answer.
        """
        if action.reply_id is not None:
            _remember(action, history)
        timings.reach("done", clock.now_s())
        kept = KeptTurn(
            turn_id=action.turn_id,
            persona=persona,
            user_text=action.user_text,
            heard_text=action.heard_text,
            heard_ms=action.heard_ms,
            finish_reason=action.finish_reason.value,
            timings=timings.as_ms(),
            ended_at=clock.today(),
            edits=action.edits,
            spoken_ms=spoken_ms,
            segments=[one for one in run.told() if one.start_ms < action.heard_ms] if run else (),
        )
        timings.publish()
        metrics.TURNS.labels(action.finish_reason.value).inc()
        ended = EndedTurn(action.reply_id, kept, self._heard(run, kept))
        self.keep(ended)
        return ended

    def keep(self, ended: EndedTurn) -> None:
        """Queue a turn for the store. One that is there already is told to be done, and nothing else happens."""
        try:
            self._send.send_nowait(ended)
        except anyio.WouldBlock:
            raise Overloaded("Turns cannot be kept fast enough.", service="gateway") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._send.close()
        self._receive.close()
        self._tell = self._note_stored = _to_nobody  # whoever comes with better sound now holds no session back

    def close(self) -> None:
        """No more turns come; `run` ends when those that wait are kept."""
        self._send.close()

    async def run(self) -> None:
        """Keep turns until closed. A cancel loses the turns that wait; the session gives it time before."""
        async for ended in self._receive:
            kept = ended.turn
            try:
                with anyio.fail_after(KEEP_TIMEOUT_S, shield=True):  # only a store that hangs is cut in a transaction
                    await self._store.add_turn(self._session_id, self._user_id, kept)
            except (SQLAlchemyError, OSError):  # drivers let refusals and timeouts of the network through as OSError
                log.exception("a turn could not be kept", extra={"turn_id": kept.turn_id})
                lost = InternalError("This turn could not be kept.", service="gateway")
                self._tell(native.Error(code=lost.code, service="gateway", message=lost.message, retryable=False))
            else:
                if ended.sound is not None and self._two_tier is not None:
                    self._two_tier.keep(ended.sound)
            self._note_stored(kept.turn_id)
            if ended.reply_id is not None:
                self._tell(_done(ended.reply_id, kept))

    def _heard(self, run: ReplyRun | None, kept: KeptTurn) -> HeardReply | None:
        """The sound of an answer, as far as it was heard; None where nothing is kept of it, or it had none."""
        if run is None or self._two_tier is None or not kept.heard_ms:
            return None
        return HeardReply(
            kept.turn_id,
            run.order.reply_id,
            kept.heard_text,
            tuple((one.text, one.start_ms) for one in kept.segments),
            run.sound.heard(kept.heard_ms),
            run.sound.sample_rate,
            run.order.speech.voice,
            run.order.speech.language,
            lambda message: self._tell(message),
        )


def _to_nobody(_: object) -> None:
    """The session is over."""


def _remember(action: CommitTurn, history: History) -> None:
    """The next prompts hold what was heard of an answer; after an apology the question is still open."""
    if not action.is_scripted:
        history.add(action.user_text, action.heard_text, action.turn_id)
    elif action.user_text:
        history.add(action.user_text, "", action.turn_id)
    else:
        history.open_with(action.heard_text)


def _done(reply_id: str, kept: KeptTurn) -> native.ReplyDone:
    return native.ReplyDone(
        turn_id=kept.turn_id,
        reply_id=reply_id,
        text=kept.heard_text,
        finish_reason=FinishReason(kept.finish_reason).value,
        timings=kept.timings,
    )

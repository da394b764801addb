"""A session that outlives its connection, and the gateway in which it began.

For a while after a cut it waits for its client, who is then sent what it missed (core/replay.py). What it does is
written down (session_journal.py), so that another gateway can go on with it when this one was killed: with the turns
that had ended, the utterance that is heard again, and the answer, of which nothing is told or spoken twice.
"""

from dataclasses import replace

from anyio.abc import TaskGroup

from gateway.client_socket import ClientSocket
from gateway.core import actions as do
from gateway.core import events as on
from gateway.core.load_ladder import Level
from gateway.core.trace import Trace, Voiced
from gateway.core.transitions import State
from gateway.dialects.native import degraded_of
from gateway.house import House
from gateway.recorder import EndedTurn
from gateway.session import Session
from shared import clock
from shared.errors import ParleyError
from shared.wire import native


class LastingSession(Session):
    """A session over one connection after the other. It goes on where a `trace` ends."""

    def __init__(
        self, house: House, user_id: str = "local", transport: str = "binary", trace: Trace | None = None
    ) -> None:
        super().__init__(house, user_id, transport, trace)
        self._trace = trace
        self._is_left_for_good = False
        if trace is not None:
            self._be_again(trace)

    async def attend(self, socket: ClientSocket, resume: native.Resume | None = None) -> native.Resume | None:
        """Serve the client over this connection until it ends: see Attendance.attend."""
        return await self._attendance.attend(socket, self._take, self.refuse, resume)

    def check(self, resume: native.Resume) -> None:
        """Raises InvalidMessage when what this client missed is not kept (any more)."""
        self._attendance.place_after(resume)

    @property
    def is_ending(self) -> bool:
        """Whether it is over, or about to be."""
        return self._is_left_for_good or self._over.is_set() or self._conversation.state is State.CLOSED

    @property
    def is_named(self) -> bool:
        """Whether its client knows it by its name alone."""
        return self._journal.opened.is_named

    @property
    def is_left(self) -> bool:
        """Whether no client is connected."""
        return not self._attendance.is_there

    async def fail(self, error: ParleyError) -> None:
        """Tell the client what ended the session."""
        await self._attendance.fail(error)

    async def end(self) -> None:
        """The client will not come back; returns when its last turn is kept."""
        if not self.is_ending:
            self._is_left_for_good = True
            await self._post(on.Disconnected())
        await self._over.wait()

    def discard(self) -> None:
        """Nothing of this session is worth keeping."""
        self._journal.close(remove=True)

    def _be_again(self, trace: Trace) -> None:
        """Wish, remember and tell what a session did that was killed."""
        self._character.take_up(trace.wants, trace.history)
        self._conversation.params = replace(self._conversation.params, replies=self._character.answers)
        self._encoder.seq = trace.seq
        self._encoder.transport = trace.wants.get("transport", self._encoder.transport)
        for message in trace.unsent:
            self._outbox.post(native.SERVER.validate(message))
        self._learn_character()
        self._asr.take_up(self._character.for_recogniser(), trace.utterance, trace.spoken, trace.audio_bytes)

    def _greet(self) -> None:
        if self._trace is None or not self._trace.seq:
            super()._greet()
        elif self._trace.level != "full" and self._house.load.level is Level.FULL:
            self._tell(degraded_of(Level.FULL))

    def _begin(self, tasks: TaskGroup) -> None:
        if self._trace is not None:
            self._go_on(self._trace, tasks)

    def _go_on(self, trace: Trace, tasks: TaskGroup) -> None:
        """Take up the turn that was under way, and keep those that had ended."""
        for fields in trace.turns.values():
            self._recorder.keep(EndedTurn.from_fields(fields))
        reply, voiced = trace.standing.reply, trace.voiced
        if reply is not None and voiced.reply_id != reply.reply_id:
            voiced = Voiced(reply.reply_id)
        self._conversation.take_up(trace.standing, voiced.text, clock.now_s())
        if reply is not None:
            asked = do.RequestReply(trace.standing.turn_id, reply.reply_id, reply.prompt, False, reply.script)
            if reply.is_paused:
                self._tell(native.ReplyResumed(turn_id=trace.standing.turn_id, reply_id=reply.reply_id))
            again = self._replies.make_again(asked, voiced, trace, is_written=reply.is_text_complete)
            self._start_reply(again, tasks)

"""Whether the client of a session is there, over which connection, and what it is sent.

A session outlives its connection. While the client is away, nothing is taken from the outbox; when it is back, it is
sent what it missed and then what comes. What leaves is written down before it leaves.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf

from gateway.client_socket import ClientSocket
from gateway.core.replay import Frame, Place
from gateway.dialects.native import Encoder, error_of
from gateway.line import Frame as Received
from gateway.line import Line
from gateway.outbox import AudioFrame, Outbox
from gateway.session_journal import SessionJournal
from gateway.settings import GatewaySettings
from shared import clock, metrics, pcm
from shared.errors import InvalidMessage, Overloaded, ParleyError
from shared.wire import native
from shared.wire.codec import Message

FIRST_LINE_S = 10.0  # in which the first connection is there
CAPABILITIES = [
    "partials",
    "barge_in",
    "backchannels",
    "speculation",
    "playout_marks",
    "personas",
    "transcription",
    "edit",
    "resume",
]


class Attendance:
    """The connections of one session, one at a time. `note_sent` is told of audio, and says how much was heard."""

    def __init__(
        self,
        outbox: Outbox,
        journal: SessionJournal,
        encoder: Encoder,
        settings: GatewaySettings,
        note_sent: Callable[[AudioFrame], int],
        note_change: Callable[[], None],
    ) -> None:
        self._outbox = outbox
        self._journal = journal
        self._encoder = encoder
        self._settings = settings
        self._note_sent = note_sent
        self._note_change = note_change
        self._line: Line | None = None
        self._place = Place()  # where its writer is
        self._away_until_s = clock.now_s() + max(FIRST_LINE_S, settings.resume_s)

    @property
    def is_there(self) -> bool:
        """Whether the client is connected."""
        return self._line is not None

    @property
    def gone_s(self) -> float:
        """When a client that is away is waited for no longer."""
        return inf if self._line else self._away_until_s

    async def attend(
        self,
        socket: ClientSocket,
        take: Callable[[Received], Awaitable[None]],
        refuse: Callable[[ParleyError], None],
        resume: native.Resume | None,
    ) -> native.Resume | None:
        """Serve the client over this connection until that ends; the session it asks for instead, if it does.

        With `resume` it is sent what it missed first. Raises InvalidMessage when that is not kept (any more). Another
        connection of the same client is hung up on. A cancel leaves the session without a client.
        """
        place = self._place if resume is None else self.place_after(resume)
        self._place = place
        self.hang_up()
        line = self._line = Line(socket, take)
        try:
            if resume is not None:
                await socket.send(self.ready(resumed=True).to_json(seq=resume.last_seq))
            self._note_change()
            return await line.run(partial(self._write, socket, place), refuse)
        except ParleyError as error:
            metrics.ERRORS.labels("gateway", error.code).inc()
            await socket.fail(error, error_of(error).to_json())
            return None
        finally:
            if self._line is line:
                self._line, self._away_until_s = None, clock.now_s() + self._settings.resume_s
                self._note_change()

    def ready(self, *, resumed: bool = False) -> native.Ready:
        """What a client is told first."""
        settings, opened = self._settings, self._journal.opened
        missing = {"backchannels": not settings.backchannels, "resume": not settings.resume_s}
        return native.Ready(
            session_id=opened.session_id,
            token=opened.token,
            capabilities=[one for one in CAPABILITIES if not missing.get(one)],
            resumed=resumed,
            audio_bytes=self._journal.audio_bytes,
            resume_ms=round(settings.resume_s * 1000),
        )

    def hang_up(self) -> None:
        """End the connection; the client may come back."""
        if self._line:
            self._line.hang_up()

    async def fail(self, error: ParleyError) -> None:
        """Tell the client what ends the session."""
        metrics.ERRORS.labels("gateway", error.code).inc()
        if self._line:
            await self._line.socket.fail(error, error_of(error).to_json())

    async def end_overrun(self) -> None:
        """A client that reads nothing cannot hold a session."""
        await self._outbox.overrun.wait()
        raise Overloaded("The client does not read what it is sent.", service="gateway")

    def place_after(self, resume: native.Resume) -> Place:
        """Where its client goes on. Raises InvalidMessage when what it missed is not kept (any more)."""
        place = self._journal.replay.place_after(resume.last_seq, resume.audio_bytes)
        if place is None:
            raise InvalidMessage("What was missed since `last_seq` is not kept (any more).", param="last_seq")
        return place

    async def _write(self, socket: ClientSocket, place: Place) -> None:
        """Send what the client missed, then what comes, until it is gone; the line's reader sees that too.

        A cancel loses nothing: what was taken from the outbox can be sent again.
        """
        is_open = True
        while is_open:
            frame = self._journal.replay.frame(place)
            if frame is None:
                frame = self._let_out(await self._outbox.take())
            is_open = await socket.send(frame)
            place = self._place = Place(place.at + 1)

    def _let_out(self, item: Message | AudioFrame) -> Frame:
        """The frame that this is, which counts as sent from here on."""
        frame = self._encoder.encode(item)
        if isinstance(item, AudioFrame):
            heard_ms = self._note_sent(item)
            self._journal.sound(frame, self._encoder.seq, pcm.samples_of(item.pcm), heard_ms)
        else:
            assert isinstance(frame, str), "messages are text"
            self._journal.tell(frame, self._encoder.seq)
        return frame

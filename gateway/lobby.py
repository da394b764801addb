"""Every session of a gateway: who may come in, who is waited for, who comes back, also after the gateway was killed.

A connection begins a session of its own at once. If its client asks for another one instead, that one is looked for:
among those that are open here, then among those that are written down. What is not found is an error, and the session
that was begun stays. A session without a client takes no place: only connections are counted.
"""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from gateway.client_socket import ClientSocket
from gateway.core.records import Opened
from gateway.core.trace import Trace
from gateway.dialects.native import error_of
from gateway.house import House
from gateway.journal import SUFFIX, path_of, read
from gateway.lasting_session import LastingSession
from gateway.session_journal import TOKEN_BYTES
from shared import clock, logs, metrics, threads
from shared.errors import InternalError, ParleyError, SessionNotFound, TooManySessions
from shared.wire import native

RETRY_AFTER_MS = 2_000
SWEEP_S = 15.0
TAKEN_OVER = 1001  # the close code of a connection whose session went on over another one
log = logging.getLogger(__name__)


class Lobby:
    """The sessions of one gateway, by their ids."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._sessions: dict[str, LastingSession] = {}
        self._connections = 0
        self._finding = anyio.Lock()  # two connections that ask for one session get one
        self._opened_at = clock.today().timestamp()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Lobby"]:
        """Sessions live inside the block. Leaving it stops them where they stand; what is written down stays."""
        async with anyio.create_task_group() as self._tasks:
            if self.house.journals is not None:
                self._tasks.start_soon(self._sweep, self.house.journals, name="sweep journals")
            try:
                yield self
            finally:
                self.house.llm.leave()
                self._tasks.cancel_scope.cancel()

    def session(self, session_id: str) -> LastingSession | None:
        """The open session of this id."""
        return self._sessions.get(session_id)

    async def receive(
        self, socket: ClientSocket, user_id: str = "local", transport: str = "binary", session_id: str = ""
    ) -> None:
        """One connection, from its beginning to its end, or a refusal at once.

        A `session_id` that the store knows as this person's, and that nobody is in, becomes the session's own.
        """
        if self._connections >= self.house.settings.max_sessions:
            full = TooManySessions("Every session is taken.", service="gateway", retry_after_ms=RETRY_AFTER_MS)
            return await socket.fail(full, error_of(full).to_json())
        self._count(+1)
        metrics.SESSIONS.labels("gateway").inc()
        try:
            trace = await self._earlier(user_id, transport, session_id) if session_id else None
            await self._attend(socket, self._begin(LastingSession(self.house, user_id, transport, trace)))
            await socket.close()
        except Exception:  # the border of a connection: a fault of ours ends it, not the gateway
            log.exception("a connection failed")
            fault = InternalError("Something went wrong on our side.", service="gateway")
            await socket.fail(fault, error_of(fault).to_json())
        finally:
            self._count(-1)
            metrics.SESSIONS.labels("gateway").dec()

    def _count(self, more: int) -> None:
        self._connections += more
        self.house.load.note_sessions(self._connections, self.house.settings.max_sessions)

    async def _earlier(self, user_id: str, transport: str, session_id: str) -> Trace | None:
        """What was said in a session that is begun again by its name."""
        known = await self.house.store.sessions.get(session_id)
        path = path_of(self.house.journals, session_id) if self.house.journals else None
        if known is None or known["user_id"] != user_id or session_id in self._sessions:
            return None
        if path is not None:
            await threads.call(path.unlink, True)
        turns = [turn for turn in await self.house.store.turns(session_id) or [] if turn["is_current"]]
        told = [[turn["turn_id"], turn["user_text"], turn["heard_text"]] for turn in turns]
        opened = Opened(session_id, user_id, secrets.token_urlsafe(TOKEN_BYTES), transport)
        return Trace(opened, history={"turns": told})

    async def _attend(self, socket: ClientSocket, session: LastingSession) -> None:
        """Serve the client in this session, or in the one that it asks for."""
        resume: native.Resume | None = None
        while True:
            asked = await session.attend(socket, resume)
            if asked is None:
                break
            resume = None
            try:
                other = await self._find(asked)
                other.check(asked)
            except ParleyError as error:
                metrics.RESUMES.labels("refused").inc()
                session.refuse(error)
                continue
            if other is not session:
                await session.end()
                session.discard()
            session, resume = other, asked
        if not session.is_left:
            return
        if socket.is_goodbye or not self.house.settings.resume_s:
            await session.end()
        else:
            await self._bound_waits(session)

    async def _bound_waits(self, left: LastingSession) -> None:
        """No more sessions wait for their client than can be open: whoever left first is let go."""
        if left.session_id in self._sessions:
            self._sessions[left.session_id] = self._sessions.pop(left.session_id)  # the last to leave comes last
        waiting = [one for one in self._sessions.values() if one.is_left and not one.is_ending]
        for one in waiting[: -self.house.settings.max_sessions]:
            await one.end()

    def _begin(self, session: LastingSession) -> LastingSession:
        assert self._tasks is not None, "the lobby was not opened"
        self._sessions[session.session_id] = session
        self._tasks.start_soon(self._keep, session, name=f"session {session.session_id}")
        return session

    async def _keep(self, session: LastingSession) -> None:
        """Run a session; whatever breaks in it is told in one message and logged without what was said."""
        try:
            with logs.bound(session_id=session.session_id):
                await session.run()
        except Exception:  # the border of a session: a fault of ours ends it, not the gateway
            log.exception("a session failed", extra={"session_id": session.session_id})
            await session.fail(InternalError("Something went wrong on our side.", service="gateway"))
        finally:
            if self._sessions.get(session.session_id) is session:
                del self._sessions[session.session_id]

    async def _find(self, asked: native.Resume) -> LastingSession:
        """The session that this client was in. Raises SessionNotFound, also for a wrong token."""
        async with self._finding:
            session, outcome = self._sessions.get(asked.session_id), "live"
            if session is not None and session.is_ending:
                await session.end()  # its client said goodbye, and thought better of it
                session = None
            if session is None:
                session, outcome = await self._restore(asked), "restored"
            if session is None or not secrets.compare_digest(session.token.encode(), asked.token.encode()):
                raise SessionNotFound("There is no such session to go on with (any more).", service="gateway")
            metrics.RESUMES.labels(outcome).inc()
            return session

    async def _restore(self, asked: native.Resume) -> LastingSession | None:
        """A session that is written down goes on, if its client knows its token."""
        folder = self.house.journals
        path = path_of(folder, asked.session_id) if folder else None
        trace = await threads.call(read, path) if path else None
        if trace is None or trace.opened is None:
            return None
        if not secrets.compare_digest(trace.opened.token.encode(), asked.token.encode()):
            return None
        return self._begin(LastingSession(self.house, trace=trace))

    async def _sweep(self, folder: Path) -> None:
        """Sessions whose client did not come back in time are over: what they had begun is kept, the rest is gone."""
        while True:
            for path in await threads.call(_journals, folder):
                if path.stem not in self._sessions and self._is_late(path):
                    await self._bury(path)
            await anyio.sleep(min(SWEEP_S, self.house.settings.resume_s))

    def _is_late(self, path: Path) -> bool:
        try:
            written_at = path.stat().st_mtime
        except OSError:
            return False
        return clock.today().timestamp() > max(written_at, self._opened_at) + self.house.settings.resume_s

    async def _bury(self, path: Path) -> None:
        """What was heard of an answer that was under way reaches the store."""
        async with self._finding:
            trace = await threads.call(read, path)
            if trace is not None and trace.is_under_way:
                session = self._begin(LastingSession(self.house, trace=trace))
                await session.end()
            await threads.call(path.unlink)


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))

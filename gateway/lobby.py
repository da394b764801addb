"""Every session of a gateway: who may come in, who is waited for, who comes back, also after the gateway was killed.

A connection begins a session of its own at once. If its client asks for another one instead, that one is looked for:
among those that are open here, then among those that are written down. What is not found is an error, and the session
that was begun stays. A session without a client takes no place: only connections are counted.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup
from sqlalchemy.exc import SQLAlchemyError

from gateway.client_socket import ClientSocket
from gateway.core.records import Opened
from gateway.core.trace import Trace
from gateway.dialects.native import error_of
from gateway.house import House
from gateway.journal import SUFFIX, is_held, path_of, read
from gateway.lasting_session import LastingSession
from gateway.session import LAST_WORDS_S
from gateway.session_journal import TOKEN_BYTES
from shared import clock, logs, metrics, threads
from shared.errors import InternalError, ParleyError, SessionNotFound, TooManySessions
from shared.wire import native

RETRY_AFTER_MS = 2_000
SWEEP_S = 15.0
NORMAL, TAKEN_OVER = 1000, 1001  # close codes; the second, when the session went on over another connection
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
            session = await self._earlier(user_id, transport, session_id) if session_id else None
            session = session or self._begin(LastingSession(self.house, user_id, transport))
            await socket.close(await self._attend(socket, session))
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

    async def _earlier(self, user_id: str, transport: str, session_id: str) -> LastingSession | None:
        """A session that is begun again by its name, with what was said in it; None while somebody may come back to it.

        Who left one that was begun by its name comes back by its name.
        """
        async with self._finding:
            known = await self.house.store.sessions.get(session_id)
            if known is None or known["user_id"] != user_id or not await self._is_free(session_id):
                return None
            turns = await self.house.store.turns(session_id) or []
            told = [[one["turn_id"], one["user_text"], one["heard_text"]] for one in turns if one["is_current"]]
            opened = Opened(session_id, user_id, secrets.token_urlsafe(TOKEN_BYTES), transport, is_named=True)
            return self._begin(LastingSession(self.house, trace=Trace(opened, history={"turns": told})))

    async def _is_free(self, session_id: str) -> bool:
        """Whether nobody is in it, or may come back to it by its token."""
        left = self._sessions.get(session_id)
        if left is not None and left.is_named and left.is_left:
            await left.end()
            self._sessions.pop(session_id, None)
        path = path_of(self.house.journals, session_id) if self.house.journals else None
        if path is not None and session_id not in self._sessions:
            trace = await threads.call(_read_free, path)
            if trace is not None and trace.opened is not None and trace.opened.is_named:
                await self._bury(path, trace)
            return not await threads.call(path.exists)
        return session_id not in self._sessions

    async def _attend(self, socket: ClientSocket, session: LastingSession) -> int:
        """Serve the client in this session, or in the one that it asks for; the code to close with."""
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
                self._start(self._give_up, session)  # not waited for: the other one may end meanwhile
            session, resume = other, asked
        if not session.is_left:
            return TAKEN_OVER
        if socket.is_goodbye or not self.house.settings.resume_s:
            await session.end()
        else:
            await self._bound_waits(session)
        return NORMAL

    async def _give_up(self, session: LastingSession) -> None:
        await session.end()
        session.discard()

    async def _bound_waits(self, left: LastingSession) -> None:
        """No more sessions wait for their client than can be open: whoever left first is let go."""
        if left.session_id in self._sessions:
            self._sessions[left.session_id] = self._sessions.pop(left.session_id)  # the last to leave comes last
        waiting = [one for one in self._sessions.values() if one.is_left and not one.is_ending]
        for one in waiting[: -self.house.settings.max_sessions]:
            await one.end()

    def _begin(self, session: LastingSession) -> LastingSession:
        self._sessions[session.session_id] = session
        self._start(self._keep, session)
        return session

    def _start(self, work: Callable[[LastingSession], Coroutine[Any, Any, None]], session: LastingSession) -> None:
        assert self._tasks is not None, "the lobby was not opened"
        self._tasks.start_soon(work, session, name=f"session {session.session_id}")

    async def _keep(self, session: LastingSession) -> None:
        """Run a session; whatever breaks in it is told in one message and logged without what was said."""
        try:
            with logs.bound(session_id=session.session_id):
                await session.run()
                await self._note_end(session.session_id)
        except Exception:  # the border of a session: a fault of ours ends it, not the gateway
            log.exception("a session failed", extra={"session_id": session.session_id})
            await session.fail(InternalError("Something went wrong on our side.", service="gateway"))
        finally:
            if self._sessions.get(session.session_id) is session:
                del self._sessions[session.session_id]

    async def _note_end(self, session_id: str) -> None:
        """A session of which turns are kept has ended."""
        try:
            with anyio.move_on_after(LAST_WORDS_S, shield=True):  # a driver does not bear to be cut in a transaction
                await self.house.store.sessions.end(session_id)
        except (SQLAlchemyError, OSError):
            log.exception("the end of a session could not be noted", extra={"session_id": session_id})

    async def _find(self, asked: native.Resume) -> LastingSession:
        """The session that this client was in. Raises SessionNotFound, also for a wrong token."""
        session = self._sessions.get(asked.session_id)
        if session is not None:
            _check_token(session.token, asked)
            if session.is_ending:
                await session.end()  # its client said goodbye, and thought better of it
        async with self._finding:
            session = self._sessions.get(asked.session_id)
            outcome = "live"
            if session is None or session.is_ending:
                session, outcome = await self._restore(asked), "restored"
            _check_token(session.token, asked)
            metrics.RESUMES.labels(outcome).inc()
            return session

    async def _restore(self, asked: native.Resume) -> LastingSession:
        """A session that is written down goes on, if its client knows its token."""
        folder = self.house.journals
        path = path_of(folder, asked.session_id) if folder else None
        trace = await threads.call(_read_free, path) if path else None
        if trace is None or trace.opened is None:
            raise _not_found()
        _check_token(trace.opened.token, asked)
        return self._begin(LastingSession(self.house, trace=trace))

    async def _sweep(self, folder: Path) -> None:
        """Sessions whose client did not come back in time are over: what they had begun is kept, the rest is gone."""
        while True:
            for path in await threads.call(_journals, folder):
                if path.stem not in self._sessions and self._is_late(path):
                    await self._end_late(path)
            await anyio.sleep(min(SWEEP_S, self.house.settings.resume_s))

    def _is_late(self, path: Path) -> bool:
        try:
            written_at = path.stat().st_mtime
        except OSError:
            return False
        is_late = clock.today().timestamp() > max(written_at, self._opened_at) + self.house.settings.resume_s
        return is_late and not is_held(path)

    async def _end_late(self, path: Path) -> None:
        async with self._finding:
            if path.stem not in self._sessions and self._is_late(path):  # else its client came back meanwhile
                await self._bury(path, await threads.call(_read_free, path))

    async def _bury(self, path: Path, trace: Trace | None) -> None:
        """What was heard of an answer that was under way reaches the store."""
        try:
            if trace is not None and trace.is_under_way:
                await self._begin(LastingSession(self.house, trace=trace)).end()
        except Exception:  # a border: one journal that cannot be used must not end the gateway
            log.exception("a session that was written down could not be ended")
        await threads.call(path.unlink, True)


def _check_token(token: str, asked: native.Resume) -> None:
    if not secrets.compare_digest(token.encode(), asked.token.encode(errors="replace")):
        raise _not_found()


def _not_found() -> SessionNotFound:
    return SessionNotFound("There is no such session to go on with (any more).", service="gateway")


def _read_free(path: Path) -> Trace | None:
    """What stands in a journal that nobody writes now; None as well where it is of another version."""
    try:
        return None if is_held(path) else read(path)
    except (KeyError, TypeError, ValueError):
        log.exception("a session that was written down cannot be read")
        return None


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))

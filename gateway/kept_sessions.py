"""Sessions as they are kept: when each began and ended, whose it is, and its figures.

A session may be kept before its first turn, and end more than once; the first end counts. Averages are over the newest
`TURNS_AVERAGED` turns, so that a long history costs no more than a short one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import found, insert_once, written
from gateway.tables import SessionRow, TurnRow, UserRow, table_of
from shared import clock, ids

TURNS_AVERAGED: Final = 1_000
_USERS = table_of(UserRow)
_SESSIONS = table_of(SessionRow)
_TURNS = table_of(TurnRow)


class KeptSessions:
    """Sessions, by their ids and their people's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, user_id: str, session_id: str = "") -> str:
        """Keep a session, under a new id or a given one; its id. PermissionError when it is another person's."""
        session_id = session_id or ids.new_id("ses")
        await written(self._engine, lambda connection: begin(connection, session_id, user_id, clock.today()))
        return session_id

    async def end(self, session_id: str) -> bool:
        """Note that a session has ended; False when there is none of this id."""
        now = func.coalesce(_SESSIONS.c.ended_at, clock.today())
        ended = update(_SESSIONS).where(_SESSIONS.c.id == session_id).values(ended_at=now)
        return await written(self._engine, lambda connection: connection.execute(ended).rowcount > 0)

    async def get(self, session_id: str) -> dict[str, Any] | None:
        """A session: whose it is, its times, the number of its turns; None when there is none of this id."""
        asked = select(_SESSIONS).where(_SESSIONS.c.id == session_id)
        row = await found(self._engine, lambda connection: connection.execute(asked).one_or_none())
        return session_fields(row) if row else None

    async def stats(self, session_id: str) -> dict[str, Any] | None:
        """The figures of a session: `get`, and what `figures` tells."""

        def look(connection: Connection) -> dict[str, Any] | None:
            row = connection.execute(select(_SESSIONS).where(_SESSIONS.c.id == session_id)).one_or_none()
            if row is None:
                return None
            return session_fields(row) | figures(connection, _TURNS.c.session_id == session_id)

        return await found(self._engine, look)

    async def user_stats(self, user_id: str) -> dict[str, Any] | None:
        """The figures of all sessions of one person; None for somebody who never had one."""
        of_user = _SESSIONS.c.user_id == user_id
        counted = select(func.count(), func.min(_SESSIONS.c.started_at), func.max(_SESSIONS.c.last_at)).where(of_user)

        def look(connection: Connection) -> dict[str, Any] | None:
            sessions, first_at, last_at = connection.execute(counted).one()
            if not sessions:
                return None
            times = {"first_at": first_at.isoformat(), "last_at": last_at.isoformat()}
            theirs = _TURNS.c.session_id.in_(select(_SESSIONS.c.id).where(of_user))
            return {"user_id": user_id, "sessions": sessions} | times | figures(connection, theirs)

        return await found(self._engine, look)


def begin(connection: Connection, session_id: str, user_id: str, now: datetime) -> None:
    """Make a session, and its person, if they are not there; lock its row. PermissionError when it is another's."""
    connection.execute(insert_once(connection, _USERS).values(id=user_id, created_at=now))
    row = {"id": session_id, "user_id": user_id, "started_at": now, "last_at": now}
    owned = select(_SESSIONS.c.user_id == user_id).where(_SESSIONS.c.id == session_id).with_for_update()
    is_own = None
    while is_own is None:  # one that was there may be deleted before it is locked
        connection.execute(insert_once(connection, _SESSIONS).values(row))
        is_own = connection.scalar(owned)
    if not is_own:
        raise PermissionError("The session belongs to somebody else.")


def session_fields(row: Row[Any]) -> dict[str, Any]:
    """A session as it is told."""
    times = {name: getattr(row, name) for name in ("started_at", "last_at", "ended_at")}
    return {
        "session_id": row.id,
        "user_id": row.user_id,
        **{name: at and at.isoformat() for name, at in times.items()},
        "turns": row.turn_count,
    }


def figures(connection: Connection, which: ColumnElement[bool]) -> dict[str, Any]:
    """Of some turns: how many, how long was spoken and heard, how many answers were interrupted, average timings."""
    interrupted = case((_TURNS.c.finish_reason == "interrupted", 1), else_=0)
    sums = [func.coalesce(func.sum(one), 0) for one in (_TURNS.c.spoken_ms, _TURNS.c.heard_ms, interrupted)]
    turns, spoken_ms, heard_ms, interruptions = connection.execute(select(func.count(), *sums).where(which)).one()
    newest = select(_TURNS.c.timings).where(which).order_by(_TURNS.c.ended_at.desc()).limit(TURNS_AVERAGED)
    return {
        "turns": turns,
        "spoken_ms": int(spoken_ms),
        "heard_ms": int(heard_ms),
        "interruptions": int(interruptions),
        "average_timings_ms": _averages(connection.scalars(newest)),
    }


def _averages(timings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    reached: dict[str, list[int]] = defaultdict(list)
    for one in timings:
        for stage, milliseconds in one.items():
            reached[stage].append(milliseconds)
    return {stage: round(sum(times) / len(times)) for stage, times in reached.items()}

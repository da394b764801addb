"""Forgetting: every row of some sessions in one transaction, and the names of their files, to be removed after it.

Their rows are locked first, so that a turn which comes meanwhile waits, and begins the conversation anew.
"""

from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, false, select, update

from gateway import search
from gateway.tables import AudioRow, EditRow, SegmentRow, SessionRow, TurnRow, table_of

SESSIONS_AT_ONCE: Final = 20
_SESSIONS = table_of(SessionRow)
_TURNS = table_of(TurnRow)
_AUDIO = table_of(AudioRow)
_PARTS = [_AUDIO, table_of(SegmentRow), table_of(EditRow)]
_BEGIN_AS_A_WRITER = update(_SESSIONS).where(false()).values(turn_count=0)


def forget(connection: Connection, which: ColumnElement[bool]) -> tuple[int, list[str]]:
    """Remove some of the sessions that are meant, with all that was said in them.

    How many they were, 0 when none is left; and the names of their audio files, to which nothing refers now.
    """
    connection.execute(_BEGIN_AS_A_WRITER)
    some = select(_SESSIONS.c.id).where(which).limit(SESSIONS_AT_ONCE).with_for_update()
    session_ids = connection.scalars(some).all()
    if not session_ids:
        return 0, []
    turn_ids = select(_TURNS.c.id).where(_TURNS.c.session_id.in_(session_ids))
    files = connection.scalars(select(_AUDIO.c.file_name).where(_AUDIO.c.turn_id.in_(turn_ids))).all()
    search.remove(connection, session_ids)
    for table in _PARTS:
        connection.execute(delete(table).where(table.c.turn_id.in_(turn_ids)))
    connection.execute(delete(_TURNS).where(_TURNS.c.session_id.in_(session_ids)))
    connection.execute(delete(_SESSIONS).where(_SESSIONS.c.id.in_(session_ids)))
    return len(session_ids), list(files)

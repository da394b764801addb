"""Turns as they are told, in JSON: one place for their names, wherever they are told."""

from typing import Any

from sqlalchemy import Connection, Row, select

from gateway.tables import AudioRow, EditRow, SegmentRow, TurnRow, table_of

_TURNS = table_of(TurnRow)
_EDITS = table_of(EditRow)
_SEGMENTS = table_of(SegmentRow)
_AUDIO = table_of(AudioRow)


def turn_fields(row: Row[Any]) -> dict[str, Any]:
    """What a row of `turns` holds."""
    return {
        "turn_id": row.id,
        "persona": row.persona,
        "user_text": row.user_text,
        "spoken_ms": row.spoken_ms,
        "heard_text": row.heard_text,
        "heard_ms": row.heard_ms,
        "finish_reason": row.finish_reason,
        "timings": row.timings,
        "ended_at": row.ended_at.isoformat(),
    }


def told_turns(
    connection: Connection, session_id: str, start: int = 0, limit: int | None = None
) -> list[dict[str, Any]]:
    """The turns of a session in their order, from a position on: with their `segments`, with the tier of their `audio`,
    None without, and with the turn that each of them `edits`.
    """
    asked = (
        select(_TURNS, _EDITS.c.edited_turn_id, _AUDIO.c.tier)
        .outerjoin(_EDITS, _EDITS.c.turn_id == _TURNS.c.id)
        .outerjoin(_AUDIO, _AUDIO.c.turn_id == _TURNS.c.id)
        .where(_TURNS.c.session_id == session_id, _TURNS.c.position >= start)
        .order_by(_TURNS.c.position)
        .limit(limit)
    )
    rows = connection.execute(asked).all()
    segments: dict[str, list[dict[str, Any]]] = {row.id: [] for row in rows}
    if rows:
        between = _TURNS.c.position.between(rows[0].position, rows[-1].position)
        told = select(_SEGMENTS).join(_TURNS).where(_TURNS.c.session_id == session_id, between)
        for segment in connection.execute(told.order_by(_SEGMENTS.c.turn_id, _SEGMENTS.c.position)):
            segments[segment.turn_id].append({"text": segment.text, "start_ms": segment.start_ms})
    return [
        turn_fields(row) | {"segments": segments[row.id], "audio": row.tier, "edits": row.edited_turn_id}
        for row in rows
    ]

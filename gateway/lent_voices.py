"""Whose each voice is, and with what consent: all that is known of it beside its sound, which the tts_service keeps."""

from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import found, insert_once, written
from gateway.tables import UserRow, VoiceRow, table_of
from shared import clock, ids

_USERS = table_of(UserRow)
_VOICES = table_of(VoiceRow)


class LentVoices:
    """The voices of people, by their ids."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, user_id: str, name: str, language: str, consent: str, voice_id: str = "") -> str:
        """Keep a voice, under a new id or a given one; its id. One that is there stays as it is.

        PermissionError when it is another person's.
        """
        voice_id, now = voice_id or ids.new_id("voice"), clock.today()
        row = {"id": voice_id, "user_id": user_id, "name": name, "language": language, "consent": consent}

        def keep(connection: Connection) -> None:
            connection.execute(insert_once(connection, _USERS).values(id=user_id, created_at=now))
            connection.execute(insert_once(connection, _VOICES).values(row | {"created_at": now}))
            its_own = select(_VOICES.c.id).where(_VOICES.c.id == voice_id, _VOICES.c.user_id == user_id)
            if not connection.scalar(its_own):
                raise PermissionError("The voice belongs to somebody else.")

        await written(self._engine, keep)
        return voice_id

    async def of(self, user_id: str) -> list[dict[str, Any]]:
        """The voices of one person, the newest first."""
        asked = select(_VOICES).where(_VOICES.c.user_id == user_id).order_by(_VOICES.c.created_at.desc(), _VOICES.c.id)
        rows = await found(self._engine, lambda connection: connection.execute(asked).all())
        return [_fields(row) for row in rows]

    async def remove(self, voice_id: str, user_id: str) -> bool:
        """Forget a voice; False when the person has none of this id."""
        gone = delete(_VOICES).where(_VOICES.c.id == voice_id, _VOICES.c.user_id == user_id)
        return await written(self._engine, lambda connection: connection.execute(gone).rowcount > 0)


def _fields(row: Row[Any]) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in ("name", "language", "consent")}
    return {"voice_id": row.id, **told, "created_at": row.created_at.isoformat()}

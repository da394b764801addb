"""All that is kept of one person, to be handed to them or to be erased.

An export is read in pieces, so that a long history needs no more memory than a short one; what is added or forgotten
meanwhile may be in it or not. An erasure that was cut short has erased whole conversations, and may be asked for again.
"""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.database import found, written
from gateway.erasure import forget
from gateway.kept_sessions import session_fields
from gateway.lent_voices import LentVoices
from gateway.tables import SessionRow, UserRow, VoiceRow, table_of
from gateway.told_turns import told_turns
from gateway.turn_audio import KeptAudio, TurnAudio

SESSIONS_AT_ONCE: Final = 100
TURNS_AT_ONCE: Final = 200
_USERS = table_of(UserRow)
_VOICES = table_of(VoiceRow)
_SESSIONS = table_of(SessionRow)


class KeptUsers:
    """People, by their ids."""

    def __init__(self, engine: AsyncEngine, audio: TurnAudio, voices: LentVoices) -> None:
        self._engine = engine
        self._audio = audio
        self._voices = voices

    async def export(self, user_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Every record of one person, each with its `kind`: user, voices; each session, its turns, each with its audio.

        Audio holds its bytes as `content`; everything else is JSON.
        """
        asked = select(_USERS).where(_USERS.c.id == user_id)
        if user := await found(self._engine, lambda connection: connection.execute(asked).one_or_none()):
            yield {"kind": "user", "user_id": user.id, "created_at": user.created_at.isoformat()}
        for voice in await self._voices.of(user_id):
            yield {"kind": "voice"} | voice
        last = ""
        while sessions := await found(self._engine, partial(_sessions, user_id, last)):
            for session in sessions:
                yield {"kind": "session"} | session
                async for record in self._turns(session["session_id"]):
                    yield record
            last = sessions[-1]["session_id"]

    async def _turns(self, session_id: str) -> AsyncGenerator[dict[str, Any], None]:
        start = 0
        while turns := await found(self._engine, partial(_turns, session_id, start)):
            for turn in turns:
                yield {"kind": "turn", "session_id": session_id} | turn
                if turn["audio"] and (audio := await self._audio.get(turn["turn_id"])):
                    yield {"kind": "audio", "turn_id": turn["turn_id"]} | _audio_fields(audio)
            start += len(turns)

    async def erase(self, user_id: str) -> bool:
        """Erase one person: sessions, turns, audio and its files, voices; False when nothing was kept of them.

        The sound of a voice lies with the tts_service, which has to be told. A cancel leaves what is not erased yet.
        """
        has_sessions = False
        while True:
            count, files = await written(self._engine, partial(_forget, user_id))
            if not count:
                return await written(self._engine, partial(_remove, user_id)) or has_sessions
            has_sessions = True
            await self._audio.discard(files)


def _sessions(user_id: str, after: str, connection: Connection) -> list[dict[str, Any]]:
    page = select(_SESSIONS).where(_SESSIONS.c.user_id == user_id, _SESSIONS.c.id > after)
    return [session_fields(row) for row in connection.execute(page.order_by(_SESSIONS.c.id).limit(SESSIONS_AT_ONCE))]


def _turns(session_id: str, start: int, connection: Connection) -> list[dict[str, Any]]:
    return told_turns(connection, session_id, start, TURNS_AT_ONCE)


def _audio_fields(audio: KeptAudio) -> dict[str, Any]:
    told = {name: getattr(audio, name) for name in ("media_type", "sample_rate", "duration_ms", "tier", "content")}
    return told | {"offsets_ms": list(audio.offsets_ms), "rendered_at": audio.rendered_at.isoformat()}


def _forget(user_id: str, connection: Connection) -> tuple[int, list[str]]:
    return forget(connection, _SESSIONS.c.user_id == user_id)


def _remove(user_id: str, connection: Connection) -> bool:
    connection.execute(delete(_VOICES).where(_VOICES.c.user_id == user_id))
    return connection.execute(delete(_USERS).where(_USERS.c.id == user_id)).rowcount > 0

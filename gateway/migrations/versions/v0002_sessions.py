"""Users, sessions that end, segments, audio, voices, search. A conversation becomes a session, its turns are numbered
anew where two of them had one number, and all that was said is indexed.

The way back keeps every turn; columns stay as wide as they have become.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from gateway import search
from gateway.tables import EXACT_COLLATION
from shared import ids

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {"mariadb_charset": "utf8mb4", "mariadb_collate": EXACT_COLLATION}
NEW_TABLES = ("search_entries", "voices", "audio", "segments", "users", "stores")


def _moment() -> sa.types.TypeEngine[datetime]:
    return sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mariadb")


def _long_text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mariadb")


def upgrade() -> None:
    if op.get_bind().dialect.name == "mariadb":
        _widen_mariadb()
    named = op.create_table("stores", sa.Column("id", sa.String(64), primary_key=True), **OPTIONS)
    op.bulk_insert(named, [{"id": ids.new_id("store")}])
    _make_sessions()
    _number_turns()
    _create_users()
    _create_parts_of_turns()
    search.create(op.get_bind())
    search.fill(op.get_bind())


def _widen_mariadb() -> None:
    """Letters of every script, told apart exactly; moments to the microsecond; texts of any length."""
    looked = sa.inspect(op.get_bind())
    keys = [(table, key) for table in ("turns", "edits") for key in looked.get_foreign_keys(table)]
    for table, key in keys:  # no column changes its letters while another table refers to it
        op.drop_constraint(str(key["name"]), table, type_="foreignkey")
    for table in ("conversations", "turns", "edits"):
        op.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {EXACT_COLLATION}")
    for table, key in keys:
        op.create_foreign_key(
            key["name"], table, key["referred_table"], key["constrained_columns"], key["referred_columns"]
        )
    op.alter_column("conversations", "started_at", type_=mysql.DATETIME(fsp=6), existing_nullable=False)
    op.alter_column("turns", "ended_at", type_=mysql.DATETIME(fsp=6), existing_nullable=False)
    for column in ("user_text", "heard_text"):
        op.alter_column("turns", column, type_=mysql.MEDIUMTEXT(), existing_nullable=False)


def _make_sessions() -> None:
    op.rename_table("conversations", "sessions")
    op.add_column("sessions", sa.Column("last_at", _moment()))
    op.add_column("sessions", sa.Column("ended_at", _moment()))
    op.add_column("sessions", sa.Column("turn_count", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_sessions_user_id_started_at", "sessions", ["user_id", "started_at"])
    op.create_index("ix_sessions_started_at", "sessions", ["started_at"])
    op.create_index("ix_sessions_last_at", "sessions", ["last_at"])
    op.drop_index("ix_conversations_user_id", "sessions")
    op.execute(
        "ALTER TABLE turns RENAME COLUMN conversation_id TO session_id"
    )  # all three know it; Alembic: not SQLite
    op.add_column("turns", sa.Column("spoken_ms", sa.Integer(), nullable=False, server_default="0"))


def _number_turns() -> None:
    """Two gateways could give two turns of one conversation the same position."""
    turns = sa.table("turns", *map(sa.column, ("id", "session_id", "position", "ended_at")))
    place = sa.func.row_number().over(partition_by=turns.c.session_id, order_by=(turns.c.position, turns.c.ended_at))
    placed = sa.select(turns.c.id, turns.c.position, (place - 1).label("place")).subquery()
    wrong = sa.select(placed.c.id, placed.c.place).where(placed.c.position != placed.c.place)
    bind = op.get_bind()
    for turn_id, position in bind.execute(wrong).all():
        bind.execute(sa.update(turns).where(turns.c.id == turn_id).values(position=position))
    op.create_index("ix_turns_session_id_position", "turns", ["session_id", "position"], unique=True)
    op.drop_index("ix_turns_conversation_id", "turns")
    sums = "(SELECT {} FROM turns WHERE turns.session_id = sessions.id)"
    op.execute(f"UPDATE sessions SET turn_count = {sums.format('COUNT(*)')}")  # noqa: S608 - words of this file alone
    op.execute(f"UPDATE sessions SET last_at = COALESCE({sums.format('MAX(ended_at)')}, started_at)")  # noqa: S608


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("created_at", _moment(), nullable=False),
        **OPTIONS,
    )
    op.execute("INSERT INTO users (id, created_at) SELECT user_id, MIN(started_at) FROM sessions GROUP BY user_id")
    op.create_table(
        "voices",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(128), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("consent", _long_text(), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        **OPTIONS,
    )
    op.create_index("ix_voices_user_id", "voices", ["user_id"])


def _create_parts_of_turns() -> None:
    op.create_table(
        "segments",
        sa.Column("turn_id", sa.String(64), sa.ForeignKey("turns.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("text", _long_text(), nullable=False),
        sa.Column("start_ms", sa.Integer(), nullable=False),
        **OPTIONS,
    )
    op.create_table(
        "audio",
        sa.Column("turn_id", sa.String(64), sa.ForeignKey("turns.id"), primary_key=True),
        sa.Column("file_name", sa.String(96), nullable=False, unique=True),
        sa.Column("tier", sa.String(8), nullable=False),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("sample_rate", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("offsets_ms", sa.JSON(), nullable=False),
        sa.Column("rendered_at", _moment(), nullable=False),
        **OPTIONS,
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "search_entries",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("turn_id", sa.String(64), sa.ForeignKey("turns.id"), nullable=False, unique=True),
        **OPTIONS,
    )


def downgrade() -> None:
    """Forget what 0001 has no place for: users, voices, audio, segments, when sessions ended. Every turn stays."""
    search.drop(op.get_bind())
    for table in NEW_TABLES:
        op.drop_table(table)
    op.drop_column("turns", "spoken_ms")
    op.execute("ALTER TABLE turns RENAME COLUMN session_id TO conversation_id")
    op.create_index("ix_turns_conversation_id", "turns", ["conversation_id"])
    op.drop_index("ix_turns_session_id_position", "turns")
    op.create_index("ix_conversations_user_id", "sessions", ["user_id"])
    for index in ("user_id_started_at", "started_at", "last_at"):
        op.drop_index(f"ix_sessions_{index}", "sessions")
    for column in ("turn_count", "ended_at", "last_at"):
        op.drop_column("sessions", column)
    op.rename_table("sessions", "conversations")

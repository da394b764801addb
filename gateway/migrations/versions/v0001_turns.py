"""Conversations, their turns and corrections: the tables of before there were steps."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables that are missing: `edits` came later than the others, without a step."""
    there = sa.inspect(op.get_bind()).get_table_names()
    if "conversations" not in there:
        _create_conversations()
    if "turns" not in there:
        _create_turns()
    if "edits" not in there:
        op.create_table(
            "edits",
            sa.Column("turn_id", sa.String(64), sa.ForeignKey("turns.id"), primary_key=True),
            sa.Column("edited_turn_id", sa.String(64), nullable=False),
        )


def _create_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_conversations_user_id", "conversations", ["user_id"])


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("conversation_id", sa.String(64), sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("persona", sa.String(64), nullable=False),
        sa.Column("user_text", sa.Text(), nullable=False),
        sa.Column("heard_text", sa.Text(), nullable=False),
        sa.Column("heard_ms", sa.Integer(), nullable=False),
        sa.Column("finish_reason", sa.String(16), nullable=False),
        sa.Column("timings", sa.JSON(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_turns_conversation_id", "turns", ["conversation_id"])


def downgrade() -> None:
    """Remove everything."""
    for table in ("edits", "turns", "conversations"):
        op.drop_table(table)

"""Freezes: what nobody uses until it is thawed.

Revision ID: 0008
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, String, Text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "freezes",
        Column("kind", String(8), nullable=False),
        Column("name", String(128), nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        Column("by", String(128), nullable=False),
        Column("reason", Text, nullable=False),
        # Named as `hyok.database.tables` names them.
        CheckConstraint(
            "kind IN ('app', 'bucket', 'tenant', 'store')", name=op.f("ck_freezes_kind")
        ),
        PrimaryKeyConstraint("kind", "name", name="pk_freezes"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

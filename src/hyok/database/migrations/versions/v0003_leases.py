"""Leases: locks on a name, for a bounded time, across every process of the installation.

Revision ID: 0003
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, String

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        Column("name", String(128), nullable=False),
        Column("holder", LargeBinary(16), nullable=False),
        Column("until_ms", BigInteger, nullable=False),
        # Named as `hyok.database.tables` names it.
        PrimaryKeyConstraint("name", name="pk_leases"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

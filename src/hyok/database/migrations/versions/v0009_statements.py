"""Statements: what was destroyed, and how that was shown.

Revision ID: 0009
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    String,
    Text,
)

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        Column("proposal_id", String(32), nullable=False),
        Column("document", Text, nullable=False),
        Column("final", Boolean, nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        # Named as `hyok.database.tables` names them.
        ForeignKeyConstraint(
            ["proposal_id"],
            ["proposals.proposal_id"],
            name="fk_statements_proposal_id_proposals",
        ),
        PrimaryKeyConstraint("proposal_id", name="pk_statements"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

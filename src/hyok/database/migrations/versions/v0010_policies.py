"""Policy bundles, and which one is in force.

Revision ID: 0010
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
)

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constraints are named as `hyok.database.tables` names them.
    op.create_table(
        "policy_bundles",
        Column("sha256", String(64), nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("document", LargeBinary, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("sha256", name="pk_policy_bundles"),
    )
    op.create_table(
        "policy_in_force",
        Column("version", BigInteger, nullable=False, autoincrement=False),
        Column("sha256", String(64), nullable=False),
        Column("proposal_id", String(32), nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("version", name="pk_policy_in_force"),
        ForeignKeyConstraint(
            ["sha256"], ["policy_bundles.sha256"], name="fk_policy_in_force_sha256_policy_bundles"
        ),
        ForeignKeyConstraint(
            ["proposal_id"],
            ["proposals.proposal_id"],
            name="fk_policy_in_force_proposal_id_proposals",
        ),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

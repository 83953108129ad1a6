"""The policy in shadow and what it would change; what was told once.

Revision ID: 0014
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
)

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constraints are named as `hyok.database.tables` names them.
    op.create_table(
        "policy_shadow",
        Column("shadow", Integer, nullable=False, autoincrement=False),
        Column("document", LargeBinary, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        PrimaryKeyConstraint("shadow", name="pk_policy_shadow"),
        CheckConstraint("shadow = 1", name=op.f("ck_policy_shadow_one")),
    )
    op.create_table(
        "policy_shadow_counts",
        Column("sha256", String(64), nullable=False),
        Column("day", Integer, nullable=False, autoincrement=False),
        Column("verdict", String(16), nullable=False),
        Column("app", String(255), nullable=False),
        Column("action", String(64), nullable=False),
        Column("bucket_id", String(63), nullable=False),
        Column("classification", String(64), nullable=False),
        Column("reason", String(255), nullable=False),
        Column("decisions", BigInteger, nullable=False),
        Column("first_ms", BigInteger, nullable=False),
        Column("last_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint(
            *("sha256", "day", "verdict", "app", "action"),
            *("bucket_id", "classification", "reason"),
            name="pk_policy_shadow_counts",
        ),
    )
    op.create_table(
        "policy_told",
        Column("name", String(255), nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("name", name="pk_policy_told"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

"""The officer API: authenticators, browser sessions, and the signature of who executes.

Revision ID: 0013
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

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", Column("method", String(16), nullable=False, server_default=""))
    op.add_column("executions", Column("proof", LargeBinary, nullable=True))
    op.create_table(
        "officer_authenticators",
        Column("identity", String(255), nullable=False),
        Column("rp_id", String(255), nullable=False),
        Column("credential_id", LargeBinary, nullable=False),
        Column("public_key", LargeBinary, nullable=False),
        Column("sign_count", BigInteger, nullable=False, server_default="0"),
        PrimaryKeyConstraint("identity", name="pk_officer_authenticators"),
        ForeignKeyConstraint(
            ["identity"],
            ["officer_identities.identity"],
            name="fk_officer_authenticators_identity_officer_identities",
        ),
    )
    op.create_table(
        "officer_sessions",
        Column("session_id", String(64), nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        Column("seen_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("session_id", name="pk_officer_sessions"),
    )
    op.create_index("ix_officer_sessions_expires_ms", "officer_sessions", ["expires_ms"])


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

"""Access keys with an end date and a last use; sessions for holders of web identity tokens.

Revision ID: 0002
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_keys", Column("expires_ms", BigInteger, nullable=True))
    op.add_column("access_keys", Column("last_used_ms", BigInteger, nullable=True))
    op.create_table(
        "web_identity_trusts",
        Column("trust_id", String(32), nullable=False),
        Column("app_id", String(64), nullable=False),
        Column("issuer", String(255), nullable=False),
        Column("subject", String(255), nullable=False),
        Column("audience", String(255), nullable=False),
        Column("duration_seconds_max", Integer, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("revoked_ms", BigInteger, nullable=True),
        PrimaryKeyConstraint("trust_id", name="pk_web_identity_trusts"),
        ForeignKeyConstraint(
            ["app_id"], ["apps.app_id"], name="fk_web_identity_trusts_app_id_apps"
        ),
        CheckConstraint(
            "state IN ('active', 'revoked')", name=op.f("ck_web_identity_trusts_state")
        ),
    )
    op.create_index("ix_web_identity_trusts_app_id", "web_identity_trusts", ["app_id"])
    op.create_table(
        "session_keys",
        Column("key_id", LargeBinary(8), nullable=False),
        Column("sealed_key", LargeBinary, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("key_id", name="pk_session_keys"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

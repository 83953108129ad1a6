"""Tokens with which apps come to the door for Vault's clients.

Revision ID: 0018
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
)

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constraints are named as `hyok.database.tables` names them.
    op.create_table(
        "door_tokens",
        Column("token_id", String(32), nullable=False),
        Column("app_id", String(64), nullable=False),
        Column("secret_sha256", LargeBinary, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        Column("revoked_ms", BigInteger, nullable=True),
        PrimaryKeyConstraint("token_id", name="pk_door_tokens"),
        ForeignKeyConstraint(["app_id"], ["apps.app_id"], name="fk_door_tokens_app_id_apps"),
        CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_door_tokens_state")),
    )
    op.create_index("ix_door_tokens_app_id", "door_tokens", ["app_id"])


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

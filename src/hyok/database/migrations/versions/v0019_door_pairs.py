"""Keys of doors that are pairs: what kind a key is, and the public half of each version.

Revision ID: 0019
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, LargeBinary, String

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = Column("kind", String(16), nullable=False, server_default="aes-256")
    op.add_column("door_keys", kind)
    op.add_column("door_key_versions", Column("public_key", LargeBinary))


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

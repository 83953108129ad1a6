"""Documents of buckets that the gateway answers itself, and buckets that are open to everybody.

Revision ID: 0004
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, Boolean, Column, false

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("buckets", Column("documents", JSON, nullable=False, server_default="{}"))
    op.add_column("buckets", Column("public", Boolean, nullable=False, server_default=false()))


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

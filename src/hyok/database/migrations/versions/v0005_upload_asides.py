"""Sealed parts held aside for buckets that lock whatever is written to them.

Revision ID: 0005
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, ForeignKeyConstraint, LargeBinary, String

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upload_asides",
        Column("upload_id", String(128), primary_key=True),
        Column("part_id", LargeBinary(16), primary_key=True),
        Column("sealed", LargeBinary, nullable=False),
        ForeignKeyConstraint(["upload_id"], ["uploads.upload_id"], ondelete="CASCADE"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

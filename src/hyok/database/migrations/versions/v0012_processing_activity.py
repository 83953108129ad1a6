"""The processing activity of an app, for the log of processing (Logboek Dataverwerkingen).

Revision ID: 0012
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = Column("processing_activity", Text, nullable=False, server_default="")
    op.add_column("apps", column)


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

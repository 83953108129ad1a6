"""How many objects a job had to leave where they are.

Revision ID: 0008
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_shards", Column("kept", BigInteger, nullable=False, server_default="0"))

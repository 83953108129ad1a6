"""How many objects a job had to leave where they are.

Revision ID: 0011
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_shards", Column("kept", BigInteger, nullable=False, server_default="0"))

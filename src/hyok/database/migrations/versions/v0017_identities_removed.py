"""What an officer signs in with can be taken away.

Revision ID: 0017
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("officer_identities", Column("removed_ms", BigInteger, nullable=True))

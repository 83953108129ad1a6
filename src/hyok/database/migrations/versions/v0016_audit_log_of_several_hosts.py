"""One audit log for several hosts: what waits for its place, what has one, and who gives it.

Revision ID: 0016
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        Column("log", Integer, nullable=False, autoincrement=False),
        Column("size", BigInteger, nullable=False),
        Column("epoch", BigInteger, nullable=False),
        Column("signed", BigInteger, nullable=False),
        PrimaryKeyConstraint("log", name="pk_audit_log"),
        CheckConstraint("log = 1", name=op.f("ck_audit_log_one")),
    )
    op.create_table(
        "audit_runs",
        Column("run", String(32), nullable=False),
        Column("host", String(32), nullable=False),
        Column("name", String(255), nullable=False),
        Column("number", BigInteger, nullable=False),
        Column("public_key", LargeBinary, nullable=False),
        Column("document", Text, nullable=False),
        Column("closed", Boolean, nullable=False),
        PrimaryKeyConstraint("run", name="pk_audit_runs"),
        UniqueConstraint("host", "number", name="uq_audit_runs_host_number"),
    )
    op.create_table(
        "audit_waiting",
        Column("run", String(32), nullable=False),
        Column("batch", BigInteger, nullable=False, autoincrement=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("lines", LargeBinary, nullable=False),
        Column("signature", LargeBinary, nullable=False),
        Column("refused", Boolean, nullable=False),
        PrimaryKeyConstraint("run", "batch", name="pk_audit_waiting"),
    )
    op.create_table(
        "audit_chunks",
        Column("first_seq", BigInteger, nullable=False, autoincrement=False),
        Column("records", BigInteger, nullable=False),
        Column("lines", LargeBinary, nullable=False),
        Column("previous", String(64), nullable=False),
        Column("state", Text, nullable=False),
        Column("run", String(32), nullable=False),
        Column("signature", LargeBinary, nullable=False),
        PrimaryKeyConstraint("first_seq", name="pk_audit_chunks"),
    )
    op.create_table(
        "audit_checkpoints",
        Column("size", BigInteger, nullable=False, autoincrement=False),
        Column("note", Text, nullable=False),
        PrimaryKeyConstraint("size", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_hosts",
        Column("host", String(32), nullable=False),
        Column("name", String(255), nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("covered", BigInteger, nullable=False),
        Column("seen_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("host", name="pk_audit_hosts"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

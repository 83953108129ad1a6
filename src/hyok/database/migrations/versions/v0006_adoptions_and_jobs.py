"""Buckets that held plaintext before they were ours, and jobs with their shards.

Revision ID: 0006
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    false,
)

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("buckets", Column("adoption", String(16), nullable=False, server_default=""))
    op.create_table(
        "adoptions",
        Column("bucket_id", String(63), nullable=False),
        Column("sealed_key", LargeBinary, nullable=False),
        Column("objects", BigInteger, nullable=False, server_default="0"),
        Column("size_bytes", BigInteger, nullable=False, server_default="0"),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("bucket_id", name="pk_adoptions"),
    )
    op.create_table(
        "adopted_objects",
        Column("bucket_id", String(63), nullable=False),
        Column("row_id", LargeBinary(16), nullable=False),
        Column("entry", LargeBinary, nullable=False),
        Column("state", String(8), nullable=False),
        ForeignKeyConstraint(
            ["bucket_id"],
            ["adoptions.bucket_id"],
            name="fk_adopted_objects_bucket_id_adoptions",
            ondelete="CASCADE",
        ),
        CheckConstraint("state IN ('plain', 'replaced')", name="state"),
        PrimaryKeyConstraint("bucket_id", "row_id", name="pk_adopted_objects"),
    )
    op.create_table(
        "jobs",
        Column("job_id", String(32), nullable=False),
        Column("kind", String(32), nullable=False),
        Column("bucket_id", String(63), nullable=False),
        Column("state", String(16), nullable=False),
        Column("cause", Text, nullable=False, server_default=""),
        Column("begun_by", String(128), nullable=False),
        Column("objects_total", BigInteger, nullable=False),
        Column("bytes_total", BigInteger, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("ended_ms", BigInteger, nullable=True),
        CheckConstraint("state IN ('open', 'paused', 'cancelled', 'done')", name="state"),
        PrimaryKeyConstraint("job_id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_bucket_id_kind", "jobs", ["bucket_id", "kind"])
    op.create_table(
        "job_shards",
        Column("job_id", String(32), nullable=False),
        Column("shard", Integer, nullable=False),
        Column("start", Text, nullable=False),
        Column("stop", Text, nullable=False),
        Column("cursor", Text, nullable=False, server_default=""),
        Column("finished", Boolean, nullable=False, server_default=false()),
        Column("objects", BigInteger, nullable=False, server_default="0"),
        Column("size_bytes", BigInteger, nullable=False, server_default="0"),
        Column("skipped", BigInteger, nullable=False, server_default="0"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("not_before_ms", BigInteger, nullable=False, server_default="0"),
        ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_job_shards_job_id_jobs", ondelete="CASCADE"
        ),
        PrimaryKeyConstraint("job_id", "shard", name="pk_job_shards"),
    )
    op.create_table(
        "job_failures",
        Column("job_id", String(32), nullable=False),
        Column("item", LargeBinary, nullable=False),
        Column("cause", String(64), nullable=False),
        Column("text", Text, nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_job_failures_job_id_jobs", ondelete="CASCADE"
        ),
        PrimaryKeyConstraint("job_id", "item", name="pk_job_failures"),
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

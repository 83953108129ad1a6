"""Tables of bulk work: what stood in a bucket in clear, and how far jobs have come."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
)

from hyok.database.metadata import metadata

# A bucket that held plaintext when it was registered: the key of its inventory, and what was
# counted.  It is written before the bucket is registered, so nothing refers to that row.
adoptions = Table(
    "adoptions",
    metadata,
    Column("bucket_id", String(63), primary_key=True),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("objects", BigInteger, nullable=False, server_default="0"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("created_ms", BigInteger, nullable=False),
)

# The objects that were counted and that nobody has sealed, replaced or removed since.
adopted_objects = Table(
    "adopted_objects",
    metadata,
    Column("bucket_id", String(63), primary_key=True),
    Column("row_id", LargeBinary(16), primary_key=True),  # of the name, under the inventory's key
    Column("entry", LargeBinary, nullable=False),  # name, store ETag and size, sealed
    # plain | replaced: a sealed object of this key stands elsewhere, the plain bytes may still be.
    Column("state", String(8), nullable=False),
    ForeignKeyConstraint(["bucket_id"], ["adoptions.bucket_id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('plain', 'replaced')", name="state"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("bucket_id", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("cause", Text, nullable=False, server_default=""),  # why it stands still
    Column("begun_by", String(128), nullable=False),
    Column("objects_total", BigInteger, nullable=False),
    Column("bytes_total", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('open', 'paused', 'cancelled', 'done')", name="state"),
    Index(None, "bucket_id", "kind"),
)

# A key range of a job, and how far it has come.
job_shards = Table(
    "job_shards",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("start", Text, nullable=False),
    Column("stop", Text, nullable=False),  # empty: to the end
    Column("cursor", Text, nullable=False, server_default=""),
    Column("finished", Boolean, nullable=False, server_default=false()),
    Column("objects", BigInteger, nullable=False, server_default="0"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("skipped", BigInteger, nullable=False, server_default="0"),
    Column("kept", BigInteger, nullable=False, server_default="0"),  # had to be left as they are
    Column("attempts", Integer, nullable=False, server_default="0"),  # since the last good step
    Column("not_before_ms", BigInteger, nullable=False, server_default="0"),
    ForeignKeyConstraint(["job_id"], ["jobs.job_id"], ondelete="CASCADE"),
)

job_failures = Table(
    "job_failures",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("item", LargeBinary, primary_key=True),  # what only the job's kind can read
    Column("cause", String(64), nullable=False),  # kind and code, to group by
    Column("text", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.job_id"], ondelete="CASCADE"),
)

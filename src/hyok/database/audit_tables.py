"""Tables of an audit log that several hosts write; PostgreSQL alone fills them.

Source: docs/audit-log.md, section 12.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hyok.database.metadata import metadata

# How long the log is, and which sequencer may make it longer.
audit_log = Table(
    "audit_log",
    metadata,
    Column("log", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("size", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # one more with each sequencer
    Column("signed", BigInteger, nullable=False),  # records in the newest checkpoint
    CheckConstraint("log = 1", name="one"),
)

# Each start of a writer, with the key of its own under which it signs what it writes.
audit_runs = Table(
    "audit_runs",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("host", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("number", BigInteger, nullable=False),  # counts the runs of a host
    Column("public_key", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),  # signed in the HSM; empty: not yet
    Column("closed", Boolean, nullable=False),  # a later run of the same host began
    UniqueConstraint("host", "number"),
)

# What was acknowledged and has no place in the log yet.
audit_waiting = Table(
    "audit_waiting",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("batch", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("refused", Boolean, nullable=False),  # not what its writer wrote; kept to be looked at
)

# Records in their order, until every host has them in its file.
audit_chunks = Table(
    "audit_chunks",
    metadata,
    Column("first_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("records", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("state", Text, nullable=False),
    Column("run", String(32), nullable=False),  # of the sequencer
    Column("signature", LargeBinary, nullable=False),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)

# How far the file of each host has come.
audit_hosts = Table(
    "audit_hosts",
    metadata,
    Column("host", String(32), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("covered", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)

NOT_COPIED = frozenset(
    {audit_log, audit_runs, audit_waiting, audit_chunks, audit_checkpoints, audit_hosts}
)
"""Left out of backups: they go with the files of the log, and older ones would fork it."""

"""Tables of what officers are, said and did, and of the policies that they put in force."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from hyok.database.metadata import NAME_CHARS_MAX, metadata

# Who decides.  `officer_register` seals a digest of all rows of the first two tables, so that none
# of them can be changed alone.
officers = Table(
    "officers",
    metadata,
    Column("person", String(NAME_CHARS_MAX), primary_key=True),
    Column("name", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # active | revoked
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
)

officer_identities = Table(
    "officer_identities",
    metadata,
    Column("identity", String(255), primary_key=True),  # kind:value; belongs to one person for ever
    Column("person", String(NAME_CHARS_MAX), ForeignKey("officers.person"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # Taken away: the row stays, since what was signed with it was signed by this person.
    Column("removed_ms", BigInteger, nullable=True),
    Index(None, "person"),
)

officer_authenticators = Table(
    "officer_authenticators",
    metadata,
    # The identity holds a digest of site and key: another key in this row opens nothing.
    Column("identity", String(255), ForeignKey("officer_identities.identity"), primary_key=True),
    Column("rp_id", String(255), nullable=False),
    Column("credential_id", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),  # COSE
    Column("sign_count", BigInteger, nullable=False, server_default="0"),
)

officer_sessions = Table(
    "officer_sessions",
    metadata,
    Column("session_id", String(64), primary_key=True),  # SHA-256 of what the browser holds, hex
    Column("sealed", LargeBinary, nullable=False),  # whose, since when, and how signed in
    Column("expires_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Index(None, "expires_ms"),
)

officer_register = Table(
    "officer_register",
    metadata,
    Column("register", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("number", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    CheckConstraint("register = 1", name="one"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("proposal_id", String(32), primary_key=True),
    Column("act", String(32), nullable=False),
    Column("author", String(NAME_CHARS_MAX), nullable=False),
    Column("state", String(16), nullable=False),
    Column(
        "sealed", LargeBinary, nullable=False
    ),  # the canonical bytes; the rest is for looking up
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Index(None, "state", "created_ms"),
)

officer_decisions = Table(
    "officer_decisions",
    metadata,
    Column("proposal_id", String(32), ForeignKey("proposals.proposal_id"), primary_key=True),
    Column("sequence", Integer, primary_key=True),  # 0: the author's own act
    Column("person", String(NAME_CHARS_MAX), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("method", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("proof", LargeBinary, nullable=False),  # signature, or a sealed value of the HSM's
    UniqueConstraint("proposal_id", "person", "verdict"),
)

executions = Table(
    "executions",
    metadata,
    Column("proposal_id", String(32), ForeignKey("proposals.proposal_id"), primary_key=True),
    Column("executor", String(NAME_CHARS_MAX), nullable=False),
    Column("claimed_ms", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),  # running | done | failed
    Column("method", String(16), nullable=False, server_default=""),  # how the executor signed
    Column("proof", LargeBinary, nullable=True),
    Column("sealed", LargeBinary, nullable=False),  # digest, executor, time and outcome
    Column("finished_ms", BigInteger, nullable=True),
    CheckConstraint("outcome IN ('running', 'done', 'failed')", name="outcome"),
)

break_glass = Table(
    "break_glass",
    metadata,
    Column("grant_id", String(32), ForeignKey("proposals.proposal_id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # for whom, what, from when until when
    Column("ends_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=True),  # null: nobody was told yet that it ended
    Column("review_due_ms", BigInteger, nullable=False),
    Column("sealed_review", LargeBinary, nullable=True),  # null: the review is open
    Index(None, "ended_ms"),
)

# What was destroyed and how it was shown: the text whose SHA-256 stands in the audit log.
statements = Table(
    "statements",
    metadata,
    Column("proposal_id", String(32), ForeignKey("proposals.proposal_id"), primary_key=True),
    Column("document", Text, nullable=False),  # JSON; a draft until it is final
    Column("final", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# Bundles as they were proposed, by their digest; only an executed proposal puts one in force.
policy_bundles = Table(
    "policy_bundles",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

policy_in_force = Table(
    "policy_in_force",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", String(64), ForeignKey("policy_bundles.sha256"), nullable=False),
    Column("proposal_id", String(32), ForeignKey("proposals.proposal_id"), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

# A candidate that is decided beside the policy in force and answers nobody.  It stands apart from
# bundles: no row of this table leads to `policy_in_force`.
policy_shadow = Table(
    "policy_shadow",
    metadata,
    Column("shadow", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("document", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),  # its digest, by whom, since when and why
    CheckConstraint("shadow = 1", name="one"),
)

policy_shadow_counts = Table(
    "policy_shadow_counts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970
    Column("verdict", String(16), primary_key=True),
    Column("app", String(255), primary_key=True),
    Column("action", String(64), primary_key=True),
    Column("bucket_id", String(63), primary_key=True),
    Column("classification", String(64), primary_key=True),
    Column("reason", String(255), primary_key=True),
    Column("decisions", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)

# What is told once in an installation, whichever process comes to tell it.
policy_told = Table(
    "policy_told",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

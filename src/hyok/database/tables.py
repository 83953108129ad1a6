"""Every table, once.  Times are unix milliseconds; ids and bytes are what format.md says.

Only types that SQLite and PostgreSQL share.  Rows are read and written by the folder that owns the
noun (custody: keks, keyring, tombstones; identity: apps, access keys, trusts, session keys;
objects: buckets, uploads).
What officers are, said and did is custody's: officers, proposals, break_glass; so are door keys.
A change here needs a migration; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

NAME_CHARS_MAX = 64
"""Tenants, classifications, kek ids and stores: format.md bounds a kek_id to 64 bytes."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tenants = Table(
    "tenants",
    metadata,
    Column("tenant", String(NAME_CHARS_MAX), primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("created_ms", BigInteger, nullable=False),
)

apps = Table(
    "apps",
    metadata,
    Column("app_id", String(NAME_CHARS_MAX), primary_key=True),
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), nullable=False),
    Column("clearance", Integer, nullable=False),  # the highest level of classification
    Column("purpose", Text, nullable=False, server_default=""),
    # A URI in the register of processing activities; empty where the app handles no personal data.
    Column("processing_activity", Text, nullable=False, server_default=""),
    # A list of bucket ids, or null for every bucket of the tenant.  Null is not the empty list:
    # taking away an app's last bucket must not hand it all of them.
    Column("buckets", JSON(none_as_null=True), nullable=True),
    Column("grants", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # active | revoked
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "tenant"),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key", String(32), primary_key=True),
    Column("app_id", String(NAME_CHARS_MAX), ForeignKey("apps.app_id"), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),  # active | revoked
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    Column("expires_ms", BigInteger, nullable=True),  # null: it has no end date
    Column("last_used_ms", BigInteger, nullable=True),  # written about once a minute
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "app_id"),
)

# Whose tokens may act as which app: issuer, audience and subject all have to fit.
web_identity_trusts = Table(
    "web_identity_trusts",
    metadata,
    Column("trust_id", String(32), primary_key=True),
    Column("app_id", String(NAME_CHARS_MAX), ForeignKey("apps.app_id"), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),  # exact, or a prefix that ends in *
    Column("audience", String(255), nullable=False),
    Column("duration_seconds_max", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # active | revoked
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "app_id"),
)

# Keys under which session tokens are sealed; the sessions themselves stand nowhere.
session_keys = Table(
    "session_keys",
    metadata,
    Column("key_id", LargeBinary(8), primary_key=True),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

stores = Table(
    "stores",
    metadata,
    Column("store", String(NAME_CHARS_MAX), primary_key=True),
    Column("kind", String(32), nullable=False),  # s3 | files | ...
    Column("facts", JSON, nullable=False),  # jurisdiction, control, use case, supplier, region
    Column("abilities", JSON, nullable=False),  # what the probe at registration found
    Column("sealed_credentials", LargeBinary, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
)

buckets = Table(
    "buckets",
    metadata,
    Column("bucket_id", String(63), primary_key=True),  # the name clients use
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), nullable=False),
    # A store's name; no foreign key, since a store may stand in the settings alone.
    Column("store", String(NAME_CHARS_MAX), nullable=False),
    Column("backend_name", String(255), nullable=False),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("names", String(8), nullable=False),  # clear | sealed
    Column("names_ik_id", LargeBinary, nullable=True),
    Column("allowed", JSON, nullable=False),  # classifications ever allowed here
    Column("prefix_rules", JSON, nullable=False),
    Column("state", String(16), nullable=False, server_default="active"),
    Column("created_ms", BigInteger, nullable=False),
    # What clients set and we answer ourselves, by kind (cors, tagging): the document's text.
    Column("documents", JSON, nullable=False, server_default="{}"),
    Column("public", Boolean, nullable=False, server_default=false()),  # may be read unsigned
    # How plaintext that stood there before is treated; empty: the bucket was made by us.
    Column("adoption", String(16), nullable=False, server_default=""),
    CheckConstraint("names IN ('clear', 'sealed')", name="names"),
    UniqueConstraint("store", "backend_name"),
    Index(None, "tenant"),
)

keks = Table(
    "keks",
    metadata,
    Column("kek_id", String(NAME_CHARS_MAX), primary_key=True),
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), nullable=False),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("version", Integer, nullable=False),
    Column("profile", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("check_value", LargeBinary, nullable=False),
    Column("check_token", LargeBinary, nullable=False),
    Column("origin", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("profile BETWEEN 1 AND 4", name="profile"),
    UniqueConstraint("tenant", "classification", "version"),
)

keyring = Table(
    "keyring",
    metadata,
    Column("ik_id", LargeBinary(16), primary_key=True),
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), nullable=False),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("kek_id", String(NAME_CHARS_MAX), ForeignKey("keks.kek_id"), nullable=False),
    # Null once destroyed: the row stays as a witness, the key does not.
    Column("record", LargeBinary, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("writes", BigInteger, nullable=False, server_default="0"),
    Column("current", Boolean, nullable=False),
    Column("destroyed_ms", BigInteger, nullable=True),
    CheckConstraint("(record IS NULL) = (destroyed_ms IS NOT NULL)", name="destroyed"),
    CheckConstraint("destroyed_ms IS NULL OR NOT current", name="destroyed_not_current"),
    Index(
        "uq_keyring_one_current",
        "tenant",
        "classification",
        "scope",
        unique=True,
        sqlite_where=text("current"),
        postgresql_where=text("current"),
    ),
    Index(None, "tenant", "scope"),
    Index(None, "kek_id"),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("tenant", String(NAME_CHARS_MAX), nullable=False, primary_key=True),
    Column("ik_id", LargeBinary(16), primary_key=True),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("kek_id", String(NAME_CHARS_MAX), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("destroyed_ms", BigInteger, nullable=False),
    Column("horizon_ms", BigInteger, nullable=True),  # when no backup holds the record any more
    Index(None, "tenant", "scope"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(128), primary_key=True),  # ours, the one clients see
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), nullable=False),
    Column("bucket_id", String(63), ForeignKey("buckets.bucket_id"), nullable=False),
    Column("object_key", Text, nullable=False),
    Column("store_upload_id", Text, nullable=False),
    Column("object_id", LargeBinary(16), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("checksum_algorithm", String(16), nullable=False, server_default=""),
    Column("checksum_type", String(16), nullable=False, server_default=""),
    Column("app_id", String(NAME_CHARS_MAX), nullable=False, server_default=""),  # who began it
    Column("state", String(16), nullable=False),  # open | done
    # What a repeated Complete is told again; null while the upload is open.
    Column("result", JSON(none_as_null=True), nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "bucket_id", "object_key"),
    Index(None, "created_ms"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload_id", String(128), primary_key=True),
    Column("part_number", Integer, primary_key=True),
    Column("store_etag", Text, nullable=False),
    Column("part_id", LargeBinary(16), nullable=False),
    Column("plain_size", BigInteger, nullable=False),
    Column("checksum_algorithm", String(16), nullable=False, server_default=""),
    Column("checksum", Text, nullable=False, server_default=""),
    Column("aside", Text, nullable=False, server_default=""),  # object that holds it, if held aside
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["upload_id"], ["uploads.upload_id"], ondelete="CASCADE"),
    CheckConstraint("part_number BETWEEN 1 AND 10000", name="part_number"),
)

upload_asides = Table(  # sealed parts that may not stand in a bucket which locks what is written
    "upload_asides",
    metadata,
    Column("upload_id", String(128), primary_key=True),
    Column("part_id", LargeBinary(16), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # a little more than 5 MiB at most
    ForeignKeyConstraint(["upload_id"], ["uploads.upload_id"], ondelete="CASCADE"),
)

epochs = Table(
    "epochs",
    metadata,
    Column("name", String(NAME_CHARS_MAX), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("holder", LargeBinary(16), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

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

# What nobody uses until it is thawed.
freezes = Table(
    "freezes",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("kind IN ('app', 'bucket', 'tenant', 'store', 'key', 'door')", name="kind"),
)

# Keys that doors use for others; each version is a key of its own in the HSM, named after its row.
door_keys = Table(
    "door_keys",
    metadata,
    Column("tenant", String(NAME_CHARS_MAX), ForeignKey("tenants.tenant"), primary_key=True),
    Column("name", String(NAME_CHARS_MAX), primary_key=True),
    Column("classification", String(NAME_CHARS_MAX), nullable=False),
    Column("apps", JSON, nullable=False),  # ids of the apps that it serves
    Column("usage", JSON, nullable=False),  # encrypt, decrypt
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

door_key_versions = Table(
    "door_key_versions",
    metadata,
    Column("tenant", String(NAME_CHARS_MAX), primary_key=True),
    Column("name", String(NAME_CHARS_MAX), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("check_value", LargeBinary, nullable=False),
    Column("check_token", LargeBinary, nullable=False),
    Column("uses", BigInteger, nullable=False, server_default="0"),  # encryptions, set aside first
    Column("created_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["tenant", "name"], ["door_keys.tenant", "door_keys.name"]),
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

# ── the audit log of several hosts (docs/audit-log.md, section 12); PostgreSQL alone fills these ──

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

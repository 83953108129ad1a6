"""Every table, once.  Times are unix milliseconds; ids and bytes are what format.md says.

Only types that SQLite and PostgreSQL share.  Rows are read and written by the folder that owns the
noun (custody: keks, keyring, tombstones; identity: apps, access keys, trusts, session keys;
objects: buckets, uploads).
What officers are, said and did is custody's: officers, proposals, break_glass; so are door keys.
Those of officers, of bulk work and of the audit log stand in modules of their own and are named
here as well.  A change needs a migration; a test compares the two.
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
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from hyok.database.audit_tables import (
    NOT_COPIED,
    audit_checkpoints,
    audit_chunks,
    audit_hosts,
    audit_log,
    audit_runs,
    audit_waiting,
)
from hyok.database.job_tables import adopted_objects, adoptions, job_failures, job_shards, jobs
from hyok.database.metadata import NAME_CHARS_MAX, metadata
from hyok.database.officer_tables import (
    break_glass,
    executions,
    officer_authenticators,
    officer_decisions,
    officer_identities,
    officer_register,
    officer_sessions,
    officers,
    policy_bundles,
    policy_in_force,
    policy_shadow,
    policy_shadow_counts,
    policy_told,
    proposals,
    statements,
)

__all__ = [
    "NAME_CHARS_MAX",
    "NOT_COPIED",
    "adopted_objects",
    "adoptions",
    "audit_checkpoints",
    "audit_chunks",
    "audit_hosts",
    "audit_log",
    "audit_runs",
    "audit_waiting",
    "break_glass",
    "executions",
    "job_failures",
    "job_shards",
    "jobs",
    "metadata",
    "officer_authenticators",
    "officer_decisions",
    "officer_identities",
    "officer_register",
    "officer_sessions",
    "officers",
    "policy_bundles",
    "policy_in_force",
    "policy_shadow",
    "policy_shadow_counts",
    "policy_told",
    "proposals",
    "statements",
]

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
    Column("kind", String(16), nullable=False, server_default="aes-256"),  # or rsa-3072 …
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
    Column("public_key", LargeBinary),  # of a pair; DER
    ForeignKeyConstraint(["tenant", "name"], ["door_keys.tenant", "door_keys.name"]),
)

# Tokens with which apps come to the door for Vault's clients: what stands here lets nobody in.
door_tokens = Table(
    "door_tokens",
    metadata,
    Column("token_id", String(32), primary_key=True),
    Column("app_id", String(NAME_CHARS_MAX), ForeignKey("apps.app_id"), nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),  # of 262 random bits
    Column("state", String(16), nullable=False),  # active | revoked
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "app_id"),
)

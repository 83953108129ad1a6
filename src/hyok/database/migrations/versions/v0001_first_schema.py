"""The first schema.

A frozen copy: it must go on making what it made, whatever becomes of `hyok.database.tables`.

Revision ID: 0001
"""

from __future__ import annotations

from alembic import op
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
    text,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Table(
    "tenants",
    METADATA,
    Column("tenant", String(64), primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("created_ms", BigInteger, nullable=False),
)

Table(
    "apps",
    METADATA,
    Column("app_id", String(64), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("clearance", Integer, nullable=False),
    Column("purpose", Text, nullable=False, server_default=""),
    Column("buckets", JSON(none_as_null=True), nullable=True),
    Column("grants", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "tenant"),
)

Table(
    "access_keys",
    METADATA,
    Column("access_key", String(32), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.app_id"), nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
    CheckConstraint("state IN ('active', 'revoked')", name="state"),
    Index(None, "app_id"),
)

Table(
    "stores",
    METADATA,
    Column("store", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("facts", JSON, nullable=False),
    Column("abilities", JSON, nullable=False),
    Column("sealed_credentials", LargeBinary, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
)

Table(
    "buckets",
    METADATA,
    Column("bucket_id", String(63), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("store", String(64), nullable=False),
    Column("backend_name", String(255), nullable=False),
    Column("classification", String(64), nullable=False),
    Column("names", String(8), nullable=False),
    Column("names_ik_id", LargeBinary, nullable=True),
    Column("allowed", JSON, nullable=False),
    Column("prefix_rules", JSON, nullable=False),
    Column("state", String(16), nullable=False, server_default="active"),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("names IN ('clear', 'sealed')", name="names"),
    UniqueConstraint("store", "backend_name"),
    Index(None, "tenant"),
)

Table(
    "keks",
    METADATA,
    Column("kek_id", String(64), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("classification", String(64), nullable=False),
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

Table(
    "keyring",
    METADATA,
    Column("ik_id", LargeBinary(16), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("classification", String(64), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("kek_id", String(64), ForeignKey("keks.kek_id"), nullable=False),
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

Table(
    "tombstones",
    METADATA,
    Column("tenant", String(64), nullable=False, primary_key=True),
    Column("ik_id", LargeBinary(16), primary_key=True),
    Column("classification", String(64), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("kek_id", String(64), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("destroyed_ms", BigInteger, nullable=False),
    Column("horizon_ms", BigInteger, nullable=True),
    Index(None, "tenant", "scope"),
)

Table(
    "uploads",
    METADATA,
    Column("upload_id", String(128), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("bucket_id", String(63), ForeignKey("buckets.bucket_id"), nullable=False),
    Column("object_key", Text, nullable=False),
    Column("store_upload_id", Text, nullable=False),
    Column("object_id", LargeBinary(16), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("classification", String(64), nullable=False),
    Column("checksum_algorithm", String(16), nullable=False, server_default=""),
    Column("checksum_type", String(16), nullable=False, server_default=""),
    Column("app_id", String(64), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("result", JSON(none_as_null=True), nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "bucket_id", "object_key"),
    Index(None, "created_ms"),
)

Table(
    "upload_parts",
    METADATA,
    Column("upload_id", String(128), primary_key=True),
    Column("part_number", Integer, primary_key=True),
    Column("store_etag", Text, nullable=False),
    Column("part_id", LargeBinary(16), nullable=False),
    Column("plain_size", BigInteger, nullable=False),
    Column("checksum_algorithm", String(16), nullable=False, server_default=""),
    Column("checksum", Text, nullable=False, server_default=""),
    Column("aside", Text, nullable=False, server_default=""),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(["upload_id"], ["uploads.upload_id"], ondelete="CASCADE"),
    CheckConstraint("part_number BETWEEN 1 AND 10000", name="part_number"),
)

Table(
    "epochs",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

Table(
    "settings",
    METADATA,
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)


def upgrade() -> None:
    METADATA.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

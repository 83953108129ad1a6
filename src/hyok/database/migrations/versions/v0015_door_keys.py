"""Keys that doors use for others; a key and a door can be frozen.

Revision ID: 0015
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
)

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('app', 'bucket', 'tenant', 'store', 'key', 'door')"


def upgrade() -> None:
    # Constraints are named as `hyok.database.tables` names them.
    op.create_table(
        "door_keys",
        Column("tenant", String(64), nullable=False),
        Column("name", String(64), nullable=False),
        Column("classification", String(64), nullable=False),
        Column("apps", JSON, nullable=False),
        Column("usage", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("tenant", "name", name="pk_door_keys"),
        ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name="fk_door_keys_tenant_tenants"),
    )
    op.create_table(
        "door_key_versions",
        Column("tenant", String(64), nullable=False),
        Column("name", String(64), nullable=False),
        Column("version", Integer, nullable=False, autoincrement=False),
        Column("state", String(16), nullable=False),
        Column("check_value", LargeBinary, nullable=False),
        Column("check_token", LargeBinary, nullable=False),
        Column("uses", BigInteger, nullable=False, server_default="0"),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("tenant", "name", "version", name="pk_door_key_versions"),
        ForeignKeyConstraint(
            ["tenant", "name"],
            ["door_keys.tenant", "door_keys.name"],
            name="fk_door_key_versions_tenant_name_door_keys",
        ),
    )
    _let_more_be_frozen()


def _let_more_be_frozen() -> None:
    name = op.f("ck_freezes_kind")
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(name, "freezes", type_="check")
        op.create_check_constraint(name, "freezes", _KINDS)
        return
    # SQLite changes no constraint in place: the table is made anew around its rows.
    op.rename_table("freezes", "freezes_before")
    op.create_table(
        "freezes",
        Column("kind", String(8), nullable=False),
        Column("name", String(128), nullable=False),
        Column("since_ms", BigInteger, nullable=False),
        Column("by", String(128), nullable=False),
        Column("reason", Text, nullable=False),
        PrimaryKeyConstraint("kind", "name", name="pk_freezes"),
        CheckConstraint(_KINDS, name=name),
    )
    op.execute("INSERT INTO freezes SELECT * FROM freezes_before")
    op.drop_table("freezes_before")


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

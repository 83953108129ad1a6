"""Officers, their proposals and decisions, what was executed, and break-glass.

Revision ID: 0007
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
    UniqueConstraint,
)

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _officers()
    _proposals()


def _officers() -> None:
    op.create_table(
        "officers",
        Column("person", String(64), nullable=False),
        Column("name", Text, nullable=False),
        Column("roles", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("revoked_ms", BigInteger, nullable=True),
        PrimaryKeyConstraint("person", name="pk_officers"),
        CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_officers_state")),
    )
    op.create_table(
        "officer_identities",
        Column("identity", String(255), nullable=False),
        Column("person", String(64), nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("identity", name="pk_officer_identities"),
        ForeignKeyConstraint(
            ["person"], ["officers.person"], name="fk_officer_identities_person_officers"
        ),
    )
    op.create_index("ix_officer_identities_person", "officer_identities", ["person"])
    op.create_table(
        "officer_register",
        Column("register", Integer, nullable=False, autoincrement=False),
        Column("number", BigInteger, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        PrimaryKeyConstraint("register", name="pk_officer_register"),
        CheckConstraint("register = 1", name=op.f("ck_officer_register_one")),
    )


def _proposals() -> None:
    op.create_table(
        "proposals",
        Column("proposal_id", String(32), nullable=False),
        Column("act", String(32), nullable=False),
        Column("author", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger, nullable=False),
        PrimaryKeyConstraint("proposal_id", name="pk_proposals"),
    )
    op.create_index("ix_proposals_state_created_ms", "proposals", ["state", "created_ms"])
    op.create_table(
        "officer_decisions",
        Column("proposal_id", String(32), nullable=False),
        Column("sequence", Integer, nullable=False, autoincrement=False),
        Column("person", String(64), nullable=False),
        Column("verdict", String(16), nullable=False),
        Column("method", String(16), nullable=False),
        Column("at_ms", BigInteger, nullable=False),
        Column("reason", Text, nullable=False, server_default=""),
        Column("proof", LargeBinary, nullable=False),
        PrimaryKeyConstraint("proposal_id", "sequence", name="pk_officer_decisions"),
        UniqueConstraint(
            "proposal_id",
            "person",
            "verdict",
            name="uq_officer_decisions_proposal_id_person_verdict",
        ),
        _of_proposal("officer_decisions", "proposal_id"),
    )
    op.create_table(
        "executions",
        Column("proposal_id", String(32), nullable=False),
        Column("executor", String(64), nullable=False),
        Column("claimed_ms", BigInteger, nullable=False),
        Column("outcome", String(16), nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("finished_ms", BigInteger, nullable=True),
        PrimaryKeyConstraint("proposal_id", name="pk_executions"),
        CheckConstraint(
            "outcome IN ('running', 'done', 'failed')", name=op.f("ck_executions_outcome")
        ),
        _of_proposal("executions", "proposal_id"),
    )
    op.create_table(
        "break_glass",
        Column("grant_id", String(32), nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("ends_ms", BigInteger, nullable=False),
        Column("ended_ms", BigInteger, nullable=True),
        Column("review_due_ms", BigInteger, nullable=False),
        Column("sealed_review", LargeBinary, nullable=True),
        PrimaryKeyConstraint("grant_id", name="pk_break_glass"),
        _of_proposal("break_glass", "grant_id"),
    )
    op.create_index("ix_break_glass_ended_ms", "break_glass", ["ended_ms"])


def _of_proposal(table: str, column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        [column], ["proposals.proposal_id"], name=f"fk_{table}_{column}_proposals"
    )


def downgrade() -> None:
    raise NotImplementedError("Going back means restoring the backup made before the upgrade.")

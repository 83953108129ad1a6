"""What all tables share: how constraints are named, and how long a name may be."""

from __future__ import annotations

from sqlalchemy import MetaData

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

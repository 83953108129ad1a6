"""Small acts on rows that several folders share: epochs, settings, and the one current IK.

Each takes the connection of a transaction that `Database.run` began.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from hyok.database.tables import epochs, keyring, settings

BACKUP_MADE = "backup.made_ms"
"""The setting that says when the last backup was made, unix milliseconds."""

DRILL_PASSED = "drill.passed_ms"
"""The setting that says when a restore drill was last passed, unix milliseconds."""


@dataclass(frozen=True, slots=True)
class NewIK:
    """A keyring row about to become the current one of its (tenant, classification, scope)."""

    ik_id: bytes
    tenant: str
    classification: str
    scope: str
    kek_id: str
    record: bytes
    created_ms: int


def epoch(connection: Connection, name: str) -> int:
    """Return how often ``name`` was bumped; 0 if never."""
    value = connection.scalar(select(epochs.c.value).where(epochs.c.name == name))
    return 0 if value is None else value


def bump_epoch(connection: Connection, name: str) -> int:
    """Add one to the epoch and return it: caches that saw the number before are stale."""
    more = update(epochs).where(epochs.c.name == name).values(value=epochs.c.value + 1)
    if connection.execute(more).rowcount == 0:
        try:
            with connection.begin_nested():
                connection.execute(insert(epochs).values(name=name, value=1))
        except IntegrityError:  # PostgreSQL: another transaction made the row just now
            connection.execute(more)
    return epoch(connection, name)


def setting(connection: Connection, name: str) -> str | None:
    """Return a setting kept in the database; None if it was never put."""
    return connection.scalar(select(settings.c.value).where(settings.c.name == name))


def put_setting(connection: Connection, name: str, value: str, *, now_ms: int) -> None:
    """Keep ``value`` under ``name``, whether or not something stood there."""
    fresh = {"value": value, "changed_ms": now_ms}
    change = update(settings).where(settings.c.name == name).values(**fresh)
    if connection.execute(change).rowcount == 0:
        try:
            with connection.begin_nested():
                connection.execute(insert(settings).values(name=name, **fresh))
        except IntegrityError:  # as in bump_epoch
            connection.execute(change)


def current_ik(
    connection: Connection, tenant: str, classification: str, scope: str
) -> bytes | None:
    """Return the ik_id that new objects of this scope are written under; None if there is none."""
    return connection.scalar(
        select(keyring.c.ik_id).where(
            keyring.c.tenant == tenant,
            keyring.c.classification == classification,
            keyring.c.scope == scope,
            keyring.c.current,
        )
    )


def make_current(connection: Connection, new: NewIK, *, instead_of: bytes | None) -> bytes | None:
    """Make ``new`` the current IK if ``instead_of`` still is; return the ik_id that is current now.

    Compare-and-set over the whole installation: of all who try with the same ``instead_of``, one
    gets its own ik_id back; the others get the winner's, and their own record was not kept.
    ``instead_of=None`` means "if there is none"; a None that comes back means that the current one
    was destroyed meanwhile.

    Raises:
        IntegrityError: not a race: the KEK or the tenant is unknown, or the ik_id is taken.
    """
    place = (new.tenant, new.classification, new.scope)
    if instead_of is not None:
        retired = connection.execute(
            update(keyring)
            .where(
                keyring.c.ik_id == instead_of,
                keyring.c.tenant == new.tenant,
                keyring.c.classification == new.classification,
                keyring.c.scope == new.scope,
                keyring.c.current,
            )
            .values(current=False)
        )
        if retired.rowcount != 1:
            return current_ik(connection, *place)
    elif (seen := current_ik(connection, *place)) is not None:
        return seen
    row = {field.name: getattr(new, field.name) for field in fields(new)}
    try:
        with connection.begin_nested():
            connection.execute(insert(keyring).values(**row, writes=0, current=True))
    except IntegrityError:
        # PostgreSQL: another transaction committed its row between our look and our insert.
        winner = current_ik(connection, *place)
        if winner is None:
            raise
        return winner
    return new.ik_id

"""KeyringRows: the table `keyring`: which IK is current, how often it wrote, what its record is.

Changed by compare-and-set: of all processes of the installation one makes the current IK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, insert, or_, select, update

from hyok.custody.keks import KEYRING_EPOCH
from hyok.database.rows import bump_epoch
from hyok.database.tables import keyring, tombstones
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection

    from hyok.custody.intermediate_key import IK
    from hyok.database.engine import Database


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the database has it; ``raw`` is None where it has none, or not any more."""

    ik_id: bytes
    raw: bytes | None
    created_ms: int
    destroyed: bool = False
    classification: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record and the key version that keeps it."""

    ik_id: bytes
    scope: str
    kek_id: str
    raw: bytes


class KeyringRows:
    """All keyring records of the installation, as rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, tenant: str, classification: str, scope: str) -> Row | None:
        """Return the one that writes now."""

        def act(connection: Connection) -> Row | None:
            row = connection.execute(
                select(keyring.c.ik_id, keyring.c.record, keyring.c.created_ms).where(
                    keyring.c.tenant == tenant,
                    keyring.c.classification == classification,
                    keyring.c.scope == scope,
                    keyring.c.current,
                )
            ).one_or_none()
            return None if row is None else Row(row.ik_id, row.record, row.created_ms)

        return await self._database.read(act)

    async def add(self, tenant: str, ik: IK) -> bool:
        """Write down a new current one; False when another process was first."""

        def act(connection: Connection) -> None:
            connection.execute(
                insert(keyring).values(
                    ik_id=ik.ik_id,
                    tenant=tenant,
                    classification=ik.classification,
                    scope=ik.scope,
                    kek_id=ik.kek_id,
                    record=ik.raw,
                    created_ms=ik.created_ms,
                    writes=0,
                    current=True,
                )
            )

        try:
            await self._database.run(act)
        except Conflict:
            return False
        return True

    async def retire(self, ik_id: bytes) -> None:
        """An IK writes no more; it goes on reading."""

        def act(connection: Connection) -> None:
            connection.execute(
                update(keyring).where(keyring.c.ik_id == ik_id).values(current=False)
            )

        await self._database.run(act)

    async def take(self, ik_id: bytes, count: int, writes_max: int) -> bool:
        """Take ``count`` writes from an IK's number; False when it has not so many left."""

        def act(connection: Connection) -> bool:
            row = connection.execute(
                select(keyring.c.writes, keyring.c.current).where(keyring.c.ik_id == ik_id)
            ).one_or_none()
            if row is None or not row.current or row.writes + count > writes_max:
                return False
            connection.execute(
                update(keyring).where(keyring.c.ik_id == ik_id).values(writes=row.writes + count)
            )
            return True

        return await self._database.run(act)

    async def of_scope(
        self, tenant: str, *, scopes: Collection[str], subjects_of: Collection[str]
    ) -> Sequence[Row]:
        """Return the records of these scopes, and of every subject under these classifications.

        One whose scope has a tombstone is left out, as is one that was destroyed itself.
        """
        of_subject = keyring.c.scope.startswith("subject:") & keyring.c.classification.in_(
            subjects_of
        )
        dead = select(tombstones.c.ik_id).where(
            tombstones.c.tenant == tenant,
            or_(tombstones.c.ik_id == keyring.c.ik_id, tombstones.c.scope == keyring.c.scope),
        )
        query = select(
            keyring.c.ik_id, keyring.c.record, keyring.c.created_ms, keyring.c.classification
        ).where(
            keyring.c.tenant == tenant,
            keyring.c.record.is_not(None),
            or_(keyring.c.scope.in_(scopes), of_subject),
            ~dead.exists(),
        )

        def act(connection: Connection) -> Sequence[Row]:
            return [
                Row(row.ik_id, row.record, row.created_ms, classification=row.classification)
                for row in connection.execute(query)
            ]

        return await self._database.read(act)

    async def behind(
        self, tenant: str, classification: str, kek_id: str, *, after: bytes = b"", limit: int
    ) -> Sequence[Kept]:
        """Return records that are kept under another key than ``kek_id``, in order of their ids.

        The table is gone through by id, once for all batches: hence no index by tenant, by which a
        database would read and sort every record of the tenant for each of them.
        """
        query = (
            select(keyring.c.ik_id, keyring.c.scope, keyring.c.kek_id, keyring.c.record)
            .where(
                keyring.c.tenant.concat("") == tenant,
                keyring.c.classification == classification,
                keyring.c.record.is_not(None),
                keyring.c.kek_id != kek_id,
                keyring.c.ik_id > after,
            )
            .order_by(keyring.c.ik_id)
            .limit(limit)
        )

        def act(connection: Connection) -> Sequence[Kept]:
            rows = connection.execute(query)
            return [Kept(row.ik_id, row.scope, row.kek_id, row.record) for row in rows]

        return await self._database.read(act)

    async def kept(self, ik_id: bytes) -> Kept | None:
        """Return a record and the key version that keeps it; None: there is none any more."""
        query = select(keyring.c.scope, keyring.c.kek_id, keyring.c.record).where(
            keyring.c.ik_id == ik_id, keyring.c.record.is_not(None)
        )

        def act(connection: Connection) -> Kept | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else Kept(ik_id, row.scope, row.kek_id, row.record)

        return await self._database.read(act)

    async def under(self, kek_id: str) -> Sequence[Kept]:
        """Return every record that a key version keeps."""
        query = (
            select(keyring.c.ik_id, keyring.c.scope, keyring.c.kek_id, keyring.c.record)
            .where(keyring.c.kek_id == kek_id, keyring.c.record.is_not(None))
            .order_by(keyring.c.ik_id)
        )

        def act(connection: Connection) -> Sequence[Kept]:
            rows = connection.execute(query)
            return [Kept(row.ik_id, row.scope, row.kek_id, row.record) for row in rows]

        return await self._database.read(act)

    async def end_under(self, kek_id: str, now_ms: int) -> int:
        """Drop every record that a key version keeps; return how many there were."""
        change = (
            update(keyring)
            .where(keyring.c.kek_id == kek_id, keyring.c.record.is_not(None))
            .values(record=None, destroyed_ms=now_ms, current=False)
        )

        def act(connection: Connection) -> int:
            gone = connection.execute(change).rowcount
            bump_epoch(connection, KEYRING_EPOCH)
            return gone

        return await self._database.run(act)

    async def rewrite(self, renewed: Sequence[tuple[Kept, bytes]], kek_id: str) -> int:
        """Write records anew under ``kek_id``, where they still are what was read; return how many.

        One transaction: a process that is killed leaves all of them or none.
        """
        change = (
            update(keyring)
            .where(keyring.c.ik_id == bindparam("ours"), keyring.c.record == bindparam("read"))
            .values(record=bindparam("renewed"), kek_id=kek_id)
        )
        rows = [{"ours": kept.ik_id, "read": kept.raw, "renewed": raw} for kept, raw in renewed]

        def act(connection: Connection) -> int:
            return connection.execute(change, rows).rowcount if rows else 0

        return await self._database.run(act)

    async def count_by_kek(self) -> Mapping[str, int]:
        """Return how many records each key version keeps."""
        query = (
            select(keyring.c.kek_id, func.count().label("records"))
            .where(keyring.c.record.is_not(None))
            .group_by(keyring.c.kek_id)
        )

        def act(connection: Connection) -> Mapping[str, int]:
            return {row.kek_id: row.records for row in connection.execute(query)}

        return await self._database.read(act)

    async def find(self, ik_id: bytes, tenant: str, scope: str) -> Row:
        """Return the record, and whether it or any of its scope was destroyed."""

        def act(connection: Connection) -> Row:
            row = connection.execute(
                select(keyring.c.record, keyring.c.created_ms).where(
                    keyring.c.ik_id == ik_id, keyring.c.tenant == tenant
                )
            ).one_or_none()
            if row is not None:
                return Row(ik_id, row.record, row.created_ms, row.record is None)
            dead = connection.execute(
                select(tombstones.c.ik_id)
                .where(
                    tombstones.c.tenant == tenant,
                    or_(tombstones.c.ik_id == ik_id, tombstones.c.scope == scope),
                )
                .limit(1)
            ).one_or_none()
            return Row(ik_id, None, 0, dead is not None)

        return await self._database.read(act)

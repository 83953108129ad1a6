"""KeyShredder: ends the intermediate keys of a scope, so that nothing that they kept ever opens.

Records go from the database and from every bucket; tombstones stay in both, for a record that comes
back with an old copy of either.

Source: docs/format.md, section 9; docs/shredding.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.keks import KEYRING_EPOCH
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.database.rows import bump_epoch
from hyok.database.tables import keyring, tombstones

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.custody.port import KeyringMirror
    from hyok.database.engine import Database
    from hyok.vocabulary import Bucket


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """One intermediate key: its id in hex, the KEK that kept it, its class, when it was made."""

    ik_id: str
    kek_id: str
    classification: str
    created_ms: int


class KeyShredder:
    """Made once in each process that executes acts of officers."""

    def __init__(
        self, database: Database, mirror: KeyringMirror, clock_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._mirror = mirror
        self._clock_ms = clock_ms

    async def living(self, tenant: str, scope: str) -> Sequence[ScopeKey]:
        """Return the keys of a scope that were not destroyed."""
        query = (
            select(keyring)
            .where(
                keyring.c.tenant == tenant,
                keyring.c.scope == scope,
                keyring.c.record.is_not(None),
            )
            .order_by(keyring.c.created_ms, keyring.c.ik_id)
        )

        def act(connection: Connection) -> Sequence[ScopeKey]:
            return [
                ScopeKey(row.ik_id.hex(), row.kek_id, row.classification, row.created_ms)
                for row in connection.execute(query)
            ]

        return await self._database.read(act)

    async def destroyed_by(self, word: str) -> Sequence[ScopeKey]:
        """Return the keys whose tombstones name this reason."""
        query = (
            select(tombstones, keyring.c.created_ms)
            .join(keyring, keyring.c.ik_id == tombstones.c.ik_id, isouter=True)
            .where(tombstones.c.reason == word)
            .order_by(tombstones.c.ik_id)
        )

        def act(connection: Connection) -> Sequence[ScopeKey]:
            return [
                ScopeKey(row.ik_id.hex(), row.kek_id, row.classification, row.created_ms or 0)
                for row in connection.execute(query)
            ]

        return await self._database.read(act)

    async def destroy(
        self, tenant: str, scope: str, word: str, horizon_ms: int, buckets: Sequence[Bucket]
    ) -> Sequence[ScopeKey]:
        """End every key of a scope; return those whose tombstones name ``word``.

        Tombstones stand in every bucket before a record goes, so that whatever is interrupted is
        refused from then on.  May be repeated.

        Args:
            tenant: whose.
            scope: as envelopes name it.
            word: stands in the tombstones as the reason: the proposal.
            horizon_ms: when no backup of the database holds the records any more, unix time.
            buckets: of the tenant; their mirrors lose the records.

        Raises:
            Unavailable: store or database do not answer; do it again later.
            Refused: object lock keeps a copy of a record in a bucket.
        """
        now = self._clock_ms()
        ending = [*await self.living(tenant, scope), *await self.destroyed_by(word)]
        for bucket in buckets:
            for key in ending:
                await self._mirror.write(
                    bucket, TOMBSTONES_FOLDER + key.ik_id, _tombstone(key, scope, word, now)
                )

        def act(connection: Connection) -> None:
            for row in connection.execute(
                select(keyring).where(
                    keyring.c.tenant == tenant,
                    keyring.c.scope == scope,
                    keyring.c.record.is_not(None),
                )
            ).all():
                there = select(tombstones.c.ik_id).where(tombstones.c.ik_id == row.ik_id)
                if connection.execute(there).one_or_none() is None:
                    connection.execute(
                        insert(tombstones).values(
                            tenant=tenant,
                            ik_id=row.ik_id,
                            classification=row.classification,
                            scope=scope,
                            kek_id=row.kek_id,
                            reason=word,
                            destroyed_ms=now,
                            horizon_ms=horizon_ms,
                        )
                    )
                connection.execute(
                    update(keyring)
                    .where(keyring.c.ik_id == row.ik_id)
                    .values(record=None, destroyed_ms=now, current=False)
                )
            bump_epoch(connection, KEYRING_EPOCH)

        await self._database.run(act)
        gone = await self.destroyed_by(word)
        for bucket in buckets:
            there = set(await self._mirror.list(bucket, KEYRING_FOLDER))
            for key in gone:
                # One that was made between the look and the act has its tombstone here.
                name = TOMBSTONES_FOLDER + key.ik_id
                if key not in ending:
                    await self._mirror.write(bucket, name, _tombstone(key, scope, word, now))
                if KEYRING_FOLDER + key.ik_id in there:
                    await self._mirror.remove(bucket, KEYRING_FOLDER + key.ik_id)
        return gone


def _tombstone(key: ScopeKey, scope: str, word: str, now_ms: int) -> bytes:
    """Return what stands in a bucket: for people who look; that it is there is what counts."""
    row = {
        "ik_id": key.ik_id,
        "scope": scope,
        "kek_id": key.kek_id,
        "reason": word,
        "at_ms": now_ms,
    }
    return json.dumps(row, sort_keys=True).encode()

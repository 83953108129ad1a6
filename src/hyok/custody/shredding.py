"""KeyShredder: ends the intermediate keys of a scope, so that nothing that they kept ever opens.

Records go from the database and from every bucket; tombstones stay in both, for a record that comes
back with an old copy of either.

Source: docs/format.md, section 9; docs/shredding.md.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.keks import KEYRING_EPOCH
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.database.rows import bump_epoch
from hyok.database.tables import keyring, tombstones

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import ColumnElement

    from hyok.custody.port import KeyringMirror
    from hyok.database.engine import Database
    from hyok.vocabulary import Bucket

IDS_AT_ONCE = 500
"""Keys named in one statement; SQLite takes no more than some thousand."""

WRITES_AT_ONCE = 16
"""Tombstones on their way to a store."""


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """One intermediate key: its id in hex, the KEK that kept it, its class, when it was made."""

    ik_id: str
    kek_id: str
    classification: str
    created_ms: int
    scope: str = ""


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
        return await self._living((keyring.c.tenant == tenant) & (keyring.c.scope == scope))

    async def living_among(self, tenant: str, ik_ids: Collection[bytes]) -> Sequence[ScopeKey]:
        """Return those of these keys that were not destroyed."""
        ids = list(ik_ids)
        found: list[ScopeKey] = []
        for begin in range(0, len(ids), IDS_AT_ONCE):
            some = keyring.c.ik_id.in_(ids[begin : begin + IDS_AT_ONCE])
            found += await self._living((keyring.c.tenant == tenant) & some)
        return found

    async def living_under(self, tenant: str, kek_ids: Collection[str]) -> Sequence[ScopeKey]:
        """Return the keys of objects that these key versions keep.

        Those of names and of the tenant itself keep no object, and are not among them.
        """
        scope = keyring.c.scope
        fixed = scope.startswith("names:") | scope.startswith("tenant:")
        under = keyring.c.kek_id.in_(list(kek_ids))
        return await self._living((keyring.c.tenant == tenant) & under & ~fixed)

    async def retire(self, keys: Sequence[ScopeKey]) -> None:
        """Let these keys write nothing more; every process heeds it within seconds."""
        ids = [bytes.fromhex(key.ik_id) for key in keys]

        def act(connection: Connection) -> None:
            for begin in range(0, len(ids), IDS_AT_ONCE):
                some = keyring.c.ik_id.in_(ids[begin : begin + IDS_AT_ONCE])
                connection.execute(update(keyring).where(some).values(current=False))
            bump_epoch(connection, KEYRING_EPOCH)

        await self._database.run(act)

    async def _living(self, which: ColumnElement[bool]) -> Sequence[ScopeKey]:
        query = (
            select(keyring)
            .where(which, keyring.c.record.is_not(None))
            .order_by(keyring.c.created_ms, keyring.c.ik_id)
        )

        def act(connection: Connection) -> Sequence[ScopeKey]:
            return [
                ScopeKey(row.ik_id.hex(), row.kek_id, row.classification, row.created_ms, row.scope)
                for row in connection.execute(query)
            ]

        return await self._database.read(act)

    async def destroyed_by(self, word: str) -> Sequence[ScopeKey]:
        """Return the keys whose tombstones name this reason."""
        query = (
            select(tombstones, keyring.c.created_ms, keyring.c.scope.label("kept_scope"))
            .join(keyring, keyring.c.ik_id == tombstones.c.ik_id, isouter=True)
            .where(tombstones.c.reason == word)
            .order_by(tombstones.c.ik_id)
        )

        def act(connection: Connection) -> Sequence[ScopeKey]:
            return [
                ScopeKey(
                    row.ik_id.hex(),
                    row.kek_id,
                    row.classification,
                    row.created_ms or 0,
                    row.kept_scope or row.scope,
                )
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
        which = (keyring.c.tenant == tenant) & (keyring.c.scope == scope)
        buried = await self._bury_again(word, scope, buckets)
        buried |= await self._end(which, tenant, scope, word, horizon_ms, buckets)
        return await self._sweep(word, scope, buckets, buried)

    async def destroy_keys(
        self,
        tenant: str,
        ik_ids: Collection[bytes],
        word: str,
        horizon_ms: int,
        buckets: Sequence[Bucket],
    ) -> Sequence[ScopeKey]:
        """End these keys, as `destroy` does; others of their scopes live on.

        Raises:
            Unavailable, Refused: as `destroy` says.
        """
        ids = list(ik_ids)
        # No scope in the tombstones: one that has it ends every key of it.
        buried = await self._bury_again(word, "", buckets)
        for begin in range(0, len(ids), IDS_AT_ONCE):
            which = keyring.c.ik_id.in_(ids[begin : begin + IDS_AT_ONCE])
            mine = (keyring.c.tenant == tenant) & which
            buried |= await self._end(mine, tenant, "", word, horizon_ms, buckets)
        return await self._sweep(word, "", buckets, buried)

    async def _bury_again(self, word: str, scope: str, buckets: Sequence[Bucket]) -> set[str]:
        """Write the tombstones of what an execution before this one ended; return the ids."""
        ended = await self.destroyed_by(word)
        for bucket in buckets:
            await self._bury(bucket, ended, scope, word, self._clock_ms())
        return {key.ik_id for key in ended}

    async def _end(
        self,
        which: ColumnElement[bool],
        tenant: str,
        scope: str,
        word: str,
        horizon_ms: int,
        buckets: Sequence[Bucket],
    ) -> set[str]:
        """Bury keys in buckets and end them in the database; return the ids that were buried."""
        now = self._clock_ms()
        ending = await self._living(which)
        for bucket in buckets:
            await self._bury(bucket, ending, scope, word, now)

        def act(connection: Connection) -> None:
            living = select(keyring).where(which, keyring.c.record.is_not(None))
            for row in connection.execute(living).all():
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
        return {key.ik_id for key in ending}

    async def _sweep(
        self, word: str, scope: str, buckets: Sequence[Bucket], buried: Collection[str]
    ) -> Sequence[ScopeKey]:
        """Take the records of what was ended from the buckets; return it."""
        gone = await self.destroyed_by(word)
        # One that was made between the look and the act has its tombstone here.
        late = [key for key in gone if key.ik_id not in buried]
        for bucket in buckets:
            await self._bury(bucket, late, scope, word, self._clock_ms())
            there = set(await self._mirror.list(bucket, KEYRING_FOLDER))
            for key in gone:
                if KEYRING_FOLDER + key.ik_id in there:
                    await self._mirror.remove(bucket, KEYRING_FOLDER + key.ik_id)
        return gone

    async def _bury(
        self, bucket: Bucket, keys: Sequence[ScopeKey], scope: str, word: str, now_ms: int
    ) -> None:
        for begin in range(0, len(keys), WRITES_AT_ONCE):
            await asyncio.gather(
                *(
                    self._mirror.write(
                        bucket,
                        TOMBSTONES_FOLDER + key.ik_id,
                        _tombstone(key, scope or key.scope, word, now_ms),
                    )
                    for key in keys[begin : begin + WRITES_AT_ONCE]
                )
            )


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

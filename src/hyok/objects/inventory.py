"""Inventories: which objects stood in clear when a bucket was adopted, and still count as such.

Rows are made once, before the bucket is served, and from then on only go away: when a client
replaces or removes the object through the gateway, or when it is sealed.  So the store cannot bring
plaintext back for anything that the gateway has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from hyok.custody.inventory_key import SECRET_BYTES, InventoryKey
from hyok.database.tables import adopted_objects as rows
from hyok.database.tables import adoptions
from hyok.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from hyok.backends.port import Listed
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database

PLAIN, REPLACED = "plain", "replaced"
KEYS_KEPT_MAX = 256


@dataclass(frozen=True, slots=True)
class Adopted:
    """One object that was counted.

    ``replaced``: a sealed object of this key stands under its sealed name; what is left of the
    plain one waits to be removed and is handed out no more.
    """

    row_id: bytes
    name: str  # the store's name, which is the clear key
    etag: str  # the store's own
    size: int  # bytes
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """What an inventory found, and how much of it is left."""

    objects: int
    size_bytes: int
    left: int
    created_ms: int


class Inventories:
    """The tables `adoptions` and `adopted_objects`.

    Args:
        database: where they stand.
        box: seals each inventory's key under the HSM.
        entropy: random bytes.
    """

    def __init__(
        self, database: Database, box: HsmSecretBox, entropy: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._box = box
        self._entropy = entropy
        self._keys: dict[bytes, InventoryKey] = {}  # by the sealed key, as the row has it

    async def begin(self, bucket_id: str, now_ms: int) -> None:
        """Start an inventory, instead of one that was broken off.

        Only for a bucket that is not registered yet: nothing may be counted twice.
        """
        sealed = await self._box.seal(inventory_purpose(bucket_id), self._entropy(SECRET_BYTES))

        def act(connection: Connection) -> None:
            connection.execute(delete(rows).where(rows.c.bucket_id == bucket_id))
            connection.execute(delete(adoptions).where(adoptions.c.bucket_id == bucket_id))
            connection.execute(
                insert(adoptions).values(bucket_id=bucket_id, sealed_key=sealed, created_ms=now_ms)
            )

        await self._database.run(act)

    async def add(self, bucket_id: str, found: Sequence[Listed]) -> None:
        """Count objects of a page of the store's listing."""
        key = await self._key(bucket_id)
        # A store that lists a name twice gets one row.
        fresh = {
            key.row_id(one.name): {
                "bucket_id": bucket_id,
                "row_id": key.row_id(one.name),
                "entry": key.seal(one.name, one.etag, one.size, PLAIN),
                "state": PLAIN,
            }
            for one in found
        }
        size = sum(one.size for one in found)
        if not fresh:
            return

        def act(connection: Connection) -> None:
            connection.execute(insert(rows), list(fresh.values()))
            connection.execute(
                update(adoptions)
                .where(adoptions.c.bucket_id == bucket_id)
                .values(
                    objects=adoptions.c.objects + len(fresh),
                    size_bytes=adoptions.c.size_bytes + size,
                )
            )

        await self._database.run(act)

    async def counted(self, bucket_id: str) -> Counted:
        """Return what was found and what is left.

        Raises:
            NotFound: the bucket was not adopted.
        """

        def act(connection: Connection) -> Counted:
            found = connection.execute(
                select(adoptions).where(adoptions.c.bucket_id == bucket_id)
            ).one_or_none()
            if found is None:
                raise _not_adopted(bucket_id)
            left = connection.scalar(
                select(func.count()).select_from(rows).where(rows.c.bucket_id == bucket_id)
            )
            return Counted(found.objects, found.size_bytes, left or 0, found.created_ms)

        return await self._database.read(act)

    async def is_adopted(self, bucket_id: str) -> bool:
        """Say whether the bucket held plaintext once, though none of it may count any more."""
        found = select(adoptions.c.bucket_id).where(adoptions.c.bucket_id == bucket_id)
        return await self._database.read(lambda connection: connection.scalar(found) is not None)

    async def find(self, bucket_id: str, name: str) -> Adopted | None:
        """Return the object of this clear key if it still counts."""
        return (await self.find_many(bucket_id, [name])).get(name)

    async def find_many(self, bucket_id: str, names: Collection[str]) -> Mapping[str, Adopted]:
        """Return those of these clear keys that still count.

        Raises:
            Tampered: a row is not ours (code HY-2403).
        """
        if not names:
            return {}
        key = await self._key(bucket_id)
        wanted = [key.row_id(name) for name in names]

        def act(connection: Connection) -> Sequence[tuple[bytes, bytes, str]]:
            here = rows.c.bucket_id == bucket_id
            found = connection.execute(
                select(rows.c.row_id, rows.c.entry, rows.c.state).where(
                    here, rows.c.row_id.in_(wanted)
                )
            )
            return [tuple(row) for row in found]

        opened = [_opened(key, *row) for row in await self._database.read(act)]
        return {entry.name: entry for entry in opened}

    async def after(
        self, bucket_id: str, start: bytes, stop: bytes, cursor: bytes, limit: int
    ) -> Sequence[Adopted]:
        """Return the next rows of ``[start, stop)`` behind ``cursor``, in the order of their ids.

        ``stop`` and ``cursor`` may be empty: to the end, from the start.
        """
        key = await self._key(bucket_id)

        def act(connection: Connection) -> Sequence[tuple[bytes, bytes, str]]:
            asked = select(rows.c.row_id, rows.c.entry, rows.c.state).where(
                rows.c.bucket_id == bucket_id, rows.c.row_id >= start
            )
            if stop:
                asked = asked.where(rows.c.row_id < stop)
            if cursor:
                asked = asked.where(rows.c.row_id > cursor)
            found = connection.execute(asked.order_by(rows.c.row_id).limit(limit))
            return [tuple(row) for row in found]

        return [_opened(key, *row) for row in await self._database.read(act)]

    async def mark_replaced(self, bucket_id: str, entry: Adopted) -> None:
        """Hand the plain object out no more; its bytes are still to be removed.  Durable."""
        key = await self._key(bucket_id)
        sealed = key.seal(entry.name, entry.etag, entry.size, REPLACED)
        await self._database.run(
            lambda connection: connection.execute(
                update(rows).where(_is(bucket_id, entry)).values(state=REPLACED, entry=sealed)
            )
        )

    async def forget(self, bucket_id: str, entry: Adopted) -> None:
        """Count the object no more: it was sealed, replaced or removed.  Durable."""
        await self._database.run(
            lambda connection: connection.execute(delete(rows).where(_is(bucket_id, entry)))
        )

    async def remember(self, bucket_id: str, entry: Adopted) -> bytes:
        """Return an entry as bytes for a report, sealed like its row."""
        key = await self._key(bucket_id)
        return entry.row_id + key.seal(entry.name, entry.etag, entry.size, PLAIN)

    async def recall(self, bucket_id: str, raw: bytes) -> str:
        """Return the name of what `remember` returned."""
        key = await self._key(bucket_id)
        return _opened(key, raw[:16], raw[16:], PLAIN).name

    async def _key(self, bucket_id: str) -> InventoryKey:
        def act(connection: Connection) -> bytes | None:
            return connection.scalar(
                select(adoptions.c.sealed_key).where(adoptions.c.bucket_id == bucket_id)
            )

        sealed = await self._database.read(act)
        if sealed is None:
            raise _not_adopted(bucket_id)
        if sealed not in self._keys:
            secret = await self._box.open(inventory_purpose(bucket_id), sealed)
            while len(self._keys) >= KEYS_KEPT_MAX:
                self._keys.pop(next(iter(self._keys)))
            self._keys[sealed] = InventoryKey(secret, bucket_id)
        return self._keys[sealed]


def inventory_purpose(bucket_id: str) -> str:
    return f"inventory of {bucket_id}"


def _opened(key: InventoryKey, row_id: bytes, entry: bytes, state: str) -> Adopted:
    name, etag, size = key.open(row_id, entry, state)
    return Adopted(row_id, name, etag, size, state == REPLACED)


def _is(bucket_id: str, entry: Adopted) -> ColumnElement[bool]:
    return (rows.c.bucket_id == bucket_id) & (rows.c.row_id == entry.row_id)


def _not_adopted(bucket_id: str) -> NotFound:
    return NotFound(f"bucket {bucket_id} was not adopted", code="HY-3521")

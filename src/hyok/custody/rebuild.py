"""Keyring records back into an empty database: from a mirror, each proven by opening it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from hyok.custody.custodian import TENANT_CLASSIFICATION
from hyok.custody.key_states import KeyState
from hyok.database.tables import keyring, tombstones
from hyok.envelope.records import parse_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from hyok.custody.kek import Kek
    from hyok.custody.lone_keys import LoneKeys
    from hyok.database.engine import Database
    from hyok.vocabulary import Bucket


def with_states(keks: Mapping[str, Kek], named: Sequence[Kek]) -> Sequence[Kek]:
    """Return the key versions to write down: the newest active, unless a file says otherwise.

    The states stood in the database alone; a key that was suspended must be so again.
    """
    told = {kek.kek_id for kek in named}
    newest: dict[tuple[str, str], int] = {}
    for kek in keks.values():
        place = (kek.tenant, kek.classification)
        newest[place] = max(newest.get(place, 0), kek.version)
    return [
        kek
        if kek.kek_id in told or kek.version < newest[kek.tenant, kek.classification]
        else _active(kek)
        for kek in keks.values()
    ]


def _active(kek: Kek) -> Kek:
    return type(kek)(
        kek.spec, kek.tenant, kek.classification, kek.version, KeyState.ACTIVE, kek.created_ms
    )


async def adopt_record(
    database: Database, keys: LoneKeys, bucket: Bucket, ik_id: bytes, raw: bytes, now_ms: int
) -> bool:
    """Write down a mirrored record that opens; False when the database has it, or its end.

    Raises:
        Tampered, Refused, NotFound: it does not open under a key of this tenant.
    """

    def known(connection: Connection) -> bool:
        here = select(keyring.c.ik_id).where(keyring.c.ik_id == ik_id)
        dead = select(tombstones.c.ik_id).where(
            tombstones.c.tenant == bucket.tenant, tombstones.c.ik_id == ik_id
        )
        return any(connection.execute(query).first() is not None for query in (here, dead))

    if await database.read(known):
        return False
    kek = await keys.prove(bucket, ik_id, raw)
    record = parse_record(raw)
    # Those two never change, so they write on; the others only read from now on.
    fixed = ik_id == bucket.names_ik_id or kek.classification == TENANT_CLASSIFICATION

    def act(connection: Connection) -> None:
        connection.execute(
            insert(keyring).values(
                ik_id=ik_id,
                tenant=bucket.tenant,
                classification=kek.classification,
                scope=record.scope,
                kek_id=record.kek_id,
                record=raw,
                created_ms=now_ms,
                writes=0,
                current=fixed,
            )
        )

    await database.run(act)
    return True

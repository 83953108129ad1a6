"""DoorCatalog: the keys of doors in the database, and how often each version may still encrypt."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.door_key import (
    AES,
    KEY_STATE,
    PAIRS,
    USES_AT_ONCE,
    USES_MAX,
    DoorKey,
    DoorVersion,
    Usage,
    check_may_end,
    check_name,
    profile_of,
    token_name,
)
from hyok.custody.key_states import KeyState, check_transition
from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import door_key_versions, door_keys
from hyok.errors import Conflict, Malformed, NotFound, Refused
from hyok.hsm.port import (
    DOOR,
    DOOR_MAC,
    DOOR_PAIR,
    DOOR_PRIVATE,
    DOOR_RSA_SIGN,
    DOOR_SIGN,
    DOOR_WRAP,
    KekSpec,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from hyok.database.engine import Database
    from hyok.hsm.port import WrapHsm

EPOCH = "door_keys"
ORPHANS_MAX = 10
"""How many keys in a row may be in the HSM and not in the database before we give up."""


class DoorCatalog:
    """The tables `door_keys` and `door_key_versions`, in memory, with a guarded age.

    A key that is suspended elsewhere is so here within seconds.
    """

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._rows: EpochRows[DoorKey] = EpochRows(database, clock_ms, EPOCH, _load)
        self._set_aside: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def all(self) -> Sequence[DoorKey]:
        """Return every key, by tenant and name."""
        rows = await self._rows.now()
        return [rows[name] for name in sorted(rows)]

    async def find(self, tenant: str, name: str) -> DoorKey | None:
        """Return a key; None: there is none."""
        return await self._rows.find(f"{tenant}/{name}")

    async def named(self, tenant: str, name: str) -> DoorKey:
        """Return a key that must be there.

        Raises:
            NotFound: there is none (code HY-2601).
        """
        found = await self.find(tenant, name)
        if found is None:
            raise NotFound(
                f"There is no door's key {tenant}/{name}.",
                code="HY-2601",
                next_step="hyok doors keys list",
            )
        return found

    async def make(
        self,
        hsm: WrapHsm,
        tenant: str,
        name: str,
        version: int,
        classification: str,
        apps: Collection[str],
        usage: Collection[Usage],
        kind: str = AES,
    ) -> KekSpec:
        """Make a version in the HSM and write it down, active; older ones decrypt from now on.

        ``version`` 1 makes the key, too; then only do ``classification``, ``apps``, ``usage`` and
        ``kind`` count.  May be repeated with the same arguments: what was made before is left.  A
        number that a process spent which was killed before it wrote the key down is passed over.

        Raises:
            Conflict: too many such numbers (code HY-2107).
        """
        check_name(name)
        known = await self._rows.again()
        key = known.get(f"{tenant}/{name}")
        if key is not None and (made := key.version(version)) is not None:
            return made.spec
        create = _maker(hsm, kind if key is None else key.kind, usage if key is None else key.usage)
        spec, number = await _first_free(create, tenant, name, version)
        now = self._clock_ms()

        def act(connection: Connection) -> None:
            if key is None:
                connection.execute(
                    insert(door_keys).values(
                        tenant=tenant,
                        name=name,
                        classification=classification,
                        apps=sorted(apps),
                        usage=sorted(map(str, usage)),
                        state=str(KeyState.ACTIVE),
                        created_ms=now,
                        kind=kind,
                    )
                )
            mine = (door_key_versions.c.tenant == tenant) & (door_key_versions.c.name == name)
            active = door_key_versions.c.state == str(KeyState.ACTIVE)
            connection.execute(
                update(door_key_versions)
                .where(mine & active)
                .values(state=str(KeyState.DEACTIVATED))
            )
            connection.execute(
                insert(door_key_versions).values(
                    tenant=tenant,
                    name=name,
                    version=number,
                    state=str(KeyState.ACTIVE),
                    check_value=spec.check_value,
                    check_token=spec.check_token,
                    public_key=spec.public_key or None,
                    created_ms=now,
                )
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()
        return spec

    async def change_state(self, tenant: str, name: str, to: KeyState) -> None:
        """Move a key to another state, by the table of `key_states`.

        Raises:
            NotFound: no such key (code HY-2601).
            Conflict: the standard does not allow it (code HY-2302).
        """

        def act(connection: Connection) -> None:
            mine = (door_keys.c.tenant == tenant) & (door_keys.c.name == name)
            row = connection.execute(select(door_keys.c.state).where(mine)).one_or_none()
            if row is None:
                raise NotFound(f"There is no door's key {tenant}/{name}.", code="HY-2601")
            check_transition(KeyState(row.state), to)
            connection.execute(update(door_keys).where(mine).values(state=str(to)))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    async def end(self, tenant: str, name: str, versions: Collection[int]) -> None:
        """Let nobody use these versions any more; with the last one the key ends.  Repeatable.

        Raises:
            Conflict: the state of key or version does not allow it (code HY-2302).
        """
        check_may_end(await self.named(tenant, name), versions)

        def act(connection: Connection) -> None:
            row = door_key_versions.c
            mine = (row.tenant == tenant) & (row.name == name)
            gone = str(KeyState.DESTROYED)
            ending = mine & row.version.in_(sorted(versions))
            connection.execute(update(door_key_versions).where(ending).values(state=gone))
            if not connection.execute(
                select(row.version).where(mine & (row.state != gone))
            ).first():
                whole = (door_keys.c.tenant == tenant) & (door_keys.c.name == name)
                connection.execute(update(door_keys).where(whole).values(state=gone))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    async def count_use(self, key: DoorKey, version: DoorVersion) -> None:
        """Return quietly if this version may encrypt once more.  Seldom a write.

        Raises:
            Refused: it has done so as often as one version may (code HY-2604).
            Unavailable: the database does not answer, and nothing set aside is left.
        """
        label = version.spec.kek_id
        if not self._set_aside.get(label):
            async with self._locks.setdefault(label, asyncio.Lock()):
                if not self._set_aside.get(label):
                    await self._set_aside_more(key, version)
        self._set_aside[label] -= 1

    async def _set_aside_more(self, key: DoorKey, version: DoorVersion) -> None:
        row = door_key_versions.c

        def act(connection: Connection) -> int:
            mine = (row.tenant == key.tenant) & (row.name == key.name)
            mine &= row.version == version.number
            room = row.uses <= USES_MAX - USES_AT_ONCE
            more = update(door_key_versions).where(mine & room)
            return connection.execute(more.values(uses=row.uses + USES_AT_ONCE)).rowcount

        if not await self._database.run(act):
            raise Refused(
                f"Version {version.number} of the key {key.tenant}/{key.name} has encrypted as "
                "often as one key may.",
                reason=KEY_STATE,
                code="HY-2604",
                effect="It still decrypts.",
                next_step=f"hyok doors keys rotate {key.name} --tenant {key.tenant}",
            )
        self._set_aside[version.spec.kek_id] = USES_AT_ONCE


async def _first_free(
    create: Callable[[str], Awaitable[KekSpec]], tenant: str, name: str, version: int
) -> tuple[KekSpec, int]:
    for number in range(version, version + ORPHANS_MAX):
        try:
            return await create(token_name(tenant, name, number)), number
        except Conflict:
            continue
    raise Conflict(
        f"{ORPHANS_MAX} names of the key {tenant}/{name} are taken in the HSM.",
        code="HY-2107",
        effect="Nothing was made.",
        next_step="look which keys the token holds, and whose they are",
    )


def _maker(
    hsm: WrapHsm, kind: str, usage: Collection[Usage]
) -> Callable[[str], Awaitable[KekSpec]]:
    makers = {
        DOOR: hsm.create_door_key,
        DOOR_MAC: hsm.create_mac_key,
        DOOR_SIGN: hsm.create_sign_key,
        DOOR_WRAP: hsm.create_wrap_key,
        DOOR_PRIVATE: hsm.create_private_wrapper,
    }
    profile = profile_of(kind, usage)
    if profile in {DOOR_PAIR, DOOR_RSA_SIGN}:
        make = hsm.create_door_pair if profile == DOOR_PAIR else hsm.create_rsa_signer
        return partial(make, bits=PAIRS[kind])
    if profile not in makers:
        raise Malformed(f"No key {kind} is for {', '.join(sorted(usage))}.", code="HY-2600")
    return makers[profile]


def _load(connection: Connection) -> Mapping[str, DoorKey]:
    keys = connection.execute(select(door_keys)).all()
    usages = {(row.tenant, row.name): frozenset(map(Usage, row.usage)) for row in keys}
    kinds = {(row.tenant, row.name): row.kind for row in keys}
    versions: dict[tuple[str, str], list[DoorVersion]] = {}
    for row in connection.execute(select(door_key_versions).order_by(door_key_versions.c.version)):
        label = token_name(row.tenant, row.name, row.version)
        profile = profile_of(kinds[row.tenant, row.name], usages[row.tenant, row.name])
        spec = KekSpec(
            label, profile, row.check_value, row.check_token, public_key=row.public_key or b""
        )
        made = DoorVersion(row.version, spec, KeyState(row.state), row.uses, row.created_ms)
        versions.setdefault((row.tenant, row.name), []).append(made)
    return {
        f"{row.tenant}/{row.name}": DoorKey(
            row.tenant,
            row.name,
            row.classification,
            frozenset(row.apps),
            usages[row.tenant, row.name],
            KeyState(row.state),
            tuple(versions.get((row.tenant, row.name), ())),
            row.created_ms,
            row.kind,
        )
        for row in keys
    }

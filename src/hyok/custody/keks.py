"""KekCatalog: the KEKs of the installation, as our configuration knows them, never the store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from hyok.custody.kek import Kek, kek_id
from hyok.custody.key_states import KeyState, check_transition
from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import keks, tenants
from hyok.errors import Conflict, NotFound, Unavailable
from hyok.hsm.port import KekSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.hsm.port import Hsm

EPOCH = "keks"
KEYRING_EPOCH = "keyring"
"""Bumped in the transaction that destroys a record or ends a key: within seconds no process writes
or reads with what it has in memory.  Else an object written in that hour would be lost the moment
it is stored."""

ORPHANS_MAX = 10
"""How many keys in a row may be in the HSM and not in the database before we give up."""


class KekCatalog:
    """The table `keks`, in memory: a key that is suspended elsewhere is so here within seconds."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._rows: EpochRows[Kek] = EpochRows(database, clock_ms, EPOCH, _load)

    async def all(self) -> Sequence[Kek]:
        """Return every key version, by name."""
        rows = await self._rows.now()
        return sorted(rows.values(), key=lambda kek: (kek.tenant, kek.classification, kek.version))

    async def find(self, name: str) -> Kek | None:
        """Return a key version by its kek_id.

        One that is not there, or serves nothing yet, is looked for anew: another process may have
        made it, let it write and moved records under it since our memory was read.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        found = (await self._rows.now()).get(name)
        if found is None or found.state is KeyState.PRE_ACTIVE:
            return (await self._rows.from_now()).get(name)
        return found

    async def active(self, tenant: str, classification: str) -> Kek:
        """Return the newest active key version of a tenant's classification.

        Raises:
            Unavailable: there is none (code HY-2303).
        """

        def of(rows: Mapping[str, Kek]) -> list[Kek]:
            return [
                kek
                for kek in rows.values()
                if (kek.tenant, kek.classification) == (tenant, classification)
                and kek.state is KeyState.ACTIVE
            ]

        # A tenant's first key may have been made just now.
        found = of(await self._rows.now()) or of(await self._rows.again())
        if not found:
            raise Unavailable(
                f"There is no active key for {tenant}/{classification}.",
                reason="ServiceUnavailable",
                code="HY-2303",
                effect="Nothing was written.",
                next_step=f"hyok keys create --tenant {tenant} --classification {classification}",
            )
        return max(found, key=lambda kek: kek.version)

    async def create(
        self, hsm: Hsm, tenant: str, classification: str, profile: int, now_ms: int
    ) -> Kek:
        """Make the next version of a key in the HSM, active at once; older ones open only.

        Raises:
            Conflict: another process made one at the same moment.
        """
        made = await self.make(hsm, tenant, classification, profile, now_ms)
        return await self.activate(made)

    async def make(
        self, hsm: Hsm, tenant: str, classification: str, profile: int, now_ms: int
    ) -> Kek:
        """Make the next version of a key in the HSM, pre-active: it serves nothing yet.

        Raises:
            Conflict: another process made one at the same moment.
        """
        self._rows.stale()
        version = max(
            (kek.version for kek in await self.versions(tenant, classification)), default=0
        )
        for _ in range(ORPHANS_MAX):
            version += 1
            try:
                spec = await hsm.create_kek(kek_id(tenant, classification, version), profile)
            except Conflict:
                # A process that made it was killed before it wrote it down: its number is spent.
                continue
            made = Kek(spec, tenant, classification, version, KeyState.PRE_ACTIVE, now_ms)
            await self.adopt([made], now_ms)
            return made
        raise Conflict(
            f"{ORPHANS_MAX} names of the key {tenant}/{classification} are taken in the HSM.",
            code="HY-2107",
            next_step="look which keys the token holds, and whose they are",
        )

    async def versions(self, tenant: str, classification: str) -> Sequence[Kek]:
        """Return every version of a tenant's key for a classification, the oldest first."""
        mine = (tenant, classification)
        return [kek for kek in await self.all() if (kek.tenant, kek.classification) == mine]

    async def activate(self, made: Kek) -> Kek:
        """Let a new version write, and those before it open what they wrote; in one step.

        Raises:
            Conflict: it is in a state from which none becomes active.
        """

        def act(connection: Connection) -> None:
            self._change(connection, made.kek_id, KeyState.ACTIVE)
            connection.execute(
                update(keks)
                .where(
                    keks.c.tenant == made.tenant,
                    keks.c.classification == made.classification,
                    keks.c.version < made.version,
                    keks.c.state == str(KeyState.ACTIVE),
                )
                .values(state=str(KeyState.DEACTIVATED))
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()
        return replace(made, state=KeyState.ACTIVE)

    async def adopt(self, found: Sequence[Kek], now_ms: int) -> None:
        """Write key versions down; those known already stay as they are."""

        def act(connection: Connection) -> None:
            for kek in found:
                self._adopt_one(connection, kek, now_ms)
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    def _adopt_one(self, connection: Connection, kek: Kek, now_ms: int) -> None:
        known = select(tenants.c.tenant).where(tenants.c.tenant == kek.tenant)
        if connection.execute(known).one_or_none() is None:
            connection.execute(insert(tenants).values(tenant=kek.tenant, created_ms=now_ms))
        there = select(keks.c.kek_id).where(keks.c.kek_id == kek.kek_id)
        if connection.execute(there).one_or_none() is not None:
            return
        connection.execute(
            insert(keks).values(
                kek_id=kek.kek_id,
                tenant=kek.tenant,
                classification=kek.classification,
                version=kek.version,
                profile=kek.spec.profile,
                state=str(kek.state),
                check_value=kek.spec.check_value,
                check_token=kek.spec.check_token,
                origin=kek.spec.origin,
                public_key=kek.spec.public_key,
                created_ms=kek.created_ms,
            )
        )

    async def change_state(self, name: str, to: KeyState) -> None:
        """Move a key version to another state, by the table of `key_states`.

        Raises:
            NotFound: no such key.
            Conflict: the standard does not allow it.
        """

        def act(connection: Connection) -> None:
            self._change(connection, name, to)
            bump_epoch(connection, EPOCH)
            # Keys that it wrapped are in memory, with the state that was judged when they came.
            bump_epoch(connection, KEYRING_EPOCH)

        await self._database.run(act)
        self._rows.stale()

    def _change(self, connection: Connection, name: str, to: KeyState) -> None:
        row = connection.execute(select(keks.c.state).where(keks.c.kek_id == name)).one_or_none()
        if row is None:
            raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
        check_transition(KeyState(row.state), to)
        connection.execute(update(keks).where(keks.c.kek_id == name).values(state=str(to)))


def _load(connection: Connection) -> Mapping[str, Kek]:
    return {
        row.kek_id: Kek(
            KekSpec(
                row.kek_id,
                row.profile,
                row.check_value,
                row.check_token,
                row.origin,
                row.public_key,
            ),
            row.tenant,
            row.classification,
            row.version,
            KeyState(row.state),
            row.created_ms,
        )
        for row in connection.execute(select(keks))
    }

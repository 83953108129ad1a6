"""Keyring: intermediate keys and their records: issue, recover, remember for a while.

One current IK for each (tenant, classification, scope) in the whole installation: a row, changed by
compare-and-set.  A record stands in the database, and in the mirror of the bucket before its first
use there, unless the classification is shreddable: then the database has the only copy.

Source: docs/format.md, section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.intermediate_key import FOREVER, IK, Lifetime, handed, wipe
from hyok.custody.keks import KEYRING_EPOCH
from hyok.custody.key_states import KeyState, Use, check_use
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.secrets_cache import SecretCache
from hyok.custody.write_leases import WriteLeases
from hyok.database.epoch_rows import EpochRows
from hyok.envelope.profiles import Profile
from hyok.envelope.records import checked_record, open_record, parse_record, seal_record
from hyok.errors import Conflict, NotFound, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hyok.custody.failing_tokens import FailingTokens
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.port import KeyringMirror
    from hyok.database.engine import Database
    from hyok.hsm.port import Hsm
    from hyok.vocabulary import Bucket

RACES_MAX = 8

MARKS_MAX = 100_000
"""Marks of mirrored records held; beyond it they are made anew."""

RECORDS_REMEMBERED_MS = 1_000
"""How long a record is not read again: it is ciphertext, but it may be destroyed meanwhile."""


BURIED_REMEMBERED_MS = 3_600_000
"""How long a bucket's tombstones are remembered.  What is destroyed now is known by its row; they
are for rows that a restored database has again, and a process starts anew after that."""


class Keyring:
    """All keyring records of the installation.  Made once in each process."""

    def __init__(
        self,
        *,
        database: Database,
        hsm: Hsm,
        tokens: FailingTokens,
        keks: KekCatalog,
        mirror: KeyringMirror,
        entropy: Callable[[int], bytes],
        clock_ms: Callable[[], int],
    ) -> None:
        self._rows = KeyringRows(database)
        self._hsm = hsm
        self._tokens = tokens
        self._keks = keks
        self._mirror = mirror
        self._entropy = entropy
        self._clock_ms = clock_ms
        self._reading: SecretCache[IK] = SecretCache(clock_ms, wipe)
        self._writing: SecretCache[IK] = SecretCache(clock_ms, wipe)
        self._records: SecretCache[tuple[bytes, int]] = SecretCache(clock_ms, lambda _record: None)
        self._destroyed: EpochRows[None] = EpochRows(
            database, clock_ms, KEYRING_EPOCH, lambda _c: {}
        )
        self._heeded: Mapping[str, None] | None = None
        self._leases = WriteLeases(self._rows)
        self._mirrored: set[tuple[bytes, str]] = set()
        self._buried: dict[str, tuple[int, frozenset[str]]] = {}

    async def current(
        self,
        bucket: Bucket | None,
        tenant: str,
        classification: str,
        scope: str,
        lifetime: Lifetime,
        *,
        mirrored: bool,
    ) -> IK:
        """Return the IK that writes now; a new one when the last is too old or too much used.

        Raises:
            Unavailable: HSM, database or mirror do not answer.
        """
        await self._heed_destruction()
        key = (tenant, classification, scope)
        for _ in range(RACES_MAX):
            ik = await self._writing.get(
                key, lifetime.write_ms, lambda: self._find_current(*key, bucket, lifetime)
            )
            mine = handed(ik)
            too_old = self._clock_ms() >= ik.created_ms + lifetime.write_ms
            if too_old or not await self._leases.take(key, ik.ik_id, lifetime.writes_max):
                self._writing.clear(lambda held: held == key)
                await self._rows.retire(ik.ik_id)
                continue
            kek = await self._keks.find(ik.kek_id)
            if kek is None or kek.state is not KeyState.ACTIVE:
                self._writing.clear(lambda held: held == key)
                await self._rows.retire(ik.ik_id)
                continue
            if mirrored and bucket is not None:
                await self._ensure_mirrored(bucket, ik)
            return mine
        raise Conflict("The key of this scope changes too often.", reason="OperationAborted")

    async def _heed_destruction(self) -> None:
        """Forget every key when some record was destroyed, here or by another process.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        seen = await self._destroyed.now()
        if self._heeded is not None and seen is not self._heeded:
            self.forget()
        self._heeded = seen

    async def _find_current(
        self, tenant: str, classification: str, scope: str, bucket: Bucket | None, life: Lifetime
    ) -> IK:
        for _ in range(RACES_MAX):
            found = await self._rows.current(tenant, classification, scope)
            usable = found is not None and found.ik_id.hex() not in await self._buried_in(bucket)
            if found is not None and usable and self._clock_ms() < found.created_ms + life.write_ms:
                assert found.raw is not None  # a destroyed one is never current
                ik_id, raw = found.ik_id, found.raw
                kek = await self._known_kek(raw, ik_id, tenant, scope)
                if life is not FOREVER and kek.state is not KeyState.ACTIVE:
                    await self._rows.retire(ik_id)
                    continue
                return await self._open(raw, ik_id, tenant, scope, bucket, found.created_ms)
            if found is not None:
                await self._rows.retire(found.ik_id)
            made = await self._make(tenant, classification, scope)
            if made is not None:
                return made
        raise Conflict("The key of this scope changes too often.", reason="OperationAborted")

    async def _make(self, tenant: str, classification: str, scope: str) -> IK | None:
        """Make and write down a new current IK; None when another process was first."""
        kek = await self._keks.active(tenant, classification)
        check_use(kek.state, Use.WRAP)
        token, secret = await self._hsm.new_token(kek.spec, scope)
        ik = bytearray(self._entropy(32))
        ik_id = self._entropy(16)
        raw = seal_record(
            ik=bytes(ik),
            ik_id=ik_id,
            salt=self._entropy(32),
            secret=secret,
            profile=Profile(kek.spec.profile),
            kek_id=kek.kek_id,
            scope=scope,
            token=token,
        )
        profile = Profile(kek.spec.profile)
        now = self._clock_ms()
        made = IK(ik_id, ik, kek.kek_id, profile, classification, scope, now, raw)
        return made if await self._rows.add(tenant, made) else None

    async def _ensure_mirrored(self, bucket: Bucket, ik: IK) -> None:
        mark = (ik.ik_id, bucket.bucket_id)
        if mark in self._mirrored:
            return
        await self._mirror.write(bucket, KEYRING_FOLDER + ik.ik_id.hex(), ik.raw)
        if len(self._mirrored) >= MARKS_MAX:
            self._mirrored.clear()
        self._mirrored.add(mark)

    async def create_fixed(
        self, bucket: Bucket | None, tenant: str, classification: str, scope: str
    ) -> IK:
        """Return the one IK of a scope that never changes (names of a bucket), making it at need.

        It is always mirrored where a bucket is given: without it clear names are lost.
        """
        ik = await self._find_current(tenant, classification, scope, bucket, FOREVER)
        if bucket is not None:
            await self._ensure_mirrored(bucket, ik)
        return ik

    async def recover(
        self,
        ik_id: bytes,
        tenant: str,
        scope: str,
        bucket: Bucket | None,
        judge: Callable[[Kek], int],
    ) -> IK:
        """Return an IK for reading.

        ``judge`` is asked about the record's KEK before the HSM is, may refuse, and returns for how
        many milliseconds the IK may be remembered.

        Raises:
            Refused: the record is of another tenant, or `judge` says no.
            Tampered: the record is damaged, or not the one asked for.
            NotFound: there is no record, or it was destroyed (code HY-2304).
        """
        await self._heed_destruction()
        key = (tenant, ik_id)
        held = self._reading.peek(key)
        if held is not None:
            if held.scope != scope:
                raise Tampered("the object names another scope than its key's")
            kek = await self._keks.find(held.kek_id)
            if kek is None:
                raise Refused("The object's key is not one of ours.", reason="AccessDenied")
            judge(kek)
            return handed(held)
        # Many who ask for one cold key share the look-up as well as the HSM's call.
        raw, created_ms = await self._records.get(
            key, RECORDS_REMEMBERED_MS, lambda: self.record_of(ik_id, tenant, scope, bucket)
        )
        kek = await self._known_kek(raw, ik_id, tenant, scope)
        ttl_ms = judge(kek)
        ik = await self._reading.get(
            key, ttl_ms, lambda: self._open(raw, ik_id, tenant, scope, bucket, created_ms)
        )
        return handed(ik)

    async def record_of(
        self, ik_id: bytes, tenant: str, scope: str, bucket: Bucket | None
    ) -> tuple[bytes, int]:
        """Return the record: the database's, or the mirror's where the database has none.

        The mirror is not asked for a scope whose records were destroyed: a store may have kept one.
        """
        row = await self._rows.find(ik_id, tenant, scope)
        raw, destroyed = row.raw, row.destroyed
        if not destroyed and ik_id.hex() in await self._buried_in(bucket):
            raw, destroyed = None, True
        if raw is None and not destroyed and bucket is not None:
            buried = await self._mirror.read(bucket, TOMBSTONES_FOLDER + ik_id.hex())
            destroyed = buried is not None
            if not destroyed:
                raw = await self._mirror.read(bucket, KEYRING_FOLDER + ik_id.hex())
        if raw is None:
            raise NotFound(
                "The key of this object was destroyed."
                if destroyed
                else "The key of this object is not known here.",
                reason="AccessDenied",
                code="HY-2304",
            )
        return raw, row.created_ms

    async def _buried_in(self, bucket: Bucket | None) -> Collection[str]:
        """Return the ids of the tombstones in a bucket, in hex.

        They outlive a database that is restored from a backup, which has the records again.

        Raises:
            Unavailable: the store does not answer; nobody knows then what was destroyed.
        """
        if bucket is None:
            return ()
        name = bucket.bucket_id
        seen = self._buried.get(name)
        if seen is None or not 0 <= self._clock_ms() - seen[0] < BURIED_REMEMBERED_MS:
            found = await self._mirror.list(bucket, TOMBSTONES_FOLDER)
            seen = self._clock_ms(), frozenset(one.rpartition("/")[2] for one in found)
            self._buried[name] = seen
        return seen[1]

    async def _known_kek(self, raw: bytes, ik_id: bytes, tenant: str, scope: str) -> Kek:
        """Return the record's KEK, everything checked that needs no key."""
        record = checked_record(raw, ik_id, scope)
        kek = await self._keks.find(record.kek_id)
        if kek is None or kek.tenant != tenant:
            raise Refused("The object's key is not one of ours.", reason="AccessDenied")
        if kek.spec.profile != record.profile:
            raise Tampered("a keyring record names another profile than its key has")
        return kek

    async def _open(
        self,
        raw: bytes,
        ik_id: bytes,
        tenant: str,
        scope: str,
        bucket: Bucket | None,
        created_ms: int,
    ) -> IK:
        kek = await self._known_kek(raw, ik_id, tenant, scope)
        check_use(kek.state, Use.UNWRAP)
        record = parse_record(raw)
        bucket_id = bucket.bucket_id if bucket is not None else ""
        secret = await self._tokens.secret(bucket_id, kek.spec, scope, record.token)
        return IK(
            ik_id,
            bytearray(open_record(record, secret)),
            kek.kek_id,
            record.profile,  # which is the KEK's, as was just checked
            kek.classification,
            scope,
            created_ms,
            raw,
        )

    async def keep_mirror(self, bucket: Bucket, kept: Collection[str]) -> int:
        """Make records that a bucket's mirror lacks anew; return how many.

        Only those that stand there by rule: of the bucket's names, of its tenant, and of the
        classifications ``kept``, which are not shreddable.  Never one with a tombstone, in database
        or bucket.

        Raises:
            Unavailable: store or database do not answer.
        """
        names = f"names:{bucket.bucket_id}"
        rows = await self._rows.of_scope(
            bucket.tenant,
            scopes=(f"bucket:{bucket.bucket_id}", names, f"tenant:{bucket.tenant}"),
            subjects_of=bucket.allowed & frozenset(kept),
        )
        wanted = {
            row.ik_id: row.raw
            for row in rows
            if row.classification in kept or row.ik_id == bucket.names_ik_id
        }
        there = await self._mirror.list(bucket, KEYRING_FOLDER)
        buried = await self._mirror.list(bucket, TOMBSTONES_FOLDER)
        known = {name.rpartition("/")[2] for name in (*there, *buried)}
        made = 0
        for ik_id, raw in wanted.items():
            if raw is None or ik_id.hex() in known:
                continue
            name = KEYRING_FOLDER + ik_id.hex()
            await self._mirror.write(bucket, name, raw)
            # Destroyed while we wrote: then whoever destroyed it may have looked before us.
            if (await self._rows.find(ik_id, bucket.tenant, names)).raw is None:
                await self._mirror.remove(bucket, name)
                continue
            made += 1
        return made

    def sweep(self) -> None:
        """Drop what is past its time."""
        self._reading.sweep()
        self._writing.sweep()
        self._records.sweep()

    def forget(self) -> None:
        """Drop every key in memory now."""
        self._reading.clear()
        self._writing.clear()
        self._records.clear()
        self._leases.forget()

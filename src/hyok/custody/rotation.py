"""KeyRotation: a new version of a KEK, and every keyring record under it.  No object is touched.

A rotation may be killed at any moment and begun again: what is left to do stands in the rows, as
the key version that keeps each record.

Source: docs/format.md, sections 9 and 11; NIST SP 800-57 part 1 rev. 5, section 7.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from hyok.custody.key_states import ALLOWED_USES, KeyState, Use, check_use
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.envelope.profiles import Profile
from hyok.envelope.records import checked_record, open_record, parse_record, seal_record
from hyok.errors import HyokError, NotFound, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.keyring_rows import Kept
    from hyok.custody.port import KeyringMirror
    from hyok.database.engine import Database
    from hyok.hsm.port import Hsm
    from hyok.vocabulary import Bucket

T = TypeVar("T")

BATCH_RECORDS = 256
"""Records of one transaction."""

PARALLEL = 8
"""Records at the HSM at a time; clients' calls go through the same lines."""

FAILED_SHOWN = 20
COPIES_AT_ONCE = 16

CALLS_A_RECORD = 2
"""The old token's secret, and a new token with its secret."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did, and what it left."""

    kek_id: str  # the version that keeps the records now
    records: int = 0  # written anew
    hsm_calls: int = 0
    mirrors: int = 0  # copies in buckets that were written anew
    failed: int = 0
    failures: tuple[str, ...] = ()  # the first of them, as sentences
    buried: int = 0  # records that were destroyed once: they are not moved

    @property
    def whole(self) -> bool:
        """Nothing is left under an older version."""
        return not self.failed


class KeyRotation:
    """Rotates KEKs.  Made once in each process."""

    def __init__(
        self,
        *,
        database: Database,
        hsm: Hsm,
        keks: KekCatalog,
        mirror: KeyringMirror,
        entropy: Callable[[int], bytes],
        clock_ms: Callable[[], int],
    ) -> None:
        self._rows = KeyringRows(database)
        self._hsm = hsm
        self._keks = keks
        self._mirror = mirror
        self._entropy = entropy
        self._clock_ms = clock_ms

    async def next_version(
        self,
        tenant: str,
        classification: str,
        profile: int = 0,
        *,
        anew: bool = False,
        buckets: Sequence[Bucket] = (),
    ) -> tuple[Kek, bool]:
        """Return the version that shall keep everything, active; and whether it is a new one.

        An earlier rotation that was broken off is carried on: then no further version is made.

        Args:
            tenant: whose key.
            classification: of what it keeps.
            profile: of the new version; 0: that of the one before.
            anew: make a new version also where an earlier rotation left records, as one does that
                is damaged and can never be moved.
            buckets: of the tenant; what their tombstones name was not left by a rotation.

        Raises:
            NotFound: there is no key yet (code HY-2310).
            Tampered: the HSM gave the old key another name, and no new one (code HY-2312).
            Unavailable: HSM or database do not answer.
        """
        versions = await self._keks.versions(tenant, classification)
        if not versions:
            raise NotFound(
                f"There is no key for {tenant}/{classification}.",
                code="HY-2310",
                next_step=f"hyok keys create --tenant {tenant} --classification {classification}",
            )
        newest = versions[-1]
        if newest.state is KeyState.PRE_ACTIVE:
            made = newest
        elif (
            newest.state is KeyState.ACTIVE
            and not anew
            and await self._left(newest, versions, buckets)
        ):
            return newest, False
        else:
            wanted = profile or newest.spec.profile
            now = self._clock_ms()
            made = await self._keks.make(self._hsm, tenant, classification, wanted, now)
        await self._hsm.check(made.spec)
        await self.check_distinct(made)
        return await self._keks.activate(made), True

    async def check_distinct(self, kek: Kek) -> None:
        """Return quietly if no older version opens what ``kek`` wraps.

        Raises:
            Tampered: one is the same key under another name (code HY-2312).
        """
        for older in await self._keks.versions(kek.tenant, kek.classification):
            if older.version >= kek.version or older.state is KeyState.DESTROYED:
                continue
            try:
                same = await self._hsm.is_same_key(older.spec, kek.spec)
            except NotFound:  # gone from the HSM already
                continue
            if same:
                raise Tampered(
                    f"The key {kek.kek_id} is the key {older.kek_id} under another name.",
                    code="HY-2312",
                    effect="It was not activated; the older version keeps everything as before.",
                    next_step="ask the HSM's vendor: C_GenerateKey must make a new key",
                )

    async def _left(self, kek: Kek, versions: Sequence[Kek], buckets: Sequence[Bucket]) -> bool:
        """Is a record under a version from which it could be moved?"""
        counts = await self._rows.count_by_kek()
        older = [
            one.kek_id
            for one in versions
            if one.kek_id != kek.kek_id and Use.CONTINUE in ALLOWED_USES[one.state]
        ]
        older = [name for name in older if counts.get(name)]
        buried = await self.buried(buckets) if older else frozenset()
        if not buried:
            return bool(older)
        rows = [kept for name in older for kept in await self._rows.under(name)]
        return any(kept.ik_id not in buried for kept in rows)

    async def buried(self, buckets: Sequence[Bucket]) -> frozenset[bytes]:
        """Return the keys that have a tombstone in a bucket.

        A database from before their end has them again; nothing may carry them on.

        Raises:
            Unavailable: a store does not answer.
        """
        found = [
            _ik_id_of(name)
            for bucket in buckets
            for name in await self._mirror.list(bucket, TOMBSTONES_FOLDER)
        ]
        return frozenset(found)

    async def move(
        self,
        kek: Kek,
        buckets: Sequence[Bucket],
        tell: Callable[[int], None] = lambda _records: None,
    ) -> Rotated:
        """Keep every record of the key's classification under ``kek``, in rows and mirrors.

        One with a tombstone in a bucket stays behind, to end with the version that keeps it.

        Args:
            kek: the version that keeps them from now on; active.
            buckets: those whose mirrors may hold a record.
            tell: called with the number of records gone through.

        Raises:
            Unavailable: HSM, database or a store do not answer; do it again later.
        """
        check_use(kek.state, Use.WRAP)
        done = Rotated(kek.kek_id)
        buried = await self.buried(buckets)
        after, seen = b"", 0
        while True:
            behind = await self._rows.behind(
                kek.tenant, kek.classification, kek.kek_id, after=after, limit=BATCH_RECORDS
            )
            if not behind:
                break
            living = [kept for kept in behind if kept.ik_id not in buried]
            done = replace(done, buried=done.buried + len(behind) - len(living))
            done = await self._move_batch(kek, living, done)
            after = behind[-1].ik_id
            seen += len(behind)
            tell(seen)
        for bucket in buckets:
            done = await self._renew_mirror(kek, bucket, done)
        return done

    async def _move_batch(self, kek: Kek, behind: Sequence[Kept], done: Rotated) -> Rotated:
        gate = asyncio.Semaphore(PARALLEL)

        async def one(kept: Kept) -> bytes | HyokError:
            async with gate:
                try:
                    return await self._renewed(kek, kept)
                except HyokError as error:
                    if error.retryable:
                        raise
                    return error

        renewed = await asyncio.gather(*(one(kept) for kept in behind))
        good = [
            (kept, raw) for kept, raw in zip(behind, renewed, strict=True) if isinstance(raw, bytes)
        ]
        # A record that was destroyed meanwhile stays destroyed: it is not what was read any more.
        changed = await self._rows.rewrite(good, kek.kek_id)
        bad = [
            f"record {kept.ik_id.hex()} under {kept.kek_id}: {error}"
            for kept, error in zip(behind, renewed, strict=True)
            if isinstance(error, HyokError)
        ]
        return replace(
            done,
            records=done.records + changed,
            hsm_calls=done.hsm_calls + CALLS_A_RECORD * len(good),
            failed=done.failed + len(bad),
            failures=(*done.failures, *bad)[:FAILED_SHOWN],
        )

    async def _renewed(self, kek: Kek, kept: Kept) -> bytes:
        """Return the record of the same intermediate key under ``kek``."""
        record = checked_record(kept.raw, kept.ik_id, kept.scope)
        old = await self._keks.find(record.kek_id)
        if old is None or (old.tenant, old.classification) != (kek.tenant, kek.classification):
            raise Refused(f"the key {record.kek_id} is none of this classification")
        check_use(old.state, Use.UNWRAP)
        if Use.CONTINUE not in ALLOWED_USES[old.state] and not is_fixed(kept.scope):
            raise Refused(
                f"{old.kek_id} was compromised: to wrap this key anew would not mend that",
                code="HY-2308",
                next_step=f"seal what it keeps anew: hyok keys reseal {old.kek_id}",
            )
        ik = open_record(record, await self._hsm.secret(old.spec, kept.scope, record.token))
        token, secret = await self._hsm.new_token(kek.spec, kept.scope)
        return seal_record(
            ik=ik,
            ik_id=kept.ik_id,
            salt=self._entropy(32),
            secret=secret,
            profile=Profile(kek.spec.profile),
            kek_id=kek.kek_id,
            scope=kept.scope,
            token=token,
        )

    async def _renew_mirror(self, kek: Kek, bucket: Bucket, done: Rotated) -> Rotated:
        """Write the copies in a bucket anew that are not what the row says."""

        async def one(name: str) -> int | str:
            ik_id = _ik_id_of(name)
            row = await self._rows.kept(ik_id) if ik_id else None
            if row is None or row.kek_id != kek.kek_id:
                return 0
            if await self._mirror.read(bucket, name) == row.raw:
                return 0
            try:
                await self._mirror.write(bucket, name, row.raw)
            except Refused as error:
                return f"the copy of {name} in bucket {bucket.bucket_id}: {error}"
            return 1

        told = await self._each_copy(bucket, one)
        changed = sum(found for found in told if isinstance(found, int))
        bad = [found for found in told if isinstance(found, str)]
        return replace(
            done,
            mirrors=done.mirrors + changed,
            failed=done.failed + len(bad),
            failures=(*done.failures, *bad)[:FAILED_SHOWN],
        )

    async def count_by_kek(self) -> dict[str, int]:
        """Return how many keyring records each key version keeps."""
        return dict(await self._rows.count_by_kek())

    async def records_under(self, kek: Kek) -> Mapping[bytes, bool]:
        """Return the records that a version keeps, by id: True where nothing can take its place."""
        return {kept.ik_id: is_fixed(kept.scope) for kept in await self._rows.under(kek.kek_id)}

    async def mirrored_under(self, kek: Kek, bucket: Bucket, beside: Collection[bytes] = ()) -> int:
        """Return how many copies of records in a bucket are still under this version.

        Those of the records ``beside`` do not count.
        """

        async def one(name: str) -> bool:
            raw = await self._mirror.read(bucket, name)
            mine = raw is not None and parse_record(raw).kek_id == kek.kek_id
            return mine and _ik_id_of(name) not in beside

        return sum(await self._each_copy(bucket, one))

    async def end_records(self, kek: Kek, buckets: Sequence[Bucket]) -> int:
        """Drop what a version keeps, in rows and in buckets; return how many records there were.

        For a version that is destroyed with them, so that no copy of one opens: no tombstones.

        Raises:
            Unavailable: database or a store do not answer; do it again.
        """
        gone = await self._rows.end_under(kek.kek_id, self._clock_ms())

        for bucket in buckets:

            async def drop(name: str, bucket: Bucket = bucket) -> None:
                raw = await self._mirror.read(bucket, name)
                if raw is not None and parse_record(raw).kek_id == kek.kek_id:
                    await self._mirror.remove(bucket, name)

            await self._each_copy(bucket, drop)
        return gone

    async def _each_copy(self, bucket: Bucket, act: Callable[[str], Awaitable[T]]) -> Sequence[T]:
        """Do something with every copy in a bucket, several at a time: a year has thousands."""
        names = await self._mirror.list(bucket, KEYRING_FOLDER)
        done: list[T] = []
        for begin in range(0, len(names), COPIES_AT_ONCE):
            batch = names[begin : begin + COPIES_AT_ONCE]
            done += await asyncio.gather(*(act(name) for name in batch))
        return done


def is_fixed(scope: str) -> bool:
    """Is it a key that nothing can take the place of: of a bucket's names, or the tenant's own?"""
    return scope.startswith(("names:", "tenant:"))


def _ik_id_of(name: str) -> bytes:
    """Return the id that a mirror's name holds; empty when it is none of ours."""
    try:
        return bytes.fromhex(name.rpartition("/")[2])
    except ValueError:
        return b""

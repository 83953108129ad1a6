"""Recovery: the database again, from the buckets and the HSM.

Keys come from the HSM, registrations and keyring records from each bucket's `.hyok/`, where they
stand sealed.  What stood in the database alone is lost and told: apps and their keys, open uploads,
states of keys, and the records of shreddable classifications with every object under them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from hyok.custody.lone_keys import LoneKeys, find_keks
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.rebuild import adopt_record, with_states
from hyok.custody.secret_box import HsmSecretBox
from hyok.database.tables import keyring
from hyok.envelope.block import Mode, parse
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Tampered, Unavailable
from hyok.objects import registration
from hyok.objects.opening import no_entropy
from hyok.objects.walk import walk
from hyok.vocabulary import Bucket, ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from hyok.backends.port import ObjectStore, Stored
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.database.engine import Database
    from hyok.hsm.port import Hsm
    from hyok.objects.mirror import StoreMirror
    from hyok.objects.registry import BucketRegistry


@dataclass(slots=True)
class BucketRecovery:
    """One bucket.  ``lost``: clear key (or store name) of objects that no key is left for."""

    bucket_id: str
    store: str
    backend_name: str
    added: bool = False
    records: int = 0
    refused_records: list[str] = field(default_factory=list)
    readable: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    open_uploads: int = 0


@dataclass(slots=True)
class RecoveryReport:
    """What was found.  ``skipped``: backend buckets without a registration of ours, and why."""

    keys: list[str] = field(default_factory=list)
    buckets: list[BucketRecovery] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many objects cannot be read any more."""
        return sum(len(bucket.lost) for bucket in self.buckets)

    def as_row(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


class Recovery:
    """Made for one run of `hyok recover`."""

    def __init__(
        self,
        *,
        database: Database,
        hsm: Hsm,
        keks: KekCatalog,
        registry: BucketRegistry,
        stores: Mapping[str, ObjectStore],
        mirror: StoreMirror,
        now_ms: int,
        moved: bool = False,
        tell: Callable[[str, int], None] = lambda _bucket, _count: None,
    ) -> None:
        self._database = database
        self._hsm = hsm
        self._catalog = keks
        self._registry = registry
        self._stores = stores
        self._mirror = mirror
        self._now_ms = now_ms
        self._moved = moved
        self._tell = tell

    async def run(self, named: Sequence[Kek] = (), *, look: bool = True) -> RecoveryReport:
        """Rebuild; what the database has already stays as it is.  ``look``: judge every object.

        Raises:
            NotFound: the HSM holds no key of ours.
        """
        report = RecoveryReport()
        found = await find_keks(self._hsm, named)
        if not found:
            raise NotFound(
                "the HSM holds no key of this installation",
                code="HY-2103",
                effect="Nothing was changed.",
                next_step="hyok doctor; restore the HSM's backup first",
            )
        await self._catalog.adopt(with_states(found, named), self._now_ms)
        report.keys = sorted(found)
        keys = LoneKeys(self._hsm, found, self._record)
        box = HsmSecretBox(self._hsm, keys, no_entropy)
        for store_name, store in self._stores.items():
            for backend in await store.list_buckets():
                try:
                    bucket = await self._bucket(box, store_name, backend)
                except Unavailable:
                    raise
                except HyokError as error:
                    report.skipped.append((f"{store_name}:{backend}", str(error)))
                    continue
                report.buckets.append(await self._rebuild(bucket, keys, look=look))
        return report

    async def _record(self, bucket: Bucket, ik_id: bytes) -> bytes | None:
        return await self._mirror.read(bucket, KEYRING_FOLDER + ik_id.hex())

    async def _bucket(self, box: HsmSecretBox, store: str, backend: str) -> Bucket:
        here = _place(store, backend)
        sealed = await self._mirror.read(here, registration.REGISTRATION)
        if sealed is None:
            raise NotFound("it has no registration of ours")
        bucket = registration.parse(await box.open(registration.PURPOSE, sealed))
        if (bucket.store, bucket.backend_name) == (store, backend):
            return bucket
        if not self._moved:
            raise Tampered(
                f"its registration is that of {bucket.store}:{bucket.backend_name}; "
                "if you moved it, say --moved"
            )
        return replace(bucket, store=store, backend_name=backend)

    async def _rebuild(self, bucket: Bucket, keys: LoneKeys, *, look: bool) -> BucketRecovery:
        found = BucketRecovery(bucket.bucket_id, bucket.store, bucket.backend_name)
        try:
            await self._registry.add(bucket)
            found.added = True
        except Conflict:
            pass  # it is known already
        dead = {
            name.removeprefix(TOMBSTONES_FOLDER)
            for name in await self._mirror.list(bucket, TOMBSTONES_FOLDER)
        }
        for name in await self._mirror.list(bucket, KEYRING_FOLDER):
            word = name.removeprefix(KEYRING_FOLDER)
            if word in dead:
                continue
            try:
                await self._adopt(bucket, keys, word, found)
            except Unavailable:
                raise
            except HyokError as error:
                found.refused_records.append(f"{word}: {error}")
        store = self._stores[bucket.store]
        found.open_uploads = len(await store.list_uploads(bucket.backend_name))
        if look:
            await self._look(bucket, store, keys, found)
        return found

    async def _adopt(
        self, bucket: Bucket, keys: LoneKeys, word: str, found: BucketRecovery
    ) -> None:
        try:
            ik_id = bytes.fromhex(word)
        except ValueError as error:
            raise Malformed("its name is no ik_id") from error
        raw = await self._record(bucket, ik_id)
        if raw is not None and await adopt_record(
            self._database, keys, bucket, ik_id, raw, self._now_ms
        ):
            found.records += 1

    async def _look(
        self, bucket: Bucket, store: ObjectStore, keys: LoneKeys, found: BucketRecovery
    ) -> None:
        """Judge every object by what its envelope names; no HSM call, no plaintext."""

        def act(connection: Connection) -> set[bytes]:
            rows = connection.execute(
                select(keyring.c.ik_id).where(
                    keyring.c.tenant == bucket.tenant, keyring.c.record.is_not(None)
                )
            )
            return {row.ik_id for row in rows}

        iks = await self._database.read(act)
        try:
            name_key = await keys.names_key(bucket)
        except HyokError as error:
            found.lost.append(("*", f"the key of its names is lost: {error}"))
            return
        async for key, entry in walk(store, bucket.backend_name, name_key):
            stored = await store.head(bucket.backend_name, entry.name)
            cause = "its name does not open" if key is None else await _cause(stored, keys, iks)
            if cause:
                found.lost.append((key or entry.name, cause))
            else:
                found.readable += 1
            self._tell(bucket.bucket_id, found.readable + len(found.lost))


async def _cause(stored: Stored, keys: LoneKeys, iks: set[bytes]) -> str:
    """Return why an object cannot be read; empty when its keys are here."""
    if stored.facts is None or not stored.facts.envelope:
        return "it carries no envelope"
    try:
        envelope = parse(stored.facts.envelope)
    except Malformed as error:
        return f"its envelope breaks a rule: {error}"
    if envelope.mode is Mode.KEYRING:
        return "" if envelope.token in iks else "its keyring record stood in the database alone"
    return "" if await keys.find(envelope.kek_id) else f"the HSM has no key {envelope.kek_id}"


def _place(store: str, backend: str) -> Bucket:
    """Return a bucket that is known by its place only."""
    return Bucket(backend, "", store, backend, ClassificationName(""), "clear")

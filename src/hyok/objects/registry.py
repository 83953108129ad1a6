"""BucketRegistry: which buckets there are, whose, where, under which classification.

A gateway asks it for every request, so it answers from memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from hyok.backends.own_objects import has_versions
from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import adoptions, buckets, tenants, uploads
from hyok.errors import Conflict, NotFound, Refused
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.registration import PURPOSE, REGISTRATION, render
from hyok.vocabulary import Bucket, ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.secret_box import HsmSecretBox as SecretBox
    from hyok.database.engine import Database
    from hyok.objects.mirror import StoreMirror
    from hyok.objects.places import Places
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask

EPOCH = "buckets"


@dataclass(frozen=True, slots=True)
class NewBucket:
    """What is asked for.  Empty: the default of the settings or of the classification."""

    bucket_id: str
    tenant: str
    store: str
    classification: ClassificationName
    names: str = ""
    backend_name: str = ""
    object_lock: bool = False


class BucketRegistry:
    """The table `buckets`, in memory, with a guarded age."""

    def __init__(
        self,
        database: Database,
        classifications: Classifications,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._classifications = classifications
        self._rows: EpochRows[Bucket] = EpochRows(database, clock_ms, EPOCH, self._load)

    async def get(self, bucket_id: str) -> Bucket:
        """Return a bucket.

        Raises:
            NotFound: no such bucket (reason ``NoSuchBucket``).
            Unavailable: the database has been away for longer than the memory may serve.
        """
        found = await self._rows.find(bucket_id)
        if found is None:
            raise NotFound("The specified bucket does not exist", reason="NoSuchBucket")
        return found

    async def of_tenant(self, tenant: str) -> Sequence[Bucket]:
        """Return a tenant's buckets by name."""
        rows = await self._rows.now()
        found = [bucket for bucket in rows.values() if bucket.tenant == tenant]
        return sorted(found, key=lambda bucket: bucket.bucket_id)

    async def all(self) -> Sequence[Bucket]:
        """Return every bucket by name."""
        return sorted((await self._rows.now()).values(), key=lambda bucket: bucket.bucket_id)

    async def fresh(self) -> Sequence[Bucket]:
        """Return every bucket by name, as the database has them this moment."""
        self._rows.stale()
        return await self.all()

    def _load(self, connection: Connection) -> Mapping[str, Bucket]:
        rows = connection.execute(select(buckets).where(buckets.c.state == "active"))
        return {row.bucket_id: self._bucket(row._asdict()) for row in rows}

    def _bucket(self, row: dict[str, object]) -> Bucket:
        classification = ClassificationName(str(row["classification"]))
        above = self._classifications.at_least(classification)
        allowed = row["allowed"]
        assert isinstance(allowed, list)
        rules = row["prefix_rules"]
        assert isinstance(rules, dict)
        documents = row["documents"]
        assert isinstance(documents, dict)
        ik_id = row["names_ik_id"]
        created = row["created_ms"]
        return Bucket(
            bucket_id=str(row["bucket_id"]),
            tenant=str(row["tenant"]),
            store=str(row["store"]),
            backend_name=str(row["backend_name"]),
            classification=classification,
            names=str(row["names"]),
            names_ik_id=ik_id if isinstance(ik_id, bytes) else b"",
            allowed=frozenset(map(str, allowed)) | above,
            prefix_rules=rules,
            created_ms=created if isinstance(created, int) else 0,
            documents=documents,
            public=bool(row["public"]),
            adoption=str(row["adoption"]),
        )

    async def add(self, bucket: Bucket) -> None:
        """Write a bucket down.

        Raises:
            Conflict: the name is taken (reason ``BucketAlreadyExists``).
        """

        def act(connection: Connection) -> None:
            taken = connection.execute(
                select(buckets.c.tenant).where(buckets.c.bucket_id == bucket.bucket_id)
            ).one_or_none()
            if taken is not None:
                mine = taken.tenant == bucket.tenant
                raise Conflict(
                    "The requested bucket name is not available.",
                    reason="BucketAlreadyOwnedByYou" if mine else "BucketAlreadyExists",
                )
            known = select(tenants.c.tenant).where(tenants.c.tenant == bucket.tenant)
            if connection.execute(known).one_or_none() is None:
                connection.execute(
                    insert(tenants).values(tenant=bucket.tenant, created_ms=bucket.created_ms)
                )
            connection.execute(
                insert(buckets).values(
                    bucket_id=bucket.bucket_id,
                    tenant=bucket.tenant,
                    store=bucket.store,
                    backend_name=bucket.backend_name,
                    classification=bucket.classification,
                    names=bucket.names,
                    names_ik_id=bucket.names_ik_id or None,
                    allowed=sorted(bucket.allowed),
                    prefix_rules=dict(bucket.prefix_rules),
                    created_ms=bucket.created_ms,
                    documents=dict(bucket.documents),
                    public=bucket.public,
                    adoption=bucket.adoption,
                )
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    async def set_document(self, bucket_id: str, kind: str, text: str) -> Bucket:
        """Keep a document of a bucket, or forget it (empty text); return the bucket as it is now.

        Raises:
            NotFound: no such bucket (reason ``NoSuchBucket``).
        """

        def change(row: dict[str, object]) -> dict[str, object]:
            documents = row["documents"]
            assert isinstance(documents, dict)
            others = {name: held for name, held in documents.items() if name != kind}
            return {"documents": others | ({kind: text} if text else {})}

        return await self._change(bucket_id, change)

    async def set_public(self, bucket_id: str, *, public: bool) -> Bucket:
        """Open a bucket to readers without credentials, or close it; return it as it is now.

        Raises:
            NotFound: no such bucket (reason ``NoSuchBucket``).
        """
        return await self._change(bucket_id, lambda _row: {"public": public})

    async def set_adoption(self, bucket_id: str, mode: str) -> Bucket:
        """Say how plaintext of before is treated; empty: none is left.

        Raises:
            NotFound: no such bucket (reason ``NoSuchBucket``).
        """
        return await self._change(bucket_id, lambda _row: {"adoption": mode})

    async def lower(
        self, bucket_id: str, to: ClassificationName, allowed: frozenset[str]
    ) -> Bucket:
        """Give a bucket a lower default; ``allowed``: what may stand there already.

        Raises:
            NotFound: no such bucket (reason ``NoSuchBucket``).
        """
        values: dict[str, object] = {"classification": to, "allowed": sorted(allowed)}
        return await self._change(bucket_id, lambda _row: values)

    async def _change(
        self, bucket_id: str, change: Callable[[dict[str, object]], dict[str, object]]
    ) -> Bucket:
        mine = buckets.c.bucket_id == bucket_id

        def act(connection: Connection) -> Bucket:
            # The row is held from the reading on, so that two changes do not undo each other.
            found = connection.execute(select(buckets).where(mine).with_for_update())
            row = found.one_or_none()
            if row is None:
                raise NotFound("The specified bucket does not exist", reason="NoSuchBucket")
            held = row._asdict()
            changed = change(held)
            connection.execute(update(buckets).where(mine).values(**changed))
            bump_epoch(connection, EPOCH)
            return self._bucket(held | changed)

        changed = await self._database.run(act)
        self._rows.stale()
        return changed

    async def remove(self, bucket_id: str) -> None:
        """Forget a bucket and its uploads."""

        def act(connection: Connection) -> None:
            connection.execute(delete(uploads).where(uploads.c.bucket_id == bucket_id))
            connection.execute(delete(adoptions).where(adoptions.c.bucket_id == bucket_id))
            connection.execute(delete(buckets).where(buckets.c.bucket_id == bucket_id))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()


class BucketKeeper:
    """Makes and removes buckets: registration, names key, backend bucket."""

    def __init__(
        self,
        *,
        registry: BucketRegistry,
        custodian: KeyCustodian,
        classifications: Classifications,
        places: Places,
        mirror: StoreMirror,
        box: SecretBox,
    ) -> None:
        self._registry = registry
        self._box = box
        self._custodian = custodian
        self._classifications = classifications
        self._places = places
        self._mirror = mirror

    async def create(self, ask: Ask, wanted: NewBucket) -> Bucket:
        """Make a bucket; nothing is left where a step fails before the registration.

        Raises:
            Refused: the classification takes no data; the app may not.
            Conflict: the name is taken.
        """
        ask, bucket = await self.plan(ask, wanted)
        store = self._places.store(bucket)
        await store.create_bucket(bucket.backend_name, object_lock=wanted.object_lock)
        bucket = await self.register(bucket)
        await self._custodian.conclude(ask, "done")
        return bucket

    async def plan(self, ask: Ask, wanted: NewBucket) -> tuple[Ask, Bucket]:
        """Return the bucket that would be made, decided and free; nothing is written yet.

        Raises:
            Refused: the classification takes no data; who asks may not.
            Conflict: the name is taken.
        """
        rule = self._classifications.get(wanted.classification)
        names = wanted.names or default_names(rule.seal.names, rule.level, wanted.classification)
        if names == "clear" and rule.seal.names == "sealed":
            raise Refused(
                f"Buckets of classification {wanted.classification} keep sealed names.",
                code="HY-3202",
            )
        bucket = Bucket(
            bucket_id=wanted.bucket_id,
            tenant=wanted.tenant,
            store=wanted.store,
            backend_name=wanted.backend_name or wanted.bucket_id,
            classification=wanted.classification,
            names=names,
            allowed=frozenset({wanted.classification}),
            created_ms=ask.at_ms,
        )
        ask = replace(ask, bucket=bucket, classification=wanted.classification)
        await self._custodian.decide(ask)
        await self._check_free(bucket)
        return ask, bucket

    async def register(self, bucket: Bucket) -> Bucket:
        """Make the key of its names, keep its registration, and serve it from now on."""
        if bucket.names == "sealed":
            bucket = replace(bucket, names_ik_id=await self._custodian.new_names_key(bucket))
        if bucket.adoption:
            # A registration in the store says that the bucket was ours.  One that a crash left
            # there would keep it from being adopted; one that is missing is made anew later.
            await self._registry.add(bucket)
            await self.keep_registration(bucket)
        else:
            await self.keep_registration(bucket)
            await self._registry.add(bucket)
        return bucket

    async def set_document(self, ask: Ask, kind: str, text: str) -> None:
        """Keep a document of the bucket that we answer ourselves, or forget it (empty text).

        Raises:
            Refused: the app may not; Unavailable.
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        bucket = await self._registry.set_document(ask.bucket.bucket_id, kind, text)
        await self.keep_registration(bucket)
        await self._custodian.conclude(ask, "done")

    async def set_public(self, ask: Ask, *, public: bool) -> None:
        """Open the bucket to readers without credentials, or close it.

        Raises:
            Refused: its classification lets nobody read unsigned (code HY-3205).
        """
        bucket = ask.bucket
        assert bucket is not None
        if public:
            self.check_publishable(bucket)
        # Opening takes several officers; to close what should not be open must not wait for them.
        ask = replace(ask, action="bucket:publish" if public else "bucket:withdraw")
        await self._custodian.decide(ask)
        await self._registry.set_public(bucket.bucket_id, public=public)
        await self._custodian.conclude(ask, "done")

    def check_publishable(self, bucket: Bucket) -> None:
        """Return quietly if the bucket may be opened to readers without credentials.

        Raises:
            Refused: its classification lets nobody read unsigned (code HY-3205).
        """
        if self._classifications.get(bucket.classification).access.anonymous != "read":
            raise Refused(
                f"Objects of classification {bucket.classification} are never read without "
                "credentials.",
                reason="AccessDenied",
                code="HY-3205",
                next_step="use a bucket of a classification with access.anonymous: read",
            )

    async def lower(self, ask: Ask, to: ClassificationName) -> None:
        """Lower what is written to the bucket from now on; what stands there stays readable.

        Raises:
            Refused: the officers did not approve it; Unavailable.
        """
        bucket = ask.bucket
        assert bucket is not None
        await self._custodian.decide(ask)
        allowed = bucket.allowed | self._classifications.at_least(bucket.classification)
        changed = await self._registry.lower(bucket.bucket_id, to, allowed)
        await self.keep_registration(changed)
        await self._custodian.conclude(ask, "done")

    async def keep_registration(self, bucket: Bucket, *, only_if_missing: bool = False) -> None:
        """Write what a rebuilt database needs to know of the bucket under `.hyok/`, sealed.

        Raises:
            Unavailable: HSM or store do not answer.
        """
        if only_if_missing and await self._mirror.read(bucket, REGISTRATION) is not None:
            return
        await self._custodian.mirror_tenant_key(bucket)
        allowed = bucket.allowed | self._classifications.at_least(bucket.classification)
        sealed = await self._box.seal(PURPOSE, render(bucket, allowed))
        await self._mirror.write(bucket, REGISTRATION, sealed)

    async def keep_records(self, bucket: Bucket) -> int:
        """Make keyring records that the bucket's mirror lost anew; return how many.

        Raises:
            Unavailable: database or store do not answer.
        """
        return await self._custodian.keep_mirror(bucket)

    async def _check_free(self, bucket: Bucket) -> None:
        try:
            taken = await self._registry.get(bucket.bucket_id)
        except NotFound:
            return
        mine = taken.tenant == bucket.tenant
        raise Conflict(
            "The requested bucket name is not available.",
            reason="BucketAlreadyOwnedByYou" if mine else "BucketAlreadyExists",
        )

    async def delete(self, ask: Ask) -> None:
        """Remove an empty bucket, with its reserved prefix.

        Raises:
            Conflict: objects stand in it, or versions of such as were deleted (reason
                ``BucketNotEmpty``).
        """
        bucket = ask.bucket
        assert bucket is not None
        await self._custodian.decide(ask)
        store = self._places.store(bucket)
        page = await store.list(bucket.backend_name, limit=2, delimiter="/")
        shown = page.objects or any(prefix != RESERVED for prefix in page.prefixes)
        if shown or await has_versions(store, bucket.backend_name, beside=RESERVED):
            raise Conflict("The bucket you tried to delete is not empty", reason="BucketNotEmpty")
        for name in await self._mirror.list(bucket, ""):
            await self._mirror.remove(bucket, name)
        await store.delete_bucket(bucket.backend_name)
        await self._registry.remove(bucket.bucket_id)
        await self._custodian.conclude(ask, "done")


def default_names(demanded: str, level: int, classification: str) -> str:
    """Return ``sealed`` for what demands it (`vertrouwelijk` or higher) and for the unknown."""
    del level
    return "sealed" if demanded == "sealed" or classification == "onbekend" else "clear"

"""Sealed objects over keys and stores in memory, with a count of what the HSM was asked."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import CLASSES, House, asking, bucket

from hyok.custody.secret_box import HsmSecretBox
from hyok.database.leases import Leases
from hyok.errors import Conflict
from hyok.objects.adoption import Adoptions
from hyok.objects.asides import Asides
from hyok.objects.facts import Proofs, PutFacts
from hyok.objects.inventory import Inventories
from hyok.objects.multipart import MultipartVault
from hyok.objects.places import Places
from hyok.objects.registry import BucketRegistry
from hyok.objects.replacing import Replacements
from hyok.objects.streams import Rooms
from hyok.objects.uploads import UploadLedger
from hyok.objects.vault import ObjectVault
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import ObjectStore
    from hyok.vocabulary import Ask, Bucket, Source

T = TypeVar("T")


class Here:
    """A pump without threads."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


class Body:
    """A body that proves nothing."""

    def __init__(self, plain: bytes) -> None:
        self._plain = plain
        self.size = len(plain)

    async def whole(self) -> memoryview:
        assert self.size <= WHOLE_BODY_BYTES_MAX
        return memoryview(self._plain)

    async def pump(self, work: Callable[[Source], T]) -> T:
        return work(MemorySource(self._plain))

    def proofs(self) -> Proofs:
        return Proofs()


@dataclass
class Vaults:
    """One worker: custody, and objects over one store called ``local``."""

    house: House
    store: ObjectStore
    vault: ObjectVault
    multipart: MultipartVault
    buckets: dict[str, Bucket]
    inventories: Inventories
    leases: Leases

    async def make_bucket(self, name: str, classification: str) -> None:
        """Register a bucket as `hyok buckets create` would."""
        made = bucket(name, default=classification)
        await self.store.create_bucket(name)
        if CLASSES.get(made.classification).seal.names == "sealed":
            ik_id = await self.house.custodian.new_names_key(made)
            made = replace(made, names="sealed", names_ik_id=ik_id)
        registry = BucketRegistry(self.house.database, CLASSES, lambda: self.house.now[0])
        with suppress(Conflict):  # another worker of the same installation made it
            await registry.add(made)
        self.buckets[name] = made

    def ask(
        self,
        key: str = "sleutel",
        action: str = "object:put",
        *,
        bucket_id: str = "",
        classification: str = "",
        case: str = "",
    ) -> Ask:
        """Return what an app of the tenant asks; writes get the bucket's classification."""
        here = self.buckets[bucket_id or next(iter(self.buckets))]
        writing = action == "object:put"
        name = classification or (here.classification if writing else None)
        return replace(asking(name, action, case=case), bucket=here, key=key)

    @property
    def asked(self) -> int:
        """How often the HSM was asked for a secret so far."""
        return sum(method in ("secret", "new_token") for method, _, _ in self.house.hsm.asked)

    async def put(self, ask: Ask, plain: bytes, facts: PutFacts | None = None) -> None:
        await self.vault.put(ask, Body(plain), facts or PutFacts())

    async def get(self, ask: Ask) -> bytes:
        opened = await self.vault.open(replace(ask, action="object:get", classification=None), None)
        try:
            return bytes(opened.whole())
        finally:
            await opened.close()

    async def upload(self, ask: Ask, *parts: bytes, facts: PutFacts | None = None) -> None:
        begun = await self.multipart.create(ask, facts or PutFacts())
        wanted = [
            (n, (await self.multipart.upload_part(ask, begun.upload_id, n, Body(part)))[0])
            for n, part in enumerate(parts, 1)
        ]
        await self.multipart.complete(ask, begun.upload_id, wanted)


async def vaults_over(
    house: House,
    store: ObjectStore | None = None,
    *,
    classification: str = "openbaar",
    name: str = "dossiers",
) -> Vaults:
    """Return a worker over a store with one bucket of this classification."""
    made = store or MemoryStore()
    places = Places({"local": made}, house.custodian)
    rooms = Rooms()
    inventories = Inventories(
        house.database,
        HsmSecretBox(house.hsm, house.keks, secrets.token_bytes),
        secrets.token_bytes,
    )
    leases = Leases(house.database, secrets.token_bytes, lambda: house.now[0])
    adoptions = Adoptions(
        inventories=inventories,
        places=places,
        custodian=house.custodian,
        classifications=CLASSES,
        rooms=rooms,
    )
    vault = ObjectVault(
        places=places,
        custodian=house.custodian,
        classifications=CLASSES,
        rooms=rooms,
        pump=Here(),
        entropy=secrets.token_bytes,
        adoptions=adoptions,
        replacements=Replacements(adoptions, leases),
    )
    multipart = MultipartVault(vault, UploadLedger(house.database), Asides(house.database))
    vaults = Vaults(house, made, vault, multipart, {}, inventories, leases)
    await vaults.make_bucket(name, classification)
    return vaults

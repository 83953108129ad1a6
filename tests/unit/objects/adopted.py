"""A bucket that held plaintext before it was registered, over a store in memory."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import CLASSES
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.backends.port import ALWAYS, StoredFacts
from hyok.custody.secret_box import HsmSecretBox
from hyok.jobs.ledger import JobLedger
from hyok.jobs.runner import Runner
from hyok.jobs.seal_adopted import SealAdopted
from hyok.objects.adopting import ACTION, Adopter
from hyok.objects.adoption_sealing import ACTION as SEAL_ACTION
from hyok.objects.listing import Listings
from hyok.objects.mirror import StoreMirror
from hyok.objects.plain_versions import PlainVersions
from hyok.objects.registry import BucketKeeper, BucketRegistry, NewBucket
from hyok.vocabulary import ClassificationName, Principal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import Stored
    from hyok.jobs.catalog import Progress
    from hyok.objects.adopting import AdoptReport
    from hyok.vocabulary import Ask

CLASS_OF = {"clear": "intern", "sealed": "vertrouwelijk"}
BACKEND = "van-vroeger"


class Shelf(MutableMapping[str, "tuple[Stored, bytes]"]):
    """What the store's holder sees and may change: the newest version under each name."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @property
    def _names(self) -> dict[str, list[Any]]:
        return self._store._bucket(BACKEND).names

    def __getitem__(self, name: str) -> tuple[Stored, bytes]:
        if self._store._shown(BACKEND, name) is None:
            raise KeyError(name)
        return self._store.newest(BACKEND, name)

    def __setitem__(self, name: str, held: tuple[Stored, bytes]) -> None:
        stored = replace(held[0], name=name)
        facts = stored.facts or StoredFacts()
        if name in self:
            self._store.tamper(BACKEND, name, stored, held[1])
        else:
            self._store._store(BACKEND, name, held[1], facts, ALWAYS)
            self._store.tamper(BACKEND, name, stored, held[1])

    def __delitem__(self, name: str) -> None:
        del self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._names if self._store._shown(BACKEND, name)])

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class Adopting:
    """What an operator and the clients of an installation with one such bucket can do."""

    vaults: Vaults
    store: MemoryStore
    registry: BucketRegistry
    adopter: Adopter
    listings: Listings
    names: str

    @property
    def plain_versions(self) -> PlainVersions:
        house, vaults = self.vaults.house, self.vaults
        now = lambda: house.now[0]  # noqa: E731
        return PlainVersions(vaults.vault.places, vaults.inventories, house.custodian, now)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.store)

    def operator(self, action: str = ACTION) -> Ask:
        ask = self.vaults.ask("", action)
        officer = Principal("operator:x", "t", kind="officer", clearance=100)
        return replace(ask, principal=officer, bucket=None, classification=None)

    async def adopt(self, mode: str, bucket_id: str = "archief") -> AdoptReport:
        wanted = NewBucket(
            bucket_id=bucket_id,
            tenant="t",
            store="local",
            classification=ClassificationName(CLASS_OF[self.names]),
            names=self.names,
            backend_name=BACKEND,
        )
        found = await self.adopter.adopt(self.operator(), wanted, mode)
        self.vaults.buckets[bucket_id] = found.bucket
        return found

    async def change_mode(self, mode: str) -> AdoptReport:
        ask = replace(self.operator(), bucket=self.vaults.buckets["archief"])
        found = await self.adopter.change_mode(ask, mode)
        self.vaults.buckets["archief"] = found.bucket
        return found

    def ask(self, key: str, action: str = "object:put") -> Ask:
        return self.vaults.ask(key, action, bucket_id="archief")

    async def get(self, key: str) -> bytes:
        return await self.vaults.get(self.ask(key, "object:get"))

    async def put(self, key: str, plain: bytes) -> None:
        await self.vaults.put(self.ask(key), plain)

    async def delete(self, key: str) -> None:
        ask = self.ask(key, "object:delete")
        ask = replace(
            ask,
            principal=replace(ask.principal, grants=frozenset({"delete"})),
            classification=None,
        )
        await self.vaults.vault.delete(ask)

    def runner(self) -> Runner:
        house = self.vaults.house

        async def work(_kind: str, bucket_id: str) -> SealAdopted:
            bucket = await self.registry.get(bucket_id)
            return SealAdopted(
                self.vaults.vault,
                self.vaults.inventories,
                self.registry,
                self.plain_versions,
                lambda: replace(self.operator(SEAL_ACTION), bucket=bucket),
            )

        def tick() -> int:  # time passes for whoever waits
            house.now[0] += 1_000
            return house.now[0]

        return Runner(
            JobLedger(house.database),
            self.vaults.leases,
            work,
            tick,
            secrets.token_bytes,
        )

    async def seal(self) -> Progress:
        runner = self.runner()
        job = await runner.begin("seal", "archief", "operator:x")
        await runner.ledger.reopen(job)
        found = await runner.run(job)
        self.registry._rows.stale()
        self.vaults.buckets["archief"] = await self.registry.get("archief")
        return found

    def in_clear(self) -> set[str]:
        """Return the names of what stands in the store without envelope, our own records aside."""
        return {
            name
            for name, (stored, _) in self.shelf.items()
            if not name.startswith(".hyok/") and not (stored.facts and stored.facts.envelope)
        }


async def adopting(house: House, objects: Mapping[str, bytes], names: str = "clear") -> Adopting:
    """Return an installation whose store holds these objects in clear, not adopted yet."""
    store = MemoryStore()
    vaults = await vaults_over(house, store, name="eigen")
    await store.create_bucket(BACKEND)
    for key, plain in objects.items():
        facts = StoredFacts(
            clear={"content-type": "text/x"}, user_metadata={"van": "vroeger"}, tags={"a": "b"}
        )
        await store.put_whole(BACKEND, key, plain, facts)
    places = vaults.vault.places
    mirror = StoreMirror({"local": store})
    registry = BucketRegistry(house.database, CLASSES, lambda: house.now[0])
    keeper = BucketKeeper(
        registry=registry,
        custodian=house.custodian,
        classifications=CLASSES,
        places=places,
        mirror=mirror,
        box=HsmSecretBox(house.hsm, house.keks, secrets.token_bytes),
    )
    adopter = Adopter(
        registry=registry,
        keeper=keeper,
        inventories=vaults.inventories,
        mirror=mirror,
        places=places,
        custodian=house.custodian,
        leases=vaults.leases,
    )
    listings = Listings(places, house.custodian, secrets.token_bytes, vaults.inventories)
    return Adopting(vaults, store, registry, adopter, listings, names)

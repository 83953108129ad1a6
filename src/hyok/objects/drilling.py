"""Drill: a sample of objects of every classification, opened with keys of a restored database.

It reads and never writes: stores, HSM and the restored copy are asked, the running database is
not.  Plaintext is hashed and forgotten.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.errors import HyokError, NotFound, Tampered
from hyok.objects.envelopes import envelopes
from hyok.objects.places import Place
from hyok.objects.reading import ObjectReader
from hyok.s3.checksums import Checksum, decode, parse_algorithm
from hyok.vocabulary import Ask, Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.backends.port import ObjectStore
    from hyok.custody.kek import Kek
    from hyok.custody.keyring_rows import KeyringRows
    from hyok.custody.lone_keys import LoneKeys
    from hyok.custody.port import KeyringMirror
    from hyok.envelope.names import NameKey
    from hyok.objects.envelopes import Sealed
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.streams import Rooms
    from hyok.vocabulary import Bucket, Pump

KEY_IS_GONE = "HY-2304"


@dataclass(slots=True)
class ClassResult:
    """What came of the objects of one classification.

    ``newer``: written after the backup, under keys that it cannot have.  ``destroyed``: their key
    has a tombstone, so they must not open.
    """

    looked_at: int = 0
    sampled: int = 0
    opened: int = 0
    size_bytes: int = 0
    checksums: int = 0  # compared with one that the object carries
    newer: int = 0
    destroyed: int = 0
    failures: list[str] = field(default_factory=list)


def records_of(
    rows: KeyringRows, mirror: KeyringMirror
) -> Callable[[Bucket, bytes], Awaitable[bytes | None]]:
    """Return what finds a keyring record as a restored gateway would."""

    async def find(bucket: Bucket, ik_id: bytes) -> bytes | None:
        # A tombstone stops a record that came back with the backup.
        if await mirror.read(bucket, TOMBSTONES_FOLDER + ik_id.hex()) is not None:
            return None
        kept = await rows.kept(ik_id)
        if kept is not None:
            return kept.raw
        return await mirror.read(bucket, KEYRING_FOLDER + ik_id.hex())

    return find


class Drill:
    """Opens samples.

    Args:
        stores: where the objects stand.
        mirror: tells what was destroyed.
        keks: key versions of the restored database, by name.
        keys: open envelopes with them and the HSM.
        rooms, pump: for streaming.
        made_ms: when the backup was made.
        below: returns a random number below another.
    """

    def __init__(
        self,
        *,
        stores: Mapping[str, ObjectStore],
        mirror: KeyringMirror,
        keks: Mapping[str, Kek],
        keys: LoneKeys,
        rooms: Rooms,
        pump: Pump,
        made_ms: int,
        below: Callable[[int], int],
    ) -> None:
        self._stores = stores
        self._mirror = mirror
        self._keks = keks
        self._keys = keys
        self._reader = ObjectReader(keys, rooms)
        self._pump = pump
        self._made_ms = made_ms
        self._below = below

    async def run(
        self,
        buckets: Sequence[Bucket],
        per_class: int,
        look_max: int,
        tell: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> Mapping[str, ClassResult]:
        """Sample ``per_class`` objects of each classification in each bucket and open them.

        At most ``look_max`` envelopes of a bucket are looked at to choose from.

        Raises:
            Unavailable: store or HSM do not answer.
        """
        results: dict[str, ClassResult] = {}
        opened = size = 0
        for bucket in buckets:
            try:
                name_key = await self._keys.names_key(bucket)
            except HyokError as error:
                if error.retryable:
                    raise
                result = results.setdefault(bucket.classification, ClassResult())
                result.failures.append(f"names of bucket {bucket.bucket_id}: {error}")
                continue
            for name, chosen in (await self._chosen(bucket, per_class, look_max, results)).items():
                for one in chosen:
                    await self._one(bucket, name_key, one, results[name])
                    opened, size = opened + 1, size + one.size
                    tell(opened, size)
        return results

    async def _chosen(
        self, bucket: Bucket, per_class: int, look_max: int, results: dict[str, ClassResult]
    ) -> Mapping[str, Sequence[Sealed]]:
        """Return a random sample of each classification (reservoir sampling)."""
        chosen: dict[str, list[Sealed]] = {}
        seen: dict[str, int] = {}
        looked = 0
        async with aclosing(envelopes(self._stores[bucket.store], bucket)) as everything:
            async for one in everything:
                kek = self._keks.get(one.envelope.kek_id)
                name = kek.classification if kek is not None else bucket.classification
                seen[name] = seen.get(name, 0) + 1
                mine = chosen.setdefault(name, [])
                if len(mine) < per_class:
                    mine.append(one)
                elif (place := self._below(seen[name])) < per_class:
                    mine[place] = one
                looked += 1
                if looked >= look_max:
                    break
        for name, count in seen.items():
            results.setdefault(name, ClassResult()).looked_at += count
        return chosen

    async def _one(
        self, bucket: Bucket, name_key: NameKey | None, one: Sealed, result: ClassResult
    ) -> None:
        place = Place(self._stores[bucket.store], bucket.backend_name, one.name)
        try:
            stored = await place.store.head(place.bucket, place.name, one.version_id)
        except NotFound:  # removed since it was chosen: the installation runs on beside
            return
        result.sampled += 1
        try:
            key = one.name if name_key is None else name_key.open(one.name)
            ask = Ask(
                principal=Principal(id="drill", tenant=bucket.tenant, kind="officer"),
                action="object:get",
                bucket=bucket,
                key=key,
                request_id="",
                origin="local",
                at_ms=0,
            )
            opened = await self._reader.open(
                ask, place, stored, asked=None, checksums=True, body=True
            )
            try:
                sink = _Sum(opened.facts)
                await self._pump.run(lambda: opened.pour(lambda: sink))
            finally:
                await opened.close()
            result.checksums += sink.check(opened.facts)
        except HyokError as error:
            if error.retryable:
                raise
            if error.code == KEY_IS_GONE and await self._is_buried(bucket, one):
                result.destroyed += 1
                return
            if error.code == KEY_IS_GONE and stored.modified_ms > self._made_ms:
                result.newer += 1
                return
            # No name and no key: an object's id says which it is to who may know.
            what = f"object {one.envelope.object_id.hex()} of bucket {bucket.bucket_id}"
            result.failures.append(f"{what}: {error}")
            return
        result.opened += 1
        result.size_bytes += opened.facts.size

    async def _is_buried(self, bucket: Bucket, one: Sealed) -> bool:
        name = TOMBSTONES_FOLDER + one.envelope.token.hex()
        return await self._mirror.read(bucket, name) is not None


class _Sum:
    """A sink that keeps length and checksum, and nothing of the content."""

    def __init__(self, facts: ObjectFacts) -> None:
        self._size = 0
        self._sums: dict[str, Checksum] = {}
        if facts.checksum_type == "FULL_OBJECT":
            self._sums = {name: Checksum(parse_algorithm(name)) for name in facts.checksums}

    def write(self, view: memoryview) -> None:
        self._size += len(view)
        for one in self._sums.values():
            one.update(view)

    def check(self, facts: ObjectFacts) -> int:
        """Return how many checksums the object carries, each the same as its content's.

        Raises:
            Tampered: length or a checksum is another.
        """
        if self._size != facts.size:
            raise Tampered("the opened object has another length than was sealed")
        for name, one in self._sums.items():
            if one.digest() != decode(parse_algorithm(name), facts.checksums[name]):
                raise Tampered(f"the opened object has another {name} than was sealed")
        return len(self._sums)

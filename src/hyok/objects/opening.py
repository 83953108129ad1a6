"""Opening without a gateway: an export folder or a copied bucket, with an HSM alone.

Nothing here needs the database, the policies or the audit log; the HSM's own log shows the calls.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.custody.lone_keys import LoneKeys
from hyok.custody.port import KEYRING_FOLDER, TOMBSTONES_FOLDER
from hyok.custody.secret_box import HsmSecretBox
from hyok.errors import HyokError, NotFound, Tampered
from hyok.objects import export_folder as layout
from hyok.objects import registration
from hyok.objects.export_folder import Page, SealedFolder
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.places import FilePlace, ReadPlace
from hyok.objects.plain_folder import INDEX, PlainFile, PlainFolder
from hyok.objects.reading import ObjectReader
from hyok.objects.streams import Rooms
from hyok.objects.walk import walk
from hyok.vocabulary import Ask, Bucket, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TextIO

    from hyok.backends.port import ObjectStore, Stored
    from hyok.custody.kek import Kek
    from hyok.hsm.port import Hsm
    from hyok.objects.export_folder import Exported


@dataclass(slots=True)
class OpenReport:
    """What was opened.  ``failed``: key (or the store's name) and why."""

    objects: int = 0
    plain_bytes: int = 0
    complete: bool = True
    failed: list[tuple[str, str]] = field(default_factory=list)


def no_entropy(count: int) -> bytes:
    """Stand where random bytes are wanted: nothing is sealed here."""
    raise AssertionError(count)


class Opener:
    """Writes plaintexts to a folder.  ``tell`` is called with the counts after each object."""

    def __init__(
        self,
        hsm: Hsm,
        keks: Mapping[str, Kek],
        target: Path,
        tell: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> None:
        self._hsm = hsm
        self._keks = keks
        self._target = target
        self._tell = tell
        self._rooms = Rooms()
        self._report = OpenReport()
        self._folder = PlainFolder(target)

    async def export(self, folder: Path, prefix: str) -> OpenReport:
        """Open what `hyok export` wrote.

        Raises:
            Malformed: it is no export folder.
            Tampered: its manifest was not sealed under this HSM's key.
        """
        export_id = layout.export_id_of(folder)

        async def records(_bucket: Bucket, ik_id: bytes) -> bytes | None:
            path = folder / layout.record_file(ik_id)
            return path.read_bytes() if path.exists() else None

        keys = LoneKeys(self._hsm, self._keks, records)
        box = HsmSecretBox(self._hsm, keys, no_entropy)
        number, last = 0, False
        with (self._target / INDEX).open("w") as index:
            while (path := folder / layout.page_file(number + 1)).exists():
                number += 1
                page = Page.parse(
                    await box.open(layout.purpose(export_id, number), path.read_bytes())
                )
                last = page.last
                bucket = registration.parse(page.registration.encode())
                for found in page.objects:
                    if found.key.startswith(prefix):
                        await self._exported(folder, bucket, found, keys, index)
        self._report.complete = last
        return self._report

    async def _exported(
        self, folder: Path, bucket: Bucket, found: Exported, keys: LoneKeys, index: TextIO
    ) -> None:
        here = SealedFolder(folder)
        try:
            stored = here.stored(found.file)
            place = FilePlace(here, found.file)
            await self._one(bucket, found.key, place, stored, keys, index, found)
        except HyokError as error:
            self._report.failed.append((found.key, str(error)))

    async def copied(self, store: ObjectStore, backend: str, prefix: str) -> OpenReport:
        """Open a copied bucket, from its `.hyok/` prefix and its objects.

        Raises:
            NotFound: it has no registration (code HY-3505).
            Tampered: the registration was not sealed under this HSM's key.
        """

        async def read(name: str) -> bytes | None:
            try:
                return (await store.read_whole(backend, RESERVED + name))[1]
            except NotFound:
                return None

        async def records(_bucket: Bucket, ik_id: bytes) -> bytes | None:
            # A tombstone stops a record that came back with an old copy.
            if await read(TOMBSTONES_FOLDER + ik_id.hex()) is not None:
                return None
            return await read(KEYRING_FOLDER + ik_id.hex())

        keys = LoneKeys(self._hsm, self._keks, records)
        sealed = await read(registration.REGISTRATION)
        if sealed is None:
            raise NotFound(
                f"bucket {backend} has no registration under {RESERVED}",
                code="HY-3505",
                next_step="copy the bucket with its .hyok/ prefix, or open an export",
            )
        box = HsmSecretBox(self._hsm, keys, no_entropy)
        bucket = registration.parse(await box.open(registration.PURPOSE, sealed))
        name_key = await keys.names_key(bucket)
        with (self._target / INDEX).open("w") as index:
            async for key, entry in walk(store, backend, name_key, prefix):
                try:
                    if key is None:
                        raise Tampered("its name was not written by this gateway")
                    stored = await store.head(backend, entry.name)
                    place = _StorePlace(store, backend, entry.name)
                    await self._one(bucket, key, place, stored, keys, index)
                except HyokError as error:
                    self._report.failed.append((key or entry.name, str(error)))
        return self._report

    async def _one(
        self,
        bucket: Bucket,
        key: str,
        place: ReadPlace,
        stored: Stored,
        keys: LoneKeys,
        index: TextIO,
        listed: Exported | None = None,
    ) -> None:
        """Open one object into a file; it must be the one that the manifest lists."""
        ask = Ask(
            principal=Principal(id="opener", tenant=bucket.tenant, kind="officer"),
            action="object:get",
            bucket=bucket,
            key=key,
            request_id="",
            origin="local",
            at_ms=0,
        )
        reader = ObjectReader(keys, self._rooms)
        opened = await reader.open(
            ask, place, stored, asked=None, checksums=False, body=True, tags=True
        )
        path = self._folder.place(key)
        try:
            with PlainFile(path) as file:
                # A store's bytes are read by blocking calls, which need the loop to be free.
                await asyncio.to_thread(opened.pour, lambda: file)
                if listed is not None and file.digest.hexdigest() != listed.sha256:
                    raise Tampered("it is another object than was exported")
                file.keep()
        finally:
            await opened.close()
        facts = opened.facts
        row = {
            "key": key,
            "file": self._folder.relative(path),
            "size": facts.size,
            "sha256": file.digest.hexdigest(),
            "classification": facts.classification,
            # What policy left in clear stands beside an object, not in its sealed file.
            "headers": dict((listed or facts).headers),
            "user_metadata": dict((listed or facts).user_metadata),
            "tags": dict((listed or facts).tags),
        }
        index.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._report.objects += 1
        self._report.plain_bytes += facts.size
        self._tell(self._report.objects, self._report.plain_bytes)


@dataclass(frozen=True, slots=True)
class _StorePlace:
    store: ObjectStore
    bucket: str
    name: str

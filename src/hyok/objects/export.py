"""Export: sealed files as they stand, each proven by opening it once, and what `open` needs.

A folder that was broken off goes on where its last page ends: pages are written after their files.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hyok.envelope.block import Mode, parse
from hyok.envelope.sealed_file import render_block
from hyok.errors import HyokError, Tampered
from hyok.objects import export_folder as layout
from hyok.objects.export_folder import Exported, Page, SealedFolder
from hyok.objects.places import FilePlace
from hyok.objects.reading import ObjectReader
from hyok.objects.registration import render
from hyok.objects.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hyok.backends.port import Listed, Stored, StoreSource
    from hyok.custody.keyring import Keyring
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.opened import Opened
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask

_COPY_BYTES = 1 << 20


@dataclass(slots=True)
class ExportReport:
    """What an export did.  ``failed``: key (or store name) and why."""

    objects: int = 0
    plain_bytes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class HashSink:
    """Takes plaintext and keeps its SHA-256 alone."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, view: memoryview) -> None:
        """Take all of ``view``."""
        self.digest.update(view)


class Exporter:
    """Exports one bucket, or the keys below a prefix."""

    def __init__(
        self, vault: ObjectVault, keyring: Keyring, box: HsmSecretBox, folder: Path
    ) -> None:
        self._vault = vault
        self._keyring = keyring
        self._box = box
        self._folder = folder
        self._reader = ObjectReader(vault.custodian, vault.rooms)
        self._records: set[bytes] = set()

    async def run(
        self,
        ask: Ask,
        prefix: str,
        export_id: str,
        tell: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> ExportReport:
        """Write the folder; go on where an earlier run of the same folder stopped.

        ``tell`` is called after each object with the count and the plaintext bytes so far.

        Raises:
            Refused, Unavailable: nothing more is written; run it again to go on.
        """
        assert ask.bucket is not None
        bucket = ask.bucket
        report = ExportReport()
        pages, after = await self._resume(export_id, report)
        if pages < 0:
            return report
        name_key = await self._vault.places.name_key(bucket)
        if name_key is not None:
            await self._keep_record(bucket.names_ik_id, f"names:{bucket.bucket_id}", ask)
        registration = render(bucket, bucket.allowed).decode()
        batch: list[Exported] = []
        store = self._vault.places.store(bucket)
        async for key, entry in walk(store, bucket.backend_name, name_key, prefix, after):
            try:
                if key is None:
                    raise Tampered("its name was not written by this gateway")
                number = report.objects + 1
                batch.append(await self._one(replace(ask, key=key), entry, number))
            except HyokError as error:
                if error.retryable:
                    raise
                report.failed.append((key or entry.name, str(error)))
                continue
            report.objects += 1
            report.plain_bytes += batch[-1].size
            tell(report.objects, report.plain_bytes)
            if len(batch) >= layout.PAGE_OBJECTS:
                pages += 1
                await self._write_page(
                    export_id, pages, Page(registration, tuple(batch), last=False)
                )
                batch = []
        await self._write_page(export_id, pages + 1, Page(registration, tuple(batch), last=True))
        return report

    async def _resume(self, export_id: str, report: ExportReport) -> tuple[int, str]:
        """Return the pages there are and where to go on; -1 pages: it is complete."""
        pages, after = 0, ""
        while (path := self._folder / layout.page_file(pages + 1)).exists():
            pages += 1
            raw = await self._box.open(layout.purpose(export_id, pages), path.read_bytes())
            page = Page.parse(raw)
            report.objects += len(page.objects)
            report.plain_bytes += sum(found.size for found in page.objects)
            after = page.objects[-1].stored_name if page.objects else after
            if page.last:
                return -1, ""
        return pages, after

    async def _write_page(self, export_id: str, number: int, page: Page) -> None:
        sealed = await self._box.seal(layout.purpose(export_id, number), page.render())
        layout.write_durably(self._folder / layout.page_file(number), sealed)

    async def _one(self, ask: Ask, entry: Listed, number: int) -> Exported:
        assert ask.bucket is not None
        store = self._vault.places.store(ask.bucket)
        backend = ask.bucket.backend_name
        file = layout.object_file(number)
        stored = await store.head(backend, entry.name)
        if stored.facts is None or not stored.facts.envelope:
            raise Tampered("it carries no envelope, so it was not written by this gateway")
        envelope = stored.facts.envelope
        if stored.tag_count:
            # What changed since the object was written stands at the store alone.
            tags = await store.tags(backend, entry.name, stored.version_id)
            stored = replace(stored, facts=replace(stored.facts, tags=tags))
        source = await store.read(
            backend, entry.name, if_match=stored.etag, version_id=stored.version_id
        )
        await self._vault.pump.run(lambda: _copy(source, envelope, self._folder / file))
        opened = await self._open(ask, file, stored)
        try:
            sink = HashSink()
            await self._vault.pump.run(lambda: opened.pour(lambda: sink))
        finally:
            await opened.close()
        facts = opened.facts
        found = parse(envelope)
        if found.mode is Mode.KEYRING:
            await self._keep_record(found.token, found.scope, ask)
        await self._vault.custodian.conclude(
            ask,
            "done",
            object_id=bytes.fromhex(facts.object_id),
            kek_id=facts.kek_id,
            size_bytes=facts.size,
        )
        return _exported(file, ask.key, entry, facts, sink)

    async def _open(self, ask: Ask, file: str, stored: Stored) -> Opened:
        """Open the file that was just written: what is proven is what was exported."""
        here = SealedFolder(self._folder)
        # The store's word on facts in clear goes into the manifest; the file has the envelope.
        seen = replace(here.stored(file), facts=stored.facts, modified_ms=stored.modified_ms)
        place = FilePlace(here, file)
        return await self._reader.open(ask, place, seen, asked=None, checksums=False, body=True)

    async def _keep_record(self, ik_id: bytes, scope: str, ask: Ask) -> None:
        if ik_id in self._records:
            return
        assert ask.bucket is not None
        raw, _ = await self._keyring.record_of(ik_id, ask.bucket.tenant, scope, ask.bucket)
        layout.write_durably(self._folder / layout.record_file(ik_id), raw)
        self._records.add(ik_id)


def _copy(source: StoreSource, envelope: bytes, path: Path) -> None:
    """Write block and body as one sealed file, durable on return.  Blocking."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    room = memoryview(bytearray(_COPY_BYTES))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(render_block(envelope))
            while count := source.read_into(room):
                file.write(room[:count])
            file.flush()
            os.fsync(file.fileno())
    finally:
        source.close()


def _exported(file: str, key: str, entry: Listed, facts: ObjectFacts, sink: HashSink) -> Exported:
    return Exported(
        file=file,
        key=key,
        stored_name=entry.name,
        size=facts.size,
        sha256=sink.digest.hexdigest(),
        classification=facts.classification,
        modified_ms=facts.modified_ms,
        headers=dict(facts.headers),
        user_metadata=dict(facts.user_metadata),
        tags=dict(facts.tags),
    )

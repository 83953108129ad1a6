"""UploadLedger: what we ourselves know of uploads in progress.

Which envelope belongs to which upload is kept out of the store's reach (format.md §8), and the
lengths and attempts of parts are those that we counted.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from hyok.database.tables import upload_parts, uploads
from hyok.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy import Connection, Row

    from hyok.database.engine import Database

UPLOADS_LISTED_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload.  The last fields say how it ended; they are empty while it is open."""

    upload_id: str
    tenant: str
    bucket_id: str
    key: str
    store_upload_id: str
    object_id: bytes
    envelope: bytes
    classification: str
    checksum_algorithm: int
    checksum_type: str
    begun_ms: int
    done: bool = False
    result_etag: str = ""
    result_ms: int = 0
    result_checksum: str = ""
    kek_id: str = ""
    result_version: str = ""


@dataclass(frozen=True, slots=True)
class UploadPart:
    """The newest attempt at one part."""

    number: int
    store_etag: str
    part_id: bytes
    plain_size: int
    checksum_algorithm: int
    checksum: bytes
    aside_name: str  # the store's object that holds it aside; empty: it is a part at the store
    at_ms: int


class UploadLedger:
    """The tables `uploads` and `upload_parts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, upload: Upload) -> None:
        """Write down a new upload."""

        def act(connection: Connection) -> None:
            connection.execute(
                insert(uploads).values(
                    upload_id=upload.upload_id,
                    tenant=upload.tenant,
                    bucket_id=upload.bucket_id,
                    object_key=upload.key,
                    store_upload_id=upload.store_upload_id,
                    object_id=upload.object_id,
                    envelope=upload.envelope,
                    classification=upload.classification,
                    checksum_algorithm=str(upload.checksum_algorithm),
                    checksum_type=upload.checksum_type,
                    state="open",
                    created_ms=upload.begun_ms,
                )
            )

        await self._database.run(act)

    async def get(self, upload_id: str) -> Upload | None:
        """Return an upload, open or done."""

        def act(connection: Connection) -> Upload | None:
            found = connection.execute(select(uploads).where(uploads.c.upload_id == upload_id))
            row = found.one_or_none()
            return None if row is None else _upload(row)

        return await self._database.read(act)

    async def parts(self, upload_id: str) -> Sequence[UploadPart]:
        """Return the newest attempts, by part number."""

        def act(connection: Connection) -> Sequence[UploadPart]:
            query = select(upload_parts).where(upload_parts.c.upload_id == upload_id)
            rows = connection.execute(query.order_by(upload_parts.c.part_number))
            return [_part(row) for row in rows]

        return await self._database.read(act)

    async def put_part(self, upload_id: str, part: UploadPart) -> UploadPart | None:
        """Write down an attempt; return the one it replaces.

        Raises:
            NotFound: the upload ended meanwhile (reason ``NoSuchUpload``).
        """

        def act(connection: Connection) -> UploadPart | None:
            state = connection.execute(
                select(uploads.c.state).where(uploads.c.upload_id == upload_id)
            ).scalar_one_or_none()
            if state != "open":
                raise NotFound("The upload ended meanwhile.", reason="NoSuchUpload")
            mine = (upload_parts.c.upload_id == upload_id) & (
                upload_parts.c.part_number == part.number
            )
            before = connection.execute(select(upload_parts).where(mine)).one_or_none()
            connection.execute(delete(upload_parts).where(mine))
            connection.execute(
                insert(upload_parts).values(
                    upload_id=upload_id,
                    part_number=part.number,
                    store_etag=part.store_etag,
                    part_id=part.part_id,
                    plain_size=part.plain_size,
                    checksum_algorithm=str(part.checksum_algorithm),
                    checksum=base64.b64encode(part.checksum).decode(),
                    aside=part.aside_name,
                    at_ms=part.at_ms,
                )
            )
            return None if before is None else _part(before)

        return await self._database.run(act)

    async def finish(self, upload: Upload) -> None:
        """Write down that an upload is done and what its client was told."""

        def act(connection: Connection) -> None:
            connection.execute(
                update(uploads)
                .where(uploads.c.upload_id == upload.upload_id)
                .values(
                    state="done",
                    checksum_algorithm=str(upload.checksum_algorithm),
                    checksum_type=upload.checksum_type,
                    result={
                        "etag": upload.result_etag,
                        "ms": upload.result_ms,
                        "checksum": upload.result_checksum,
                        "kek_id": upload.kek_id,
                        "version_id": upload.result_version,
                    },
                )
            )
            connection.execute(
                delete(upload_parts).where(upload_parts.c.upload_id == upload.upload_id)
            )

        await self._database.run(act)

    async def forget(self, upload_id: str) -> None:
        """Drop an upload and its parts."""

        def act(connection: Connection) -> None:
            connection.execute(delete(upload_parts).where(upload_parts.c.upload_id == upload_id))
            connection.execute(delete(uploads).where(uploads.c.upload_id == upload_id))

        await self._database.run(act)

    async def open_uploads(self, bucket_id: str, prefix: str) -> Sequence[Upload]:
        """Return open uploads of a bucket below a key prefix, by key and time."""

        def act(connection: Connection) -> Sequence[Upload]:
            query = (
                select(uploads)
                .where(uploads.c.bucket_id == bucket_id, uploads.c.state == "open")
                .where(uploads.c.object_key.startswith(prefix, autoescape=True))
                .limit(UPLOADS_LISTED_MAX)
            )
            return [_upload(row) for row in connection.execute(query)]

        found = await self._database.read(act)
        return sorted(found, key=lambda upload: (upload.key.encode(), upload.begun_ms))

    async def still_open(self, upload_ids: Collection[str]) -> AbstractSet[str]:
        """Return which of these uploads have not ended."""

        def act(connection: Connection) -> AbstractSet[str]:
            query = select(uploads.c.upload_id).where(
                uploads.c.upload_id.in_(upload_ids), uploads.c.state == "open"
            )
            return set(connection.scalars(query))

        return await self._database.read(act)

    async def stale(self, bucket_id: str, before_ms: int) -> Sequence[Upload]:
        """Return uploads of a bucket begun before a moment, open or done."""

        def act(connection: Connection) -> Sequence[Upload]:
            query = select(uploads).where(
                uploads.c.bucket_id == bucket_id, uploads.c.created_ms < before_ms
            )
            return [_upload(row) for row in connection.execute(query.limit(UPLOADS_LISTED_MAX))]

        return await self._database.read(act)


def _upload(row: Row[tuple[object, ...]]) -> Upload:
    result = row.result or {}
    return Upload(
        upload_id=row.upload_id,
        tenant=row.tenant,
        bucket_id=row.bucket_id,
        key=row.object_key,
        store_upload_id=row.store_upload_id,
        object_id=row.object_id,
        envelope=row.envelope,
        classification=row.classification,
        checksum_algorithm=int(row.checksum_algorithm or 0),
        checksum_type=row.checksum_type,
        begun_ms=row.created_ms,
        done=row.state == "done",
        result_etag=result.get("etag", ""),
        result_ms=result.get("ms", 0),
        result_checksum=result.get("checksum", ""),
        kek_id=result.get("kek_id", ""),
        result_version=result.get("version_id", ""),
    )


def _part(row: Row[tuple[object, ...]]) -> UploadPart:
    return UploadPart(
        number=row.part_number,
        store_etag=row.store_etag,
        part_id=row.part_id,
        plain_size=row.plain_size,
        checksum_algorithm=int(row.checksum_algorithm or 0),
        checksum=base64.b64decode(row.checksum),
        aside_name=row.aside,
        at_ms=row.at_ms,
    )

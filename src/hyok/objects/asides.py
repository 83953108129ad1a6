"""Asides: short parts that wait for the end of their upload, sealed, outside of it.

Each attempt has a name of its own: an object under the reserved prefix of the bucket; or, where a
default retention would lock that object, a row of the database (format.md §8).
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from hyok.backends.own_objects import erase
from hyok.backends.port import StoredFacts
from hyok.database.tables import upload_asides
from hyok.envelope.layout import LAYOUT
from hyok.envelope.parts import part_id
from hyok.errors import HyokError, Refused, Tampered

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.objects.places import Place
    from hyok.objects.uploads import UploadPart

PREFIX = ".hyok/aside/"
IN_DATABASE = "database:"


class Asides:
    """Holds sealed parts aside, gives them back and lets them go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hold(
        self, place: Place, upload_id: str, attempt: bytes, sealed: bytearray
    ) -> tuple[str, str]:
        """Keep a sealed part, durable on return; return its name and an ETag for it."""
        if await _locks_all(place):
            await self._keep(upload_id, attempt, bytes(sealed))
            return f"{IN_DATABASE}{attempt.hex()}", sha256(sealed).hexdigest()[:32]
        name = f"{PREFIX}{upload_id}/{attempt.hex()}"
        stored = await place.store.put_whole(place.bucket, name, sealed, StoredFacts())
        return name, stored.etag

    async def _keep(self, upload_id: str, attempt: bytes, sealed: bytes) -> None:
        def act(connection: Connection) -> None:
            connection.execute(
                insert(upload_asides).values(upload_id=upload_id, part_id=attempt, sealed=sealed)
            )

        await self._database.run(act)

    async def read(self, place: Place, upload_id: str, part: UploadPart) -> bytes:
        """Return a part held aside; empty: it is none.

        Raises:
            Tampered: it is not the one that was sealed.
        """
        if not part.aside_name:
            return b""
        if part.aside_name.startswith(IN_DATABASE):
            held = await self._kept(upload_id, part.part_id)
        else:
            _, held = await place.store.read_whole(place.bucket, part.aside_name)
        if len(held) != LAYOUT.part_sealed_size(part.plain_size) or part_id(held[:40]) != (
            part.part_id
        ):
            raise Tampered("the part held aside is not the one that was sealed")
        return held

    async def _kept(self, upload_id: str, attempt: bytes) -> bytes:
        def act(connection: Connection) -> bytes:
            mine = (upload_asides.c.upload_id == upload_id) & (upload_asides.c.part_id == attempt)
            found = connection.execute(select(upload_asides.c.sealed).where(mine))
            return found.scalar_one_or_none() or b""

        return await self._database.read(act)

    async def drop(self, place: Place, upload_id: str, name: str) -> None:
        """Let one go; what cannot go now goes at the end of the upload.  Never raises."""
        with suppress(HyokError):
            if name.startswith(IN_DATABASE):
                attempt = bytes.fromhex(name.removeprefix(IN_DATABASE))
                await self._forget(upload_id, attempt)
            else:
                await erase(place.store, place.bucket, name)

    async def clear(self, place: Place, upload_id: str) -> None:
        """Let all of an upload go; the sweep takes what a crash leaves.  Never raises."""
        with suppress(HyokError):
            await self._forget(upload_id)
        with suppress(HyokError):
            page = await place.store.list(place.bucket, f"{PREFIX}{upload_id}/")
            if names := [entry.name for entry in page.objects]:
                await erase(place.store, place.bucket, *names)

    async def _forget(self, upload_id: str, attempt: bytes | None = None) -> None:
        def act(connection: Connection) -> None:
            gone = delete(upload_asides).where(upload_asides.c.upload_id == upload_id)
            if attempt is not None:
                gone = gone.where(upload_asides.c.part_id == attempt)
            connection.execute(gone)

        await self._database.run(act)


async def _locks_all(place: Place) -> bool:
    """Does the bucket lock every new object?"""
    try:
        lock = await place.store.object_lock(place.bucket)
    except Refused:
        return False  # the store knows no object lock
    return lock is not None and bool(lock.mode)

"""PartSender: one part of an upload on its way to the store, sealed as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.envelope.layout import LAYOUT
from hyok.objects.streams import seal_part
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySink, MemorySource

if TYPE_CHECKING:
    from hyok.backends.port import PartSink
    from hyok.envelope.keys import DataKey
    from hyok.objects.facts import ProvenBody
    from hyok.objects.places import Place
    from hyok.objects.streams import Rooms
    from hyok.objects.uploads import Upload
    from hyok.vocabulary import Source


class PartSender:
    """Seals parts: on their way to the store, or to be held aside."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def sealed(
        self, number: int, body: ProvenBody, data_key: DataKey, header: bytes
    ) -> bytearray:
        """Return a short part sealed in memory, to be held aside."""
        sink = MemorySink(LAYOUT.part_sealed_size(body.size))
        if body.size <= WHOLE_BODY_BYTES_MAX:
            self._seal(data_key, number, header, MemorySource(await body.whole()), body.size, sink)
        else:
            await body.pump(
                lambda source: self._seal(data_key, number, header, source, body.size, sink)
            )
        return sink.room

    async def send(
        self,
        place: Place,
        upload: Upload,
        number: int,
        body: ProvenBody,
        data_key: DataKey,
        header: bytes,
    ) -> str:
        """Seal the body to the store, as a part; return the store's ETag."""
        size = LAYOUT.part_sealed_size(body.size)
        target = await place.store.put_part(
            place.bucket, place.name, upload.store_upload_id, number, size
        )

        def work(source: Source) -> str:
            self._seal(data_key, number, header, source, body.size, target)
            return target.commit().etag

        try:
            return await body.pump(work)
        except BaseException:
            target.abort()
            raise

    def _seal(
        self,
        data_key: DataKey,
        number: int,
        header: bytes,
        source: Source,
        size: int,
        sink: PartSink | MemorySink,
    ) -> None:
        room = self._rooms.take()
        try:
            seal_part(data_key, number, header, source, size, sink, room)
        finally:
            self._rooms.give(room)

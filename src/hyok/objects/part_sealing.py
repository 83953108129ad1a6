"""PartSender: one part of an upload on its way to the store, sealed as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import StoredFacts
from hyok.envelope.layout import LAYOUT
from hyok.objects.streams import seal_part
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySink, MemorySource

if TYPE_CHECKING:
    from hyok.backends.port import PartSink, StoreSink
    from hyok.envelope.keys import DataKey
    from hyok.objects.facts import ProvenBody
    from hyok.objects.places import Place
    from hyok.objects.streams import Rooms
    from hyok.objects.uploads import Upload
    from hyok.vocabulary import Source


class PartSender:
    """Sends parts to the store, or beside it under a name of its own."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def send(
        self,
        place: Place,
        upload: Upload,
        number: int,
        body: ProvenBody,
        data_key: DataKey,
        header: bytes,
        aside_name: str,
    ) -> str:
        """Seal the body to the store, as a part or held aside; return the store's ETag."""
        size = LAYOUT.part_sealed_size(body.size)
        store = place.store
        if body.size <= WHOLE_BODY_BYTES_MAX:
            sink = MemorySink(size)
            self._seal(data_key, number, header, MemorySource(await body.whole()), body.size, sink)
            if aside_name:
                facts = StoredFacts()
                return (await store.put_whole(place.bucket, aside_name, sink.room, facts)).etag
            return (
                await store.put_part_whole(
                    place.bucket, place.name, upload.store_upload_id, number, sink.room
                )
            ).etag
        target: StoreSink | PartSink
        if aside_name:
            target = await store.put(place.bucket, aside_name, size, StoredFacts())
        else:
            target = await store.put_part(
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
        sink: StoreSink | PartSink | MemorySink,
    ) -> None:
        room = self._rooms.take()
        try:
            seal_part(data_key, number, header, source, size, sink, room)
        finally:
            self._rooms.give(room)

"""Where open uploads stand: their sealed names, held so that each part needs no key for one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from hyok.objects.places import Place

if TYPE_CHECKING:
    from hyok.objects.places import Places
    from hyok.vocabulary import Ask

NAMES_MAX = 4_096
"""Sealed names of open uploads held at once: the store knows them, so they are no secret."""


class UploadPlaces:
    """Belongs to one `MultipartVault`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._names: OrderedDict[str, str] = OrderedDict()

    def remember(self, upload_id: str, name: str) -> None:
        """Hold the store's name of an upload's object."""
        self._names[upload_id] = name
        while len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)

    def forget(self, upload_id: str) -> None:
        """Let go of an upload that ended."""
        self._names.pop(upload_id, None)

    async def of(self, ask: Ask, upload_id: str) -> Place:
        """Return where an open upload stands; its sealed name needs no key a second time."""
        assert ask.bucket is not None
        name = self._names.get(upload_id)
        if name is not None:
            return Place(self._places.store(ask.bucket), ask.bucket.backend_name, name)
        place = await self._places.of(ask.bucket, ask.key)
        self.remember(upload_id, place.name)
        return place

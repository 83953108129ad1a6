"""Joining: the store assembles the parts of an upload, the trailer last, once and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import Condition, StoredPart
from hyok.envelope.block import parse
from hyok.envelope.layout import LAYOUT
from hyok.errors import Conflict, Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.port import Stored
    from hyok.objects.places import Place
    from hyok.objects.uploads import Upload, UploadPart


async def join(
    place: Place,
    upload: Upload,
    parts: Sequence[UploadPart],
    tail: bytes,
    condition: Condition,
    trailer_number: int,
) -> Stored:
    """Have the store assemble the object, and return it.

    ``tail``: the trailer, behind a last part that was held aside.

    A Complete that was cut off may have succeeded: then the object is there, with this
    object_id, and no second trailer is written for it.
    """
    store = place.store
    joined = [StoredPart(p.number, p.store_etag, 0) for p in parts if not p.aside_name]
    try:
        joined.append(
            await store.put_part_whole(
                place.bucket, place.name, upload.store_upload_id, trailer_number, tail
            )
        )
        stored = await store.complete_upload(
            place.bucket, place.name, upload.store_upload_id, joined, condition
        )
    except (NotFound, Conflict):
        # Also when a condition does not hold: it may be our own object that stands there.
        found = await _finished_before(place, upload)
        if found is None:
            raise
        return found
    plain_size = sum(part.plain_size for part in parts)
    if stored.size and stored.size != LAYOUT.object_sealed_size(plain_size):
        raise Tampered("the store joined the parts to a wrong length", code="HY-3504")
    return stored


async def _finished_before(place: Place, upload: Upload) -> Stored | None:
    try:
        stored = await place.store.head(place.bucket, place.name)
    except NotFound:
        return None
    if stored.facts is None or not stored.facts.envelope:
        return None
    try:
        found = parse(stored.facts.envelope)
    except Malformed:
        return None
    if found.object_id != upload.object_id:
        return None
    return stored

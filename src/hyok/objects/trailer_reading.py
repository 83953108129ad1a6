"""The trailer of a stored object, read from its end and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import Span
from hyok.envelope.layout import FIXED_BYTES
from hyok.envelope.trailer import FOOTER_BYTES, open_trailer, parse_footer
from hyok.errors import Conflict, Malformed, NotFound, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from hyok.backends.port import Stored
    from hyok.custody.port import RecoveredKey
    from hyok.envelope.trailer import Trailer
    from hyok.objects.places import ReadPlace
    from hyok.vocabulary import T

TAIL_READ_BYTES = 64 << 10
"""A suffix of this length holds the trailer of most multipart objects."""


async def read_trailer(place: ReadPlace, stored: Stored, key: RecoveredKey) -> Trailer:
    """Return the trailer of this version, every rule of format.md §6 checked.

    Raises:
        Tampered: it is not the one that was sealed.
        Unavailable: the object was replaced meanwhile.
    """
    tail_bytes = min(stored.size, TAIL_READ_BYTES)
    _, tail = await same_version(
        place.store.read_whole(
            place.bucket,
            place.name,
            Span(stored.size - tail_bytes, stored.size),
            if_match=stored.etag,
            version_id=stored.version_id,
        )
    )
    if len(tail) != tail_bytes or tail_bytes < FIXED_BYTES:
        raise Tampered("the stored object is shorter than it should be")
    try:
        footer = parse_footer(tail[-FOOTER_BYTES:], stored.size)
    except Malformed as error:
        raise Tampered(f"the stored object's end breaks a rule: {error}") from error
    if footer.trailer_size > tail_bytes:
        _, tail = await same_version(
            place.store.read_whole(
                place.bucket,
                place.name,
                Span(stored.size - footer.trailer_size, stored.size),
                if_match=stored.etag,
                version_id=stored.version_id,
            )
        )
    return open_trailer(
        tail[-footer.trailer_size :],
        key.data_key,
        sealed_size=stored.size,
        object_id=key.envelope.object_id,
        multipart=key.envelope.multipart,
        part_header=None if key.envelope.multipart else key.envelope.part_header,
    )


async def same_version(reading: Awaitable[T]) -> T:
    """Await a read that follows another; an object replaced in between is a conflict to retry.

    Raises:
        Unavailable: the object was replaced or removed between two reads.
    """
    try:
        return await reading
    except (Conflict, NotFound) as error:
        raise Unavailable(
            "The object was replaced while it was being read.", reason="ServiceUnavailable"
        ) from error

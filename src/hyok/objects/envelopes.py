"""The envelope of every object of a bucket, older versions included.  Parsed, not proven."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.backends.own_objects import keeps_versions, versions_of
from hyok.envelope.block import Envelope, parse
from hyok.errors import Malformed, NotFound
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.walk import walk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from hyok.backends.port import Lock, ObjectStore
    from hyok.vocabulary import Bucket

LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """One version of an object; ``version_id`` empty: the bucket keeps none."""

    name: str  # as the store has it
    version_id: str
    etag: str  # the store's
    size: int  # bytes of the sealed body
    lock: Lock
    raw: bytes
    envelope: Envelope
    latest: bool = True  # False: an older version


async def envelopes(
    store: ObjectStore, bucket: Bucket, tell: Callable[[int], None] = lambda _objects: None
) -> AsyncGenerator[Sealed, None]:
    """Yield every version that has an envelope; what stands in clear is passed by.

    ``tell`` is called with the versions looked at.

    Raises:
        Unavailable: the store does not answer.
    """
    seen = 0
    batch: list[tuple[str, str, bool]] = []

    async def look() -> list[Sealed]:
        found = await asyncio.gather(
            *(_look(store, bucket, name, version, latest=latest) for name, version, latest in batch)
        )
        batch.clear()
        return [one for one in found if one is not None]

    async with aclosing(_all(store, bucket)) as everything:
        async for one in everything:
            batch.append(one)
            seen += 1
            if len(batch) == LOOKS_AT_ONCE:
                for found in await look():
                    yield found
                tell(seen)
    for found in await look():
        yield found
    tell(seen)


async def _look(
    store: ObjectStore, bucket: Bucket, name: str, version_id: str, *, latest: bool
) -> Sealed | None:
    try:
        stored = await store.head(bucket.backend_name, name, version_id)
        facts = stored.facts
        raw = facts.envelope if facts is not None else b""
        envelope = parse(raw)
    except (NotFound, Malformed):
        return None
    assert facts is not None
    return Sealed(name, version_id, stored.etag, stored.size, facts.lock, raw, envelope, latest)


async def _all(store: ObjectStore, bucket: Bucket) -> AsyncGenerator[tuple[str, str, bool], None]:
    if not await keeps_versions(store, bucket.backend_name):
        async with aclosing(walk(store, bucket.backend_name, None)) as found:
            async for _, entry in found:
                yield entry.name, "", True
        return
    async for version in versions_of(store, bucket.backend_name, ""):
        if not version.name.startswith(RESERVED) and not version.marker:
            yield version.name, version.version_id, version.latest

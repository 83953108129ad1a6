"""What an S3 store keeps beside the newest bytes: versions, locks and tags.

Versions and locks are asked for, which writes nothing.  Tags are tried on an object under the
reserved prefix.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.backends import s3_documents as documents
from hyok.backends import s3_wire as wire
from hyok.backends.s3_answers import BROKEN
from hyok.backends.s3_findings import REFUSED_CREDENTIALS, is_unfinished
from hyok.backends.s3_probe import PROBE_PREFIX
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import TypeVar

    from hyok.backends.s3_endpoint import Endpoint
    from hyok.backends.s3_subresources import Subresources

    T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a store and one of its buckets keep."""

    versioning: bool  # the store can keep versions
    versions: bool  # the bucket does, or did
    object_lock: bool  # the store has object lock
    locks_all: bool  # the bucket locks every new object, so that nothing in it can be tried out

    @property
    def kind(self) -> str:
        """Return a word for buckets that a store may treat alike."""
        lock = "lockable" if self.object_lock else "unlockable"
        return f"{'versions' if self.versions else 'single'} {lock}"


async def probe_keeping(store: Subresources, bucket: str) -> Keeping:
    """Ask for a bucket's versions and default retention.

    A store that refuses to tell, or does not let us ask, is taken for one that keeps none.

    Raises:
        HyokError: the store does not answer, or not as it should.
    """
    versioning = await _told(store.versioning(bucket))
    lock = await _told(_lock_of(store, bucket))
    return Keeping(
        versioning=versioning is not None,
        versions=bool(versioning),
        object_lock=lock is not None,
        locks_all=bool(lock),
    )


async def _lock_of(store: Subresources, bucket: str) -> str:
    """Return the mode of the default retention; empty where there is none."""
    lock = await store.object_lock(bucket)
    return lock.mode if lock is not None else ""


async def _told(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except HyokError as error:
        if error.code == BROKEN or (is_unfinished(error) and error.code != REFUSED_CREDENTIALS):
            raise
        return None


async def probe_tags(endpoint: Endpoint, bucket: str) -> bool:
    """Can tags change without making the object anew?

    Last-Modified is not looked at: some stores (radosgw) move it with the tags, and then it is what
    a client of such a store sees as well.  It counts whole seconds, so that a look at it would say
    yes or no by how busy the store is.
    """
    name = PROBE_PREFIX + secrets.token_hex(8)
    body, tags = b"tags", {"probe": "tags"}
    try:
        await endpoint.request("PUT", bucket, name, body=body)
        before = (await endpoint.request("HEAD", bucket, name)).headers
        query = [("tagging", "")]
        await endpoint.send_document("PUT", bucket, name, query, documents.render_tags(tags))
        told = await endpoint.request("GET", bucket, name, query=query)
        after = await endpoint.request("GET", bucket, name)
        kept = all(after.headers.get(key) == before.get(key) for key in ("etag", wire.VERSION))
        return kept and documents.parse_tags(told.body) == tags and after.body == body
    finally:
        with suppress(HyokError):
            await endpoint.request("DELETE", bucket, name)

"""What a client is told of an object: by its opened envelope, its trailer, and the store."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.objects.facts import ALGORITHM_NAMES, ObjectFacts, joined_headers, joined_map
from hyok.objects.locking import told_lock
from hyok.s3.names import etag_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Stored
    from hyok.custody.port import RecoveredKey
    from hyok.envelope.trailer import Trailer


def facts_of(
    stored: Stored, key: RecoveredKey, size: int, tags: Mapping[str, str], tag_count: int
) -> ObjectFacts:
    """Return the facts of an object whose envelope is open; ``size`` in plaintext bytes."""
    metadata = key.metadata
    assert stored.facts is not None
    return ObjectFacts(
        size=size,
        etag=etag_out(stored.etag),
        modified_ms=stored.modified_ms,
        headers=joined_headers(metadata, stored),
        user_metadata=joined_map(metadata, "um", stored.facts.user_metadata),
        tags=tags,
        classification=key.classification,
        kek_id=key.kek_id,
        object_id=key.envelope.object_id.hex(),
        checksums=metadata.ck or {},
        version_id=stored.version_id,
        tag_count=tag_count,
        lock=told_lock(stored.facts.lock),
    )


def with_trailer(facts: ObjectFacts, trailer: Trailer) -> ObjectFacts:
    """Return the facts with the checksum and the number of parts that the trailer proves."""
    checksums = facts.checksums
    kind = facts.checksum_type
    if trailer.checksum_algorithm and not checksums:
        value = base64.b64encode(trailer.checksum).decode()
        if trailer.checksum_type == 1:
            value = f"{value}-{len(trailer.entries)}"
            kind = "COMPOSITE"
        checksums = {ALGORITHM_NAMES[trailer.checksum_algorithm]: value}
    count = len(trailer.entries) if trailer.multipart else None
    return replace(facts, checksums=checksums, checksum_type=kind, parts_count=count)

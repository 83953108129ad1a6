"""What a bucket's `.hyok/bucket` says: the registration, sealed under the installation's own key.

It makes the database rebuildable and a copied bucket readable: tenant, bucket_id, classifications
and the names key are nowhere else in the store.  Sealed, so that the store can neither read nor
write one; a copy moved to another place is told by the place that stands in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hyok.errors import Tampered
from hyok.vocabulary import Bucket, ClassificationName

if TYPE_CHECKING:
    from collections.abc import Iterable

REGISTRATION = "bucket"
"""Its name under `.hyok/`."""

PURPOSE = "bucket registration"
_VERSION = 1


def render(bucket: Bucket, allowed: Iterable[str]) -> bytes:
    """Return a registration as canonical JSON; ``allowed``: every classification readable here."""
    document = {
        "version": _VERSION,
        "bucket_id": bucket.bucket_id,
        "tenant": bucket.tenant,
        "store": bucket.store,
        "backend_name": bucket.backend_name,
        "classification": bucket.classification,
        "names": bucket.names,
        "names_ik_id": bucket.names_ik_id.hex(),
        "allowed": sorted(allowed),
        "prefix_rules": dict(bucket.prefix_rules),
        "created_ms": bucket.created_ms,
        "documents": dict(bucket.documents),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def parse(raw: bytes) -> Bucket:
    """Return the bucket of an opened registration.

    Raises:
        Tampered: it is none of this version.
    """
    try:
        document = json.loads(raw)
        version = int(document["version"])
        if version == _VERSION:
            return _bucket(document)
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered("a bucket's registration is not readable", code="HY-3505") from error
    raise Tampered(f"a bucket's registration has version {version}", code="HY-3505")


def _bucket(document: dict[str, Any]) -> Bucket:
    return Bucket(
        bucket_id=str(document["bucket_id"]),
        tenant=str(document["tenant"]),
        store=str(document["store"]),
        backend_name=str(document["backend_name"]),
        classification=ClassificationName(document["classification"]),
        names=str(document["names"]),
        names_ik_id=bytes.fromhex(document["names_ik_id"]),
        allowed=frozenset(document["allowed"]),
        prefix_rules=dict(document["prefix_rules"]),
        created_ms=int(document["created_ms"]),
        # A registration of before these were kept says nothing of them.  Whether a bucket is
        # public is not told here: an old registration would open it again.
        documents=dict(document.get("documents", {})),
    )

"""TABLE: operation → handler, and how much body it may bring.

What is not in the table is refused by name before anybody gets here (`hyok.s3.operations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.gateway.handlers import buckets, multipart, objects
from hyok.s3 import documents
from hyok.s3.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.gateway.call import Call, Services

NO_BODY = 0
STREAMED = None


@dataclass(frozen=True, slots=True)
class Handling:
    """How one operation is carried out.

    ``body_bytes_max``: `NO_BODY`, the limit of a document, or `STREAMED` for object data.
    ``action``: what the policy is asked; empty where the answer depends on no bucket.
    """

    handler: Callable[[Services, Call], Awaitable[None]]
    action: str
    body_bytes_max: int | None = NO_BODY
    in_bucket: bool = True  # the bucket must exist and be visible before the handler runs


_O = Operation

TABLE: Mapping[Operation, Handling] = {
    _O.PUT_OBJECT: Handling(objects.put, "object:put", STREAMED),
    _O.GET_OBJECT: Handling(objects.get, "object:get"),
    _O.HEAD_OBJECT: Handling(objects.head, "object:head"),
    _O.DELETE_OBJECT: Handling(objects.delete, "object:delete"),
    _O.DELETE_OBJECTS: Handling(objects.delete_many, "object:delete", documents.DELETE_BYTES_MAX),
    _O.COPY_OBJECT: Handling(objects.copy, "object:put"),
    _O.CREATE_MULTIPART_UPLOAD: Handling(multipart.create, "object:put"),
    _O.UPLOAD_PART: Handling(multipart.upload_part, "object:put", STREAMED),
    _O.COMPLETE_MULTIPART_UPLOAD: Handling(
        multipart.complete, "object:put", documents.COMPLETE_BYTES_MAX
    ),
    _O.ABORT_MULTIPART_UPLOAD: Handling(multipart.abort, "object:put"),
    _O.LIST_PARTS: Handling(multipart.list_parts, "upload:list"),
    _O.LIST_MULTIPART_UPLOADS: Handling(multipart.list_uploads, "upload:list"),
    _O.LIST_OBJECTS: Handling(buckets.list_objects, "bucket:list"),
    _O.LIST_OBJECTS_V2: Handling(buckets.list_objects_v2, "bucket:list"),
    _O.HEAD_BUCKET: Handling(buckets.head, "bucket:list"),
    _O.GET_BUCKET_LOCATION: Handling(buckets.location, "bucket:list"),
    _O.LIST_BUCKETS: Handling(buckets.list_all, "", in_bucket=False),
    _O.CREATE_BUCKET: Handling(
        buckets.create, "bucket:create", documents.SMALL_BYTES_MAX, in_bucket=False
    ),
    _O.DELETE_BUCKET: Handling(buckets.delete, "bucket:delete"),
}

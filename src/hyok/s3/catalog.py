"""What we answer to every operation of S3, and how it is recognised: one table.

`hyok.s3.operations` reads it; docs/s3-compatibility.md is made from it.

Source: Amazon S3 API Reference, "Operations".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from hyok.s3.api import Operation, Target

if TYPE_CHECKING:
    from collections.abc import Mapping


class Answer(Enum):
    """What we do with an operation."""

    SEALED = "sealed"
    """Carried out with the meaning it has for the plaintext, here and at the store."""

    FORWARDED = "forwarded"
    """Signed anew and passed on: nothing in it leaks or takes effect on the plaintext."""

    REFUSED = "refused"
    """Answered with ``NotImplemented`` and the reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: how it is recognised and what we answer.

    ``names`` are the query parameters that must be there (``list-type=2`` with that value);
    ``header`` must be present when not empty; ``also`` are parameters it may have besides.
    """

    operation: Operation
    method: str
    target: Target
    names: tuple[str, ...]
    header: str
    also: frozenset[str]
    answer: Answer
    reason: str  # why it is refused, or why it may be forwarded; empty where it is sealed

    @property
    def served(self) -> bool:
        """Do we carry it out or pass it on?"""
        return self.answer is not Answer.REFUSED


def _row(
    operation: Operation,
    wire: str,
    *,
    header: str = "",
    also: str = "",
    refused: str = "",
    forwarded: str = "",
) -> Row:
    """Read ``PUT bucket?acl``: method, target and the parameters that name the operation."""
    method, _, rest = wire.partition(" ")
    target, _, names = rest.partition("?")
    assert not (refused and forwarded), "one answer to an operation"
    answer = Answer.REFUSED if refused else Answer.FORWARDED if forwarded else Answer.SEALED
    return Row(
        operation,
        method,
        Target(target),
        tuple(names.split("&")) if names else (),
        header,
        frozenset(also.split()),
        answer,
        refused or forwarded,
    )


_POLICY = "access is decided by the policy bundle"
_ACL = "ACLs would bypass the policy; ownership is enforced"
_CLEAR = "would need the plaintext at the store"
_TABLES = "its tables at the store would hold names, sizes and tags in clear"
_DIRECTORY = "is of directory buckets; every bucket here is a general purpose one"
_CLASSIFICATION = "the gateway seals every object, under the key that its classification says"
_WEBSITE = "would hand out sealed bytes, or clear ones without a decision"
_NAMES = "would show object names to the store"
_ANNOTATION = (
    "an annotation lives and dies with a version; neither the sealed format nor SeaweedFS, radosgw "
    "or the file store has a place for one"
)
_TORRENT = "peers would hand pieces on without a decision"
_LAMBDA = "is of Object Lambda, functions at Amazon that read the plaintext"
_ACCELERATE = "leads clients past the gateway, to edge servers of Amazon"
_TIERS = "a store that archives by itself would leave objects that no client can read"
_INVENTORY = "the store's inventory would list sealed names and sizes as if they were the objects"
_LOGGING = "the store's log would name the gateway for every client; the audit log is ours"
_METRICS = "the store would count the gateway's requests; those of clients are at /metrics"
_REPLICATION = "a sealed object is bound to its bucket; a copy that the store makes opens nowhere"

_O = Operation
_READ_ALSO = (
    "response-content-type response-content-language response-expires response-cache-control "
    "response-content-disposition response-content-encoding versionId partNumber"
)

ROWS: tuple[Row, ...] = (
    # what we carry out
    _row(_O.LIST_BUCKETS, "GET service"),
    _row(_O.CREATE_BUCKET, "PUT bucket"),
    _row(_O.DELETE_BUCKET, "DELETE bucket"),
    _row(_O.HEAD_BUCKET, "HEAD bucket"),
    _row(_O.GET_BUCKET_LOCATION, "GET bucket?location"),
    _row(_O.LIST_OBJECTS, "GET bucket", also="prefix delimiter marker max-keys encoding-type"),
    _row(_O.LIST_OBJECTS_V2, "GET bucket?list-type=2"),
    _row(_O.DELETE_OBJECTS, "POST bucket?delete"),
    _row(_O.LIST_MULTIPART_UPLOADS, "GET bucket?uploads"),
    _row(_O.PUT_OBJECT, "PUT object"),
    _row(_O.COPY_OBJECT, "PUT object", header="x-amz-copy-source"),
    _row(_O.POST_OBJECT, "POST bucket"),
    _row(_O.GET_OBJECT, "GET object", also=_READ_ALSO),
    _row(_O.HEAD_OBJECT, "HEAD object", also=_READ_ALSO),
    _row(_O.GET_OBJECT_ATTRIBUTES, "GET object?attributes", also="versionId"),
    _row(_O.DELETE_OBJECT, "DELETE object", also="versionId"),
    _row(_O.CREATE_MULTIPART_UPLOAD, "POST object?uploads"),
    _row(_O.UPLOAD_PART, "PUT object?partNumber&uploadId"),
    _row(_O.UPLOAD_PART_COPY, "PUT object?partNumber&uploadId", header="x-amz-copy-source"),
    _row(_O.COMPLETE_MULTIPART_UPLOAD, "POST object?uploadId"),
    _row(_O.ABORT_MULTIPART_UPLOAD, "DELETE object?uploadId"),
    _row(_O.LIST_PARTS, "GET object?uploadId", also="max-parts part-number-marker encoding-type"),
    _row(_O.LIST_OBJECT_VERSIONS, "GET bucket?versions"),
    _row(_O.GET_BUCKET_VERSIONING, "GET bucket?versioning"),
    _row(_O.PUT_BUCKET_VERSIONING, "PUT bucket?versioning"),
    _row(_O.GET_OBJECT_LOCK_CONFIGURATION, "GET bucket?object-lock"),
    _row(_O.PUT_OBJECT_LOCK_CONFIGURATION, "PUT bucket?object-lock"),
    _row(_O.GET_OBJECT_LEGAL_HOLD, "GET object?legal-hold", also="versionId"),
    _row(_O.PUT_OBJECT_LEGAL_HOLD, "PUT object?legal-hold", also="versionId"),
    _row(_O.GET_OBJECT_RETENTION, "GET object?retention", also="versionId"),
    _row(_O.PUT_OBJECT_RETENTION, "PUT object?retention", also="versionId"),
    _row(_O.GET_OBJECT_TAGGING, "GET object?tagging", also="versionId"),
    _row(_O.PUT_OBJECT_TAGGING, "PUT object?tagging", also="versionId"),
    _row(_O.DELETE_OBJECT_TAGGING, "DELETE object?tagging", also="versionId"),
    # settings of a bucket that the gateway answers itself
    _row(_O.GET_BUCKET_CORS, "GET bucket?cors"),
    _row(_O.PUT_BUCKET_CORS, "PUT bucket?cors"),
    _row(_O.DELETE_BUCKET_CORS, "DELETE bucket?cors"),
    _row(_O.GET_BUCKET_TAGGING, "GET bucket?tagging"),
    _row(_O.PUT_BUCKET_TAGGING, "PUT bucket?tagging"),
    _row(_O.DELETE_BUCKET_TAGGING, "DELETE bucket?tagging"),
    _row(_O.GET_BUCKET_ACL, "GET bucket?acl"),
    _row(_O.PUT_BUCKET_ACL, "PUT bucket?acl"),
    _row(_O.GET_BUCKET_OWNERSHIP_CONTROLS, "GET bucket?ownershipControls"),
    _row(_O.PUT_BUCKET_OWNERSHIP_CONTROLS, "PUT bucket?ownershipControls"),
    _row(_O.GET_BUCKET_REQUEST_PAYMENT, "GET bucket?requestPayment"),
    _row(_O.PUT_BUCKET_REQUEST_PAYMENT, "PUT bucket?requestPayment"),
    _row(_O.GET_BUCKET_ENCRYPTION, "GET bucket?encryption"),
    _row(_O.PUT_BUCKET_ENCRYPTION, "PUT bucket?encryption"),
    _row(_O.DELETE_BUCKET_ENCRYPTION, "DELETE bucket?encryption"),
    _row(_O.GET_BUCKET_POLICY_STATUS, "GET bucket?policyStatus"),
    _row(_O.GET_PUBLIC_ACCESS_BLOCK, "GET bucket?publicAccessBlock"),
    _row(_O.GET_BUCKET_WEBSITE, "GET bucket?website"),
    _row(_O.GET_BUCKET_LIFECYCLE_CONFIGURATION, "GET bucket?lifecycle"),
    _row(_O.PUT_BUCKET_LIFECYCLE_CONFIGURATION, "PUT bucket?lifecycle"),
    _row(_O.DELETE_BUCKET_LIFECYCLE, "DELETE bucket?lifecycle"),
    _row(_O.GET_BUCKET_REPLICATION, "GET bucket?replication"),
    _row(_O.GET_OBJECT_ACL, "GET object?acl", also="versionId"),
    _row(_O.PUT_OBJECT_ACL, "PUT object?acl", also="versionId"),
    _row(_O.OPTIONS_OBJECT, "OPTIONS object"),
    # what nobody could have set, and so is not there
    _row(_O.GET_BUCKET_ACCELERATE_CONFIGURATION, "GET bucket?accelerate"),
    _row(_O.LIST_BUCKET_ANALYTICS_CONFIGURATIONS, "GET bucket?analytics"),
    _row(_O.GET_BUCKET_ANALYTICS_CONFIGURATION, "GET bucket?analytics&id"),
    _row(_O.DELETE_BUCKET_ANALYTICS_CONFIGURATION, "DELETE bucket?analytics", also="id"),
    _row(_O.LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS, "GET bucket?intelligent-tiering"),
    _row(_O.GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION, "GET bucket?intelligent-tiering&id"),
    _row(
        _O.DELETE_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,
        "DELETE bucket?intelligent-tiering",
        also="id",
    ),
    _row(_O.LIST_BUCKET_INVENTORY_CONFIGURATIONS, "GET bucket?inventory"),
    _row(_O.GET_BUCKET_INVENTORY_CONFIGURATION, "GET bucket?inventory&id"),
    _row(_O.DELETE_BUCKET_INVENTORY_CONFIGURATION, "DELETE bucket?inventory", also="id"),
    _row(_O.GET_BUCKET_LOGGING, "GET bucket?logging"),
    _row(_O.LIST_BUCKET_METRICS_CONFIGURATIONS, "GET bucket?metrics"),
    _row(_O.GET_BUCKET_METRICS_CONFIGURATION, "GET bucket?metrics&id"),
    _row(_O.DELETE_BUCKET_METRICS_CONFIGURATION, "DELETE bucket?metrics", also="id"),
    _row(_O.GET_BUCKET_NOTIFICATION_CONFIGURATION, "GET bucket?notification"),
    _row(_O.GET_BUCKET_POLICY, "GET bucket?policy"),
    _row(_O.DELETE_BUCKET_POLICY, "DELETE bucket?policy"),
    _row(_O.DELETE_BUCKET_REPLICATION, "DELETE bucket?replication"),
    _row(_O.DELETE_BUCKET_WEBSITE, "DELETE bucket?website"),
    _row(_O.RESTORE_OBJECT, "POST object?restore", also="versionId"),
    # what we refuse by name: objects
    _row(_O.GET_OBJECT_ANNOTATION, "GET object?annotation&annotationName", refused=_ANNOTATION),
    _row(_O.LIST_OBJECT_ANNOTATIONS, "GET object?annotation", refused=_ANNOTATION),
    _row(_O.PUT_OBJECT_ANNOTATION, "PUT object?annotation", refused=_ANNOTATION),
    _row(_O.DELETE_OBJECT_ANNOTATION, "DELETE object?annotation", refused=_ANNOTATION),
    _row(_O.GET_OBJECT_TORRENT, "GET object?torrent", refused=_TORRENT),
    _row(_O.RENAME_OBJECT, "PUT object?renameObject", refused=_DIRECTORY),
    _row(_O.SELECT_OBJECT_CONTENT, "POST object?select&select-type=2", refused=_CLEAR),
    _row(_O.UPDATE_OBJECT_ENCRYPTION, "PUT object?encryption", refused=_CLASSIFICATION),
    _row(
        _O.WRITE_GET_OBJECT_RESPONSE,
        "POST bucket",
        header="x-amz-request-route",
        refused=_LAMBDA,
    ),
    # what we refuse by name: buckets
    _row(_O.CREATE_SESSION, "GET bucket?session", refused=_DIRECTORY),
    _row(
        _O.LIST_DIRECTORY_BUCKETS,
        "GET service?max-directory-buckets",
        refused=_DIRECTORY,
    ),
    _row(_O.GET_BUCKET_ABAC, "GET bucket?abac", refused=_POLICY),
    _row(_O.PUT_BUCKET_ABAC, "PUT bucket?abac", refused=_POLICY),
    _row(_O.PUT_BUCKET_ACCELERATE_CONFIGURATION, "PUT bucket?accelerate", refused=_ACCELERATE),
    _row(_O.PUT_BUCKET_ANALYTICS_CONFIGURATION, "PUT bucket?analytics", refused=_NAMES),
    _row(
        _O.PUT_BUCKET_INTELLIGENT_TIERING_CONFIGURATION,
        "PUT bucket?intelligent-tiering",
        refused=_TIERS,
    ),
    _row(_O.PUT_BUCKET_INVENTORY_CONFIGURATION, "PUT bucket?inventory", refused=_INVENTORY),
    _row(_O.PUT_BUCKET_LOGGING, "PUT bucket?logging", refused=_LOGGING),
    _row(
        _O.CREATE_BUCKET_METADATA_CONFIGURATION,
        "POST bucket?metadataConfiguration",
        refused=_TABLES,
    ),
    _row(_O.GET_BUCKET_METADATA_CONFIGURATION, "GET bucket?metadataConfiguration", refused=_TABLES),
    _row(
        _O.DELETE_BUCKET_METADATA_CONFIGURATION,
        "DELETE bucket?metadataConfiguration",
        refused=_TABLES,
    ),
    _row(
        _O.CREATE_BUCKET_METADATA_TABLE_CONFIGURATION, "POST bucket?metadataTable", refused=_TABLES
    ),
    _row(_O.GET_BUCKET_METADATA_TABLE_CONFIGURATION, "GET bucket?metadataTable", refused=_TABLES),
    _row(
        _O.DELETE_BUCKET_METADATA_TABLE_CONFIGURATION,
        "DELETE bucket?metadataTable",
        refused=_TABLES,
    ),
    _row(
        _O.UPDATE_BUCKET_METADATA_ANNOTATION_TABLE_CONFIGURATION,
        "PUT bucket?metadataAnnotationTable",
        refused=_TABLES,
    ),
    _row(
        _O.UPDATE_BUCKET_METADATA_INVENTORY_TABLE_CONFIGURATION,
        "PUT bucket?metadataInventoryTable",
        refused=_TABLES,
    ),
    _row(
        _O.UPDATE_BUCKET_METADATA_JOURNAL_TABLE_CONFIGURATION,
        "PUT bucket?metadataJournalTable",
        refused=_TABLES,
    ),
    _row(_O.PUT_BUCKET_METRICS_CONFIGURATION, "PUT bucket?metrics", refused=_METRICS),
    _row(_O.PUT_BUCKET_NOTIFICATION_CONFIGURATION, "PUT bucket?notification", refused=_NAMES),
    _row(_O.DELETE_BUCKET_OWNERSHIP_CONTROLS, "DELETE bucket?ownershipControls", refused=_ACL),
    _row(_O.PUT_BUCKET_POLICY, "PUT bucket?policy", refused=_POLICY),
    _row(_O.PUT_PUBLIC_ACCESS_BLOCK, "PUT bucket?publicAccessBlock", refused=_POLICY),
    _row(_O.DELETE_PUBLIC_ACCESS_BLOCK, "DELETE bucket?publicAccessBlock", refused=_POLICY),
    _row(_O.PUT_BUCKET_REPLICATION, "PUT bucket?replication", refused=_REPLICATION),
    _row(_O.PUT_BUCKET_WEBSITE, "PUT bucket?website", refused=_WEBSITE),
)

OPERATIONS: Mapping[Operation, Row] = {row.operation: row for row in ROWS}
"""The row of every operation."""

"""XML documents that clients get: one function for each answer.

Source: Amazon S3 API Reference, the response syntax of each operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hyok.s3.columns import Columns
from hyok.s3.elements import (
    DECLARATION,
    NAMESPACE,
    all_shown,
    checksum_elements,
    document,
    escape,
    flag,
    leaf,
    optional,
    owner_element,
    quoted,
    shown,
    timestamp,
    timestamps,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hyok.s3.checksums import Algorithm

# --- errors --------------------------------------------------------------------------------------


def error(
    code: str,
    message: str,
    *,
    resource: str,
    request_id: str,
    host_id: str,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """Return an Error document (it has no namespace)."""
    pieces = [leaf("Code", code), leaf("Message", message)]
    pieces += [leaf(name, text) for name, text in (extra or {}).items()]
    pieces += [leaf("Resource", resource), leaf("RequestId", request_id)]
    pieces.append(leaf("HostId", host_id))
    return f"{DECLARATION}<Error>{''.join(pieces)}</Error>".encode()


# --- buckets -------------------------------------------------------------------------------------


def list_buckets(owner: str, buckets: Iterable[tuple[str, int]]) -> bytes:
    """Return ListAllMyBucketsResult for ``(name, created in unix ms)``."""
    rows = "".join(
        [
            f"<Bucket>{leaf('Name', name)}{leaf('CreationDate', timestamp(created))}</Bucket>"
            for name, created in buckets
        ]
    )
    return document(
        "ListAllMyBucketsResult", [owner_element("Owner", owner), f"<Buckets>{rows}</Buckets>"]
    )


def location(region: str) -> bytes:
    """Return LocationConstraint; S3 leaves it empty for us-east-1."""
    text = "" if region == "us-east-1" else escape(region)
    opened = f'{DECLARATION}<LocationConstraint xmlns="{NAMESPACE}"'
    return (f"{opened}>{text}</LocationConstraint>" if text else f"{opened}/>").encode()


class Entry(NamedTuple):
    """One object in a listing, as the client may see it; ``etag`` without quotes."""

    key: str
    size: int
    etag: str
    modified_ms: int


class Entries(Columns[Entry]):
    """The objects of a page."""

    __slots__ = ()

    row = Entry

    @property
    def keys(self) -> Sequence[str]:
        return self.columns[0]

    @property
    def sizes(self) -> Sequence[int]:
        return self.columns[1]

    @property
    def etags(self) -> Sequence[str]:
        return self.columns[2]

    @property
    def modified_ms(self) -> Sequence[int]:
        return self.columns[3]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, either version of the operation."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_keys: int = 1000
    entries: Entries = field(default_factory=Entries)
    prefixes: Sequence[str] = ()
    truncated: bool = False
    encode_url: bool = False
    owner: str = ""  # shown with every entry when not empty


def list_objects(page: Page, *, marker: str, next_marker: str) -> bytes:
    """Return ListBucketResult of version 1."""
    return document(
        "ListBucketResult",
        [
            leaf("Name", page.bucket),
            leaf("Prefix", _shown(page.prefix, page)),
            leaf("Marker", _shown(marker, page)),
            # S3 gives the next marker only with a delimiter; it never hurts to have it.
            optional("NextMarker", _shown(next_marker, page) if page.truncated else ""),
            *_page(page),
        ],
    )


def list_objects_v2(
    page: Page, *, token: str | None, next_token: str, start_after: str | None
) -> bytes:
    """Return ListBucketResult of version 2."""
    return document(
        "ListBucketResult",
        [
            leaf("Name", page.bucket),
            leaf("Prefix", _shown(page.prefix, page)),
            "" if token is None else leaf("ContinuationToken", token),
            optional("NextContinuationToken", next_token if page.truncated else ""),
            leaf("KeyCount", len(page.entries) + len(page.prefixes)),
            "" if start_after is None else leaf("StartAfter", _shown(start_after, page)),
            *_page(page),
        ],
    )


def _shown(name: str, page: Page) -> str:
    return shown(name, encode_url=page.encode_url)


def _page(page: Page) -> list[str]:
    pieces = [
        leaf("MaxKeys", page.max_keys),
        optional("Delimiter", _shown(page.delimiter, page)),
        leaf("EncodingType", "url") if page.encode_url else "",
        flag("IsTruncated", on=page.truncated),
    ]
    owner = owner_element("Owner", page.owner) if page.owner else ""
    end = f"</Size>{owner}<StorageClass>STANDARD</StorageClass></Contents>"
    entries = page.entries
    pieces += [
        f"<Contents><Key>{key}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}{end}"
        for key, modified, etag, size in zip(
            all_shown(entries.keys, encode_url=page.encode_url),
            timestamps(entries.modified_ms),
            all_shown(entries.etags),
            entries.sizes,
            strict=True,
        )
    ]
    pieces += [
        f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
        for prefix in all_shown(page.prefixes, encode_url=page.encode_url)
    ]
    return pieces


# --- objects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """One object of a DeleteObjects that was not deleted."""

    key: str
    code: str
    message: str
    version_id: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """One object of a DeleteObjects that was deleted.

    ``version_id``: the version that was asked for.  ``marker_version_id``: of the delete marker
    that was made, or that was itself removed; empty where there is none.
    """

    key: str
    version_id: str = ""
    marker_version_id: str = ""


def delete_result(deleted: Iterable[str | Deleted], failed: Iterable[DeleteFailure]) -> bytes:
    """Return DeleteResult; ``deleted`` is empty when the client asked for quiet."""
    pieces = [_deleted(Deleted(one) if isinstance(one, str) else one) for one in deleted]
    pieces += [
        f"<Error>{leaf('Key', failure.key)}{optional('VersionId', failure.version_id)}"
        f"{leaf('Code', failure.code)}{leaf('Message', failure.message)}</Error>"
        for failure in failed
    ]
    return document("DeleteResult", pieces)


def _deleted(one: Deleted) -> str:
    marker = one.marker_version_id
    return (
        f"<Deleted>{leaf('Key', one.key)}{optional('VersionId', one.version_id)}"
        f"{flag('DeleteMarker', on=True) if marker else ''}"
        f"{optional('DeleteMarkerVersionId', marker)}</Deleted>"
    )


def copy_result(
    etag: str,
    modified_ms: int,
    checksums: Mapping[Algorithm, str] | None = None,
    *,
    root: str = "CopyObjectResult",
) -> bytes:
    """Return CopyObjectResult; UploadPartCopy has the same under the ``root`` CopyPartResult."""
    return document(
        root,
        [
            leaf("LastModified", timestamp(modified_ms)),
            leaf("ETag", quoted(etag)),
            checksum_elements(checksums or {}),
        ],
    )


# --- multipart -----------------------------------------------------------------------------------


def initiated(bucket: str, key: str, upload_id: str) -> bytes:
    """Return InitiateMultipartUploadResult."""
    return document(
        "InitiateMultipartUploadResult",
        [leaf("Bucket", bucket), leaf("Key", key), leaf("UploadId", upload_id)],
    )


def completed(
    bucket: str,
    key: str,
    etag: str,
    address: str,
    checksums: Mapping[Algorithm, str] | None = None,
    checksum_type: str = "",
) -> bytes:
    """Return CompleteMultipartUploadResult."""
    return document(
        "CompleteMultipartUploadResult",
        [
            leaf("Location", address),
            leaf("Bucket", bucket),
            leaf("Key", key),
            leaf("ETag", quoted(etag)),
            checksum_elements(checksums or {}),
            optional("ChecksumType", checksum_type),
        ],
    )


@dataclass(frozen=True, slots=True)
class PartEntry:
    """One part in ListParts; ``etag`` without quotes, the size of the plaintext."""

    number: int
    etag: str
    size: int
    modified_ms: int
    checksums: Mapping[Algorithm, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartsPage:
    """One page of ListParts."""

    bucket: str
    key: str
    upload_id: str
    owner: str
    after: int
    max_parts: int
    parts: Sequence[PartEntry]
    truncated: bool
    checksum_algorithm: str = ""
    checksum_type: str = ""


def list_parts(page: PartsPage) -> bytes:
    """Return ListPartsResult."""
    last = page.parts[-1].number if page.parts else 0
    pieces = [
        leaf("Bucket", page.bucket),
        leaf("Key", page.key),
        leaf("UploadId", page.upload_id),
        owner_element("Initiator", page.owner),
        owner_element("Owner", page.owner),
        leaf("StorageClass", "STANDARD"),
        leaf("PartNumberMarker", page.after),
        leaf("NextPartNumberMarker", last),
        leaf("MaxParts", page.max_parts),
        flag("IsTruncated", on=page.truncated),
        optional("ChecksumAlgorithm", page.checksum_algorithm),
        optional("ChecksumType", page.checksum_type),
    ]
    pieces += [
        f"<Part>{leaf('PartNumber', part.number)}"
        f"{leaf('LastModified', timestamp(part.modified_ms))}"
        f"{leaf('ETag', quoted(part.etag))}{leaf('Size', part.size)}"
        f"{checksum_elements(part.checksums)}</Part>"
        for part in page.parts
    ]
    return document("ListPartsResult", pieces)


@dataclass(frozen=True, slots=True)
class UploadEntry:
    """One open upload."""

    key: str
    upload_id: str
    begun_ms: int


def list_uploads(
    page: Page,
    uploads: Sequence[UploadEntry],
    *,
    key_marker: str,
    upload_id_marker: str,
) -> bytes:
    """Return ListMultipartUploadsResult; of the page only its frame counts."""
    last = uploads[-1] if uploads and page.truncated else None
    pieces = [
        leaf("Bucket", page.bucket),
        leaf("KeyMarker", _shown(key_marker, page)),
        leaf("UploadIdMarker", upload_id_marker),
        leaf("NextKeyMarker", _shown(last.key, page)) if last else "",
        leaf("NextUploadIdMarker", last.upload_id) if last else "",
        leaf("Prefix", _shown(page.prefix, page)),
        optional("Delimiter", _shown(page.delimiter, page)),
        leaf("MaxUploads", page.max_keys),
        leaf("EncodingType", "url") if page.encode_url else "",
        flag("IsTruncated", on=page.truncated),
    ]
    pieces += [
        f"<Upload>{leaf('Key', _shown(upload.key, page))}{leaf('UploadId', upload.upload_id)}"
        f"{owner_element('Initiator', page.owner)}{owner_element('Owner', page.owner)}"
        f"<StorageClass>STANDARD</StorageClass>"
        f"{leaf('Initiated', timestamp(upload.begun_ms))}</Upload>"
        for upload in uploads
    ]
    pieces += [
        f"<CommonPrefixes>{leaf('Prefix', _shown(prefix, page))}</CommonPrefixes>"
        for prefix in page.prefixes
    ]
    return document("ListMultipartUploadsResult", pieces)

"""XML documents that clients get: one function for each answer.

Source: Amazon S3 API Reference, the response syntax of each operation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hyok.s3.checksums import Algorithm

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OWNER_NAME = "hyok"

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff&<>\"'\t\n\r]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def escape(text: str) -> str:
    """Return text as XML character data; control characters as references, as S3 writes them."""
    return _SPECIAL.sub(lambda m: _ENTITIES.get(m[0]) or f"&#x{ord(m[0]):x};", text)


def timestamp(ms: int) -> str:
    """Return unix milliseconds as S3 writes times in XML."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def _leaf(name: str, text: str | int) -> str:
    return f"<{name}>{escape(text) if isinstance(text, str) else text}</{name}>"


def _optional(name: str, text: str) -> str:
    return _leaf(name, text) if text else ""


def _flag(name: str, *, on: bool) -> str:
    return f"<{name}>{'true' if on else 'false'}</{name}>"


def _document(root: str, pieces: Iterable[str]) -> bytes:
    inner = "".join(pieces)
    return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def _owner(name: str, identity: str) -> str:
    return f"<{name}>{_leaf('ID', identity)}{_leaf('DisplayName', OWNER_NAME)}</{name}>"


def _quoted(etag: str) -> str:
    return f'"{etag}"'


def _checksums(values: Mapping[Algorithm, str]) -> str:
    return "".join([_leaf(algorithm.element, text) for algorithm, text in values.items()])


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
    pieces = [_leaf("Code", code), _leaf("Message", message)]
    pieces += [_leaf(name, text) for name, text in (extra or {}).items()]
    pieces += [_leaf("Resource", resource), _leaf("RequestId", request_id)]
    pieces.append(_leaf("HostId", host_id))
    return f"{_DECLARATION}<Error>{''.join(pieces)}</Error>".encode()


# --- buckets -------------------------------------------------------------------------------------


def list_buckets(owner: str, buckets: Iterable[tuple[str, int]]) -> bytes:
    """Return ListAllMyBucketsResult for ``(name, created in unix ms)``."""
    rows = "".join(
        [
            f"<Bucket>{_leaf('Name', name)}{_leaf('CreationDate', timestamp(created))}</Bucket>"
            for name, created in buckets
        ]
    )
    return _document(
        "ListAllMyBucketsResult", [_owner("Owner", owner), f"<Buckets>{rows}</Buckets>"]
    )


def location(region: str) -> bytes:
    """Return LocationConstraint; S3 leaves it empty for us-east-1."""
    text = "" if region == "us-east-1" else escape(region)
    opened = f'{_DECLARATION}<LocationConstraint xmlns="{NAMESPACE}"'
    return (f"{opened}>{text}</LocationConstraint>" if text else f"{opened}/>").encode()


def versioning(status: str = "") -> bytes:
    """Return VersioningConfiguration; empty when versions were never switched on."""
    return _document("VersioningConfiguration", [_optional("Status", status)])


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a listing, as the client may see it; ``etag`` without quotes."""

    key: str
    size: int
    etag: str
    modified_ms: int
    checksum_algorithm: str = ""
    checksum_type: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, either version of the operation."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    max_keys: int = 1000
    entries: Sequence[Entry] = ()
    prefixes: Sequence[str] = ()
    truncated: bool = False
    encode_url: bool = False
    owner: str = ""  # shown with every entry when not empty


def list_objects(page: Page, *, marker: str, next_marker: str) -> bytes:
    """Return ListBucketResult of version 1."""
    return _document(
        "ListBucketResult",
        [
            _leaf("Name", page.bucket),
            _leaf("Prefix", _shown(page.prefix, page)),
            _leaf("Marker", _shown(marker, page)),
            # S3 gives the next marker only with a delimiter; it never hurts to have it.
            _optional("NextMarker", _shown(next_marker, page) if page.truncated else ""),
            *_page(page),
        ],
    )


def list_objects_v2(
    page: Page, *, token: str | None, next_token: str, start_after: str | None
) -> bytes:
    """Return ListBucketResult of version 2."""
    return _document(
        "ListBucketResult",
        [
            _leaf("Name", page.bucket),
            _leaf("Prefix", _shown(page.prefix, page)),
            "" if token is None else _leaf("ContinuationToken", token),
            _optional("NextContinuationToken", next_token if page.truncated else ""),
            _leaf("KeyCount", len(page.entries) + len(page.prefixes)),
            "" if start_after is None else _leaf("StartAfter", _shown(start_after, page)),
            *_page(page),
        ],
    )


def _shown(name: str, page: Page) -> str:
    return quote(name, safe="/*") if page.encode_url else name


def _page(page: Page) -> list[str]:
    pieces = [
        _leaf("MaxKeys", page.max_keys),
        _optional("Delimiter", _shown(page.delimiter, page)),
        _leaf("EncodingType", "url") if page.encode_url else "",
        _flag("IsTruncated", on=page.truncated),
    ]
    owner = _owner("Owner", page.owner) if page.owner else ""
    pieces += [
        f"<Contents><Key>{escape(_shown(entry.key, page))}</Key>"
        f"<LastModified>{timestamp(entry.modified_ms)}</LastModified>"
        f"<ETag>{escape(_quoted(entry.etag))}</ETag>"
        f"{_optional('ChecksumAlgorithm', entry.checksum_algorithm)}"
        f"{_optional('ChecksumType', entry.checksum_type)}"
        f"<Size>{entry.size}</Size>{owner}<StorageClass>STANDARD</StorageClass></Contents>"
        for entry in page.entries
    ]
    pieces += [
        f"<CommonPrefixes>{_leaf('Prefix', _shown(prefix, page))}</CommonPrefixes>"
        for prefix in page.prefixes
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


def delete_result(deleted: Iterable[str], failed: Iterable[DeleteFailure]) -> bytes:
    """Return DeleteResult; ``deleted`` is empty when the client asked for quiet."""
    pieces = [f"<Deleted>{_leaf('Key', key)}</Deleted>" for key in deleted]
    pieces += [
        f"<Error>{_leaf('Key', failure.key)}{_optional('VersionId', failure.version_id)}"
        f"{_leaf('Code', failure.code)}{_leaf('Message', failure.message)}</Error>"
        for failure in failed
    ]
    return _document("DeleteResult", pieces)


def copy_result(
    etag: str, modified_ms: int, checksums: Mapping[Algorithm, str] | None = None
) -> bytes:
    """Return CopyObjectResult."""
    return _document(
        "CopyObjectResult",
        [
            _leaf("LastModified", timestamp(modified_ms)),
            _leaf("ETag", _quoted(etag)),
            _checksums(checksums or {}),
        ],
    )


def tagging(tags: Mapping[str, str]) -> bytes:
    """Return Tagging."""
    rows = [f"<Tag>{_leaf('Key', k)}{_leaf('Value', v)}</Tag>" for k, v in tags.items()]
    return _document("Tagging", [f"<TagSet>{''.join(rows)}</TagSet>"])


# --- multipart -----------------------------------------------------------------------------------


def initiated(bucket: str, key: str, upload_id: str) -> bytes:
    """Return InitiateMultipartUploadResult."""
    return _document(
        "InitiateMultipartUploadResult",
        [_leaf("Bucket", bucket), _leaf("Key", key), _leaf("UploadId", upload_id)],
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
    return _document(
        "CompleteMultipartUploadResult",
        [
            _leaf("Location", address),
            _leaf("Bucket", bucket),
            _leaf("Key", key),
            _leaf("ETag", _quoted(etag)),
            _checksums(checksums or {}),
            _optional("ChecksumType", checksum_type),
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
        _leaf("Bucket", page.bucket),
        _leaf("Key", page.key),
        _leaf("UploadId", page.upload_id),
        _owner("Initiator", page.owner),
        _owner("Owner", page.owner),
        _leaf("StorageClass", "STANDARD"),
        _leaf("PartNumberMarker", page.after),
        _leaf("NextPartNumberMarker", last),
        _leaf("MaxParts", page.max_parts),
        _flag("IsTruncated", on=page.truncated),
        _optional("ChecksumAlgorithm", page.checksum_algorithm),
        _optional("ChecksumType", page.checksum_type),
    ]
    pieces += [
        f"<Part>{_leaf('PartNumber', part.number)}"
        f"{_leaf('LastModified', timestamp(part.modified_ms))}"
        f"{_leaf('ETag', _quoted(part.etag))}{_leaf('Size', part.size)}"
        f"{_checksums(part.checksums)}</Part>"
        for part in page.parts
    ]
    return _document("ListPartsResult", pieces)


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
        _leaf("Bucket", page.bucket),
        _leaf("KeyMarker", _shown(key_marker, page)),
        _leaf("UploadIdMarker", upload_id_marker),
        _leaf("NextKeyMarker", _shown(last.key, page)) if last else "",
        _leaf("NextUploadIdMarker", last.upload_id) if last else "",
        _leaf("Prefix", _shown(page.prefix, page)),
        _optional("Delimiter", _shown(page.delimiter, page)),
        _leaf("MaxUploads", page.max_keys),
        _leaf("EncodingType", "url") if page.encode_url else "",
        _flag("IsTruncated", on=page.truncated),
    ]
    pieces += [
        f"<Upload>{_leaf('Key', _shown(upload.key, page))}{_leaf('UploadId', upload.upload_id)}"
        f"{_owner('Initiator', page.owner)}{_owner('Owner', page.owner)}"
        f"<StorageClass>STANDARD</StorageClass>"
        f"{_leaf('Initiated', timestamp(upload.begun_ms))}</Upload>"
        for upload in uploads
    ]
    pieces += [
        f"<CommonPrefixes>{_leaf('Prefix', _shown(prefix, page))}</CommonPrefixes>"
        for prefix in page.prefixes
    ]
    return _document("ListMultipartUploadsResult", pieces)

"""What we say to an S3 store and what it says back, as values.  Pure.

Errors of the store become our kinds; its own sentences stay behind, since they may name what our
clients should not see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus
from xml.sax.saxutils import escape

from hyok.backends.port import Lock, Stored, StoredFacts, StoredPart, StoredUpload, StoreListing
from hyok.envelope.block import FIELD_NAME, decode_text, encode_text
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Unavailable
from hyok.s3.documents import Element, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.backends.port import Condition

CLEAR_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
META = "x-amz-meta-"
VERSION = "x-amz-version-id"
MARKER = "x-amz-delete-marker"
_LOCK_MODE = "x-amz-object-lock-mode"
_LOCK_UNTIL = "x-amz-object-lock-retain-until-date"
_LOCK_HOLD = "x-amz-object-lock-legal-hold"
LISTING_BYTES_MAX = 8 << 20
_SAFE = "/-_.~"

_CONFLICTS = {
    "PreconditionFailed": "PreconditionFailed",
    "ConditionalRequestConflict": "ConditionalRequestConflict",
    "OperationAborted": "OperationAborted",
    "BucketNotEmpty": "BucketNotEmpty",
    "BucketAlreadyExists": "BucketAlreadyExists",
    "BucketAlreadyOwnedByYou": "BucketAlreadyOwnedByYou",
    "InvalidBucketState": "InvalidBucketState",
}
_MALFORMED = frozenset(
    {
        "InvalidPart",
        "InvalidPartOrder",
        "EntityTooSmall",
        "EntityTooLarge",
        "InvalidRange",
        "InvalidArgument",
        "InvalidRequest",
        "InvalidTag",
    }
)
_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion"})


def path_of(bucket: str, name: str, *, virtual_host: bool) -> str:
    """Return the percent-encoded path, as it is signed and sent."""
    whole = name if virtual_host else f"{bucket}/{name}" if name else bucket
    return "/" + quote(whole, safe=_SAFE)


def version_suffix(version_id: str) -> str:
    """Return what names a version behind the path of a copy's source."""
    return f"?versionId={quote(version_id, safe='')}" if version_id else ""


def facts_headers(facts: StoredFacts) -> dict[str, str]:
    """Return the headers that carry the facts of an object."""
    headers = dict(facts.clear)
    for name, value in facts.user_metadata.items():
        headers[META + name] = value
    if facts.envelope:
        headers[META + FIELD_NAME] = encode_text(facts.envelope)
    if facts.tags:
        headers["x-amz-tagging"] = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in facts.tags.items()
        )
    return headers | _lock_headers(facts.lock)


def _lock_headers(lock: Lock) -> dict[str, str]:
    headers: dict[str, str] = {}
    if lock.mode:
        headers |= {_LOCK_MODE: lock.mode, _LOCK_UNTIL: second_of(lock.until_ms)}
    if lock.hold is not None:
        headers[_LOCK_HOLD] = hold_status(lock.hold)
    return headers


def hold_status(hold: bool) -> str:  # noqa: FBT001 - it is the value
    """Return S3's word for a legal hold."""
    return "ON" if hold else "OFF"


def second_of(at_ms: int) -> str:
    """Return a time to the second, in ISO 8601; never earlier than was asked."""
    return datetime.fromtimestamp(-(-at_ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lock_of(headers: Mapping[str, str]) -> Lock:
    hold = headers.get(_LOCK_HOLD, "")
    return Lock(
        headers.get(_LOCK_MODE, ""),
        iso_time(headers.get(_LOCK_UNTIL, "")) if headers.get(_LOCK_MODE) else 0,
        hold == "ON" if hold else None,
    )


def condition_headers(condition: Condition) -> dict[str, str]:
    """Return If-Match or If-None-Match."""
    if condition.if_match:
        return {"if-match": f'"{condition.if_match}"'}
    return {"if-none-match": "*"} if condition.absent else {}


def is_locked(headers: Mapping[str, str]) -> bool:
    """Tell whether a version has a retention or a legal hold."""
    lock = _lock_of(headers)
    return bool(lock.mode or lock.hold)


def stored_of(name: str, headers: Mapping[str, str], size: int) -> Stored:
    """Return an object as the headers of an answer tell it.

    Raises:
        Malformed: the envelope is not in the one form that it may have.
    """
    text = headers.get(META + FIELD_NAME, "")
    user = {
        key.removeprefix(META): value
        for key, value in headers.items()
        if key.startswith(META) and key != META + FIELD_NAME
    }
    return Stored(
        name=name,
        etag=headers.get("etag", "").strip('"'),
        size=size,
        modified_ms=_http_time(headers.get("last-modified", "")),
        facts=StoredFacts(
            envelope=decode_text(text) if text else b"",
            clear={key: value for key in CLEAR_HEADERS if (value := _clear(headers, key))},
            user_metadata=user,
            lock=_lock_of(headers),
        ),
        version_id=headers.get(VERSION, ""),
        tag_count=int(count) if (count := headers.get("x-amz-tagging-count", "")).isdigit() else 0,
    )


def _clear(headers: Mapping[str, str], name: str) -> str:
    """Return a fact in clear; SeaweedFS keeps the framing of an upload as a content-encoding."""
    value = headers.get(name, "")
    if name != "content-encoding":
        return value
    words = [word.strip() for word in value.split(",")]
    return ",".join(word for word in words if word and word != "aws-chunked")


def total_size(status: int, headers: Mapping[str, str]) -> int:
    """Return the whole object's length: of Content-Range in a 206, else Content-Length."""
    text = headers.get("content-length", "0")
    if status == 206:
        text = headers.get("content-range", "").rpartition("/")[2]
    if not text.isdigit():
        raise Unavailable("The store's answer has no length.", reason="ServiceUnavailable")
    return int(text)


def _http_time(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000) if text else 0
    except ValueError:
        return 0


def iso_time(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is not success."""

    status: int
    code: str
    facts: Mapping[str, str] = field(default_factory=dict)  # of a delete marker, where told


def failure_of(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Failure:
    """Return the code of an error document, empty when there is none, and what headers add."""
    facts: dict[str, str] = {}
    if headers and headers.get(MARKER) == "true":
        facts = {"delete-marker": "true", "version-id": headers.get(VERSION, "")}
    try:
        return Failure(status, parse(body, "Error").value("Code") or "", facts)
    except Malformed:
        return Failure(status, "", facts)


def error_of(failure: Failure, missing: str = "NoSuchKey") -> HyokError:
    """Return our error; ``missing`` is what a bare 404 stands for.

    Where a version was asked for (``NoSuchVersion``) it is the version that is missing, whatever
    the store calls it.
    """
    code = failure.code or {404: missing, 412: "PreconditionFailed", 416: "InvalidRange"}.get(
        failure.status, ""
    )
    if code in _NOT_FOUND or failure.status == 404:
        reason = code if code in _NOT_FOUND else missing
        if (reason, missing) == ("NoSuchKey", "NoSuchVersion"):
            reason = missing
        return NotFound("The specified key does not exist.", reason=reason, facts=failure.facts)
    if failure.facts and failure.status == 405:
        return Malformed(
            "A delete marker has no bytes.", reason="MethodNotAllowed", facts=failure.facts
        )
    if code in _CONFLICTS:
        return Conflict("The store's state forbids it.", reason=_CONFLICTS[code])
    if code in _MALFORMED:
        return Malformed("The store refuses these bytes or parts.", reason=code)
    if failure.status == 501 or code == "NotImplemented":
        return Refused("The store does not offer this.", reason="NotImplemented")
    if failure.status in {401, 403}:
        return Unavailable(
            "The store refuses our credentials.",
            reason="ServiceUnavailable",
            code="HY-4002",
            effect="Nothing was changed.",
            next_step="hyok doctor; look at the store's credentials",
        )
    reason = "SlowDown" if code == "SlowDown" or failure.status == 429 else "ServiceUnavailable"
    return Unavailable("The store does not answer as it should.", reason=reason, code="HY-4003")


def parse_listing(body: bytes, prefix: str) -> tuple[StoreListing, str]:
    """Return a page of ListObjectsV2, asked for with ``encoding-type=url``, and its token."""
    del prefix
    page = parse(body, "ListBucketResult", LISTING_BYTES_MAX)
    encoded = page.value("EncodingType") == "url"
    objects = [
        Stored(
            name=name_of(found.value("Key") or "", encoded=encoded),
            etag=(found.value("ETag") or "").strip('"'),
            size=int(found.value("Size") or 0),
            modified_ms=iso_time(found.value("LastModified") or ""),
        )
        for found in page.all("Contents")
    ]
    prefixes = [
        name_of(found.value("Prefix") or "", encoded=encoded)
        for found in page.all("CommonPrefixes")
    ]
    token = ""
    if page.value("IsTruncated") == "true":
        token = page.value("NextContinuationToken") or ""
    return StoreListing(objects, prefixes), token


def name_of(text: str, *, encoded: bool) -> str:
    # As S3 does it: a blank is a plus, a plus is %2B.
    return unquote_plus(text) if encoded else text


def parse_upload_id(body: bytes) -> str:
    """Return the id of CreateMultipartUpload's answer."""
    found = parse(body, "InitiateMultipartUploadResult").value("UploadId")
    if not found:
        raise Unavailable("The store gave no upload id.", reason="ServiceUnavailable")
    return found


def parse_parts(body: bytes) -> tuple[Sequence[StoredPart], bool]:
    """Return a page of ListParts, and whether more follow."""
    page = parse(body, "ListPartsResult", LISTING_BYTES_MAX)
    parts = [
        StoredPart(
            number=int(found.value("PartNumber") or 0),
            etag=(found.value("ETag") or "").strip('"'),
            size=int(found.value("Size") or 0),
            modified_ms=iso_time(found.value("LastModified") or ""),
        )
        for found in page.all("Part")
    ]
    return parts, page.value("IsTruncated") == "true"


def parse_buckets(body: bytes) -> tuple[Sequence[str], str]:
    """Return a page of ListBuckets and the token of the next one."""
    page = parse(body, "ListAllMyBucketsResult", LISTING_BYTES_MAX)
    buckets = [
        found.value("Name") or ""
        for holder in page.all("Buckets")
        for found in holder.all("Bucket")
    ]
    return buckets, page.value("ContinuationToken") or ""


def parse_uploads(body: bytes) -> Sequence[StoredUpload]:
    """Return a page of ListMultipartUploads."""
    page = parse(body, "ListMultipartUploadsResult", LISTING_BYTES_MAX)
    return [
        StoredUpload(
            name=found.value("Key") or "",
            upload_id=found.value("UploadId") or "",
            begun_ms=iso_time(found.value("Initiated") or ""),
        )
        for found in page.all("Upload")
    ]


def parse_etag(body: bytes, root: str) -> tuple[str, int]:
    """Return ETag and time of a copy's or a completion's answer.

    Raises:
        HyokError: the 200 carries an error document.
    """
    head: Element
    try:
        head = parse(body.strip(), root)
    except Malformed:
        raise error_of(failure_of(500, body.strip())) from None
    etag = (head.value("ETag") or "").strip('"')
    if not etag:
        raise Unavailable("The store's answer has no ETag.", reason="ServiceUnavailable")
    return etag, iso_time(head.value("LastModified") or "")


def render_complete(parts: Sequence[StoredPart]) -> bytes:
    """Return the document of CompleteMultipartUpload."""
    rows = "".join(
        f"<Part><PartNumber>{p.number}</PartNumber><ETag>&quot;{escape(p.etag)}&quot;</ETag></Part>"
        for p in parts
    )
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()

"""The documents of versions, tags and object lock, as we send them to an S3 store and read them.

Pure.  Reading goes through the guard of `hyok.s3.documents`: bounded, and without a DOCTYPE.

Source: Amazon S3 API Reference, the syntax of ListObjectVersions, Get- and PutBucketVersioning,
Get- and PutObjectTagging, Get- and PutObjectLockConfiguration, PutObjectRetention and
PutObjectLegalHold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from hyok.backends.port import DefaultLock, StoredVersion, VersionListing
from hyok.backends.s3_answers import broken, document_of, name_of, number, number_of, rows_of
from hyok.backends.s3_wire import hold_status, iso_time, second_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Lock

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_STATUSES = frozenset({"", "Enabled", "Suspended"})


# -- versions -------------------------------------------------------------------------------------


def parse_versions(body: bytes) -> VersionListing:
    """Return a page of ListObjectVersions.

    Within a name the newest comes first: SeaweedFS has the `null` version at the end, also where it
    is the newest.  What the page's times do not tell apart stays in the store's order.
    """
    page = rows_of(body, "ListVersionsResult")
    encoded = page.text("EncodingType") == "url"
    versions = [
        StoredVersion(
            name=name_of(texts.get("Key", ""), encoded=encoded),
            version_id=texts.get("VersionId") or "null",
            modified_ms=iso_time(texts.get("LastModified", "")),
            latest=texts.get("IsLatest") == "true",
            marker=kind == "DeleteMarker",
            etag=texts.get("ETag", "").strip('"'),
            size=number(texts.get("Size", "0"), "Size"),
        )
        for kind, texts in page.all(("Version", "DeleteMarker"))
    ]
    versions.sort(key=lambda v: (v.name.encode(), not v.latest, -(v.modified_ms // 1000)))
    prefixes = [
        name_of(texts.get("Prefix", ""), encoded=encoded)
        for _, texts in page.all(("CommonPrefixes",))
    ]
    if page.text("IsTruncated") != "true":
        return VersionListing(versions, prefixes)
    next_name = name_of(page.text("NextKeyMarker"), encoded=encoded)
    if not next_name:
        raise broken("a page is cut and names no next one")
    return VersionListing(versions, prefixes, next_name, page.text("NextVersionIdMarker"))


def parse_versioning(body: bytes) -> str:
    """Return ``Enabled``, ``Suspended`` or empty."""
    status = (document_of(body, "VersioningConfiguration").value("Status") or "").strip()
    if status not in _STATUSES:
        raise broken("it tells an unknown state")
    return status


def render_versioning(status: str) -> bytes:
    """Return the document of PutBucketVersioning."""
    return (
        f"<VersioningConfiguration {_NAMESPACE}><Status>{escape(status)}</Status>"
        "</VersioningConfiguration>"
    ).encode()


# -- tags -----------------------------------------------------------------------------------------


def parse_tags(body: bytes) -> dict[str, str]:
    """Return the tags of GetObjectTagging."""
    return {
        tag.value("Key") or "": tag.value("Value") or ""
        for holder in document_of(body, "Tagging").all("TagSet")
        for tag in holder.all("Tag")
    }


def render_tags(tags: Mapping[str, str]) -> bytes:
    """Return the document of PutObjectTagging."""
    rows = "".join(
        f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>"
        for name, value in tags.items()
    )
    return f"<Tagging {_NAMESPACE}><TagSet>{rows}</TagSet></Tagging>".encode()


# -- object lock ----------------------------------------------------------------------------------


def parse_object_lock(body: bytes) -> DefaultLock | None:
    """Return what GetObjectLockConfiguration tells; None where it is not switched on."""
    page = document_of(body, "ObjectLockConfiguration")
    if page.value("ObjectLockEnabled") != "Enabled":
        return None
    for rule in page.all("Rule"):
        for found in rule.all("DefaultRetention"):
            mode = found.value("Mode") or ""
            return DefaultLock(mode, number_of(found, "Days"), number_of(found, "Years"))
    return DefaultLock()


def render_object_lock(default: DefaultLock) -> bytes:
    """Return the document of PutObjectLockConfiguration."""
    rule = ""
    if default.mode:
        span = f"<Days>{default.days}</Days>" if default.days else f"<Years>{default.years}</Years>"
        rule = (
            f"<Rule><DefaultRetention><Mode>{escape(default.mode)}</Mode>{span}"
            "</DefaultRetention></Rule>"
        )
    return (
        f"<ObjectLockConfiguration {_NAMESPACE}><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
        f"{rule}</ObjectLockConfiguration>"
    ).encode()


def render_retention(lock: Lock) -> bytes:
    """Return the document of PutObjectRetention."""
    return (
        f"<Retention {_NAMESPACE}><Mode>{escape(lock.mode)}</Mode>"
        f"<RetainUntilDate>{second_of(lock.until_ms)}</RetainUntilDate></Retention>"
    ).encode()


def render_hold(hold: bool) -> bytes:  # noqa: FBT001 - it is the value
    """Return the document of PutObjectLegalHold."""
    return f"<LegalHold {_NAMESPACE}><Status>{hold_status(hold)}</Status></LegalHold>".encode()

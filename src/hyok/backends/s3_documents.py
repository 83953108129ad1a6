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
from hyok.backends.s3_wire import LISTING_BYTES_MAX, hold_status, iso_time, name_of, second_of
from hyok.errors import Unavailable
from hyok.s3.documents import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Lock
    from hyok.s3.documents import Element

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_STATUSES = frozenset({"", "Enabled", "Suspended"})


# -- versions -------------------------------------------------------------------------------------


def parse_versions(body: bytes) -> VersionListing:
    """Return a page of ListObjectVersions.

    Within a name the newest comes first: SeaweedFS has the `null` version at the end, also where it
    is the newest.  What the page's times do not tell apart stays in the store's order.
    """
    page = parse(body, "ListVersionsResult", LISTING_BYTES_MAX)
    encoded = page.value("EncodingType") == "url"
    versions = [
        StoredVersion(
            name=name_of(found.value("Key") or "", encoded=encoded),
            version_id=found.value("VersionId") or "null",
            modified_ms=iso_time(found.value("LastModified") or ""),
            latest=found.value("IsLatest") == "true",
            marker=found.name == "DeleteMarker",
            etag=(found.value("ETag") or "").strip('"'),
            size=_number(found, "Size"),
        )
        for found in page.children
        if found.name in {"Version", "DeleteMarker"}
    ]
    versions.sort(key=lambda v: (v.name.encode(), not v.latest, -(v.modified_ms // 1000)))
    prefixes = [
        name_of(found.value("Prefix") or "", encoded=encoded)
        for found in page.all("CommonPrefixes")
    ]
    if page.value("IsTruncated") != "true":
        return VersionListing(versions, prefixes)
    next_name = name_of(page.value("NextKeyMarker") or "", encoded=encoded)
    if not next_name:
        raise Unavailable(
            "The store does not say where its listing goes on.", reason="ServiceUnavailable"
        )
    return VersionListing(versions, prefixes, next_name, page.value("NextVersionIdMarker") or "")


def parse_versioning(body: bytes) -> str:
    """Return ``Enabled``, ``Suspended`` or empty."""
    status = (parse(body, "VersioningConfiguration").value("Status") or "").strip()
    if status not in _STATUSES:
        raise Unavailable("The store tells an unknown state.", reason="ServiceUnavailable")
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
        for holder in parse(body, "Tagging").all("TagSet")
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
    page = parse(body, "ObjectLockConfiguration")
    if page.value("ObjectLockEnabled") != "Enabled":
        return None
    for rule in page.all("Rule"):
        for found in rule.all("DefaultRetention"):
            mode = found.value("Mode") or ""
            return DefaultLock(mode, _number(found, "Days"), _number(found, "Years"))
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


def _number(element: Element, name: str) -> int:
    text = (element.value(name) or "0").strip()
    if not (text.isascii() and text.isdigit()):
        raise Unavailable("The store tells no number.", reason="ServiceUnavailable")
    return int(text)

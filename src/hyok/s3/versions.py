"""Versions of objects: the state of a bucket, version ids, and the listing of versions.

Source: Amazon S3 API Reference, PutBucketVersioning, GetBucketVersioning, ListObjectVersions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.s3.documents import malformed, parse
from hyok.s3.elements import (
    document,
    flag,
    leaf,
    optional,
    owner_element,
    quoted,
    shown,
    timestamp,
)
from hyok.s3.names import parse_version_id

if TYPE_CHECKING:
    from collections.abc import Sequence


class Versioning(Enum):
    """Does a bucket keep versions?  Once enabled it can be suspended, never taken back."""

    NEVER = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


def parse_versioning(body: bytes | memoryview) -> Versioning:
    """Return the state that a VersioningConfiguration asks for.

    Raises:
        Malformed: bad XML or status (``MalformedXML``), no status
            (``IllegalVersioningConfigurationException``).
        Refused: a delete that needs a second factor (``NotImplemented``).
    """
    root = parse(body, "VersioningConfiguration")
    second_factor = (root.value("MfaDelete") or "").strip()
    if second_factor not in ("", "Enabled", "Disabled"):
        raise malformed()
    if second_factor == "Enabled":
        raise Refused(
            "MFA delete is not offered: who may delete is decided by the policy bundle.",
            reason="NotImplemented",
        )
    status = root.value("Status")
    if status is None:
        raise Malformed(
            "The Versioning element must be specified",
            reason="IllegalVersioningConfigurationException",
        )
    if status.strip() not in (Versioning.ENABLED.value, Versioning.SUSPENDED.value):
        raise malformed()
    return Versioning(status.strip())


def render_versioning(state: Versioning) -> bytes:
    """Return VersioningConfiguration; empty when versions were never switched on."""
    return document("VersioningConfiguration", [optional("Status", state.value)])


# --- ListObjectVersions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One version of an object as the client may see it; ``etag`` without quotes."""

    key: str
    version_id: str
    latest: bool
    modified_ms: int
    size: int
    etag: str
    checksum_algorithm: str = ""
    checksum_type: str = ""


@dataclass(frozen=True, slots=True)
class MarkerEntry:
    """One delete marker."""

    key: str
    version_id: str
    latest: bool
    modified_ms: int


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """One page of ListObjectVersions; the markers of the next one count when ``truncated``."""

    bucket: str
    owner: str
    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    version_id_marker: str = ""
    max_keys: int = 1000
    entries: Sequence[VersionEntry | MarkerEntry] = ()
    prefixes: Sequence[str] = ()
    truncated: bool = False
    next_key_marker: str = ""
    next_version_id_marker: str = ""
    encode_url: bool = False


def parse_markers(key_marker: str | None, version_id_marker: str | None) -> tuple[str, str]:
    """Return where a listing of versions goes on: key and version id, each perhaps empty.

    Raises:
        Malformed: a version without a key, or an id that is none (reason ``InvalidArgument``).
    """
    if version_id_marker is not None and not key_marker:
        if version_id_marker:
            raise Malformed(
                "A version-id marker cannot be specified without a key marker.",
                reason="InvalidArgument",
            )
        return "", ""
    # Clients send the empty marker of a page whose last entry was a common prefix.
    return key_marker or "", parse_version_id(version_id_marker or None)


def list_versions(page: VersionsPage) -> bytes:
    """Return ListVersionsResult."""

    def name(text: str) -> str:
        return shown(text, encode_url=page.encode_url)

    pieces = [
        leaf("Name", page.bucket),
        leaf("Prefix", name(page.prefix)),
        leaf("KeyMarker", name(page.key_marker)),
        leaf("VersionIdMarker", page.version_id_marker),
    ]
    if page.truncated:
        pieces.append(leaf("NextKeyMarker", name(page.next_key_marker)))
        pieces.append(optional("NextVersionIdMarker", page.next_version_id_marker))
    pieces += [
        leaf("MaxKeys", page.max_keys),
        optional("Delimiter", name(page.delimiter)),
        leaf("EncodingType", "url") if page.encode_url else "",
        flag("IsTruncated", on=page.truncated),
    ]
    pieces += [_entry(entry, name(entry.key), page.owner) for entry in page.entries]
    pieces += [
        f"<CommonPrefixes>{leaf('Prefix', name(prefix))}</CommonPrefixes>"
        for prefix in page.prefixes
    ]
    return document("ListVersionsResult", pieces)


def _entry(entry: VersionEntry | MarkerEntry, key: str, owner: str) -> str:
    head = (
        f"{leaf('Key', key)}{leaf('VersionId', entry.version_id)}"
        f"{flag('IsLatest', on=entry.latest)}{leaf('LastModified', timestamp(entry.modified_ms))}"
    )
    if isinstance(entry, MarkerEntry):
        return f"<DeleteMarker>{head}{owner_element('Owner', owner)}</DeleteMarker>"
    return (
        f"<Version>{head}{leaf('ETag', quoted(entry.etag))}"
        f"{optional('ChecksumAlgorithm', entry.checksum_algorithm)}"
        f"{optional('ChecksumType', entry.checksum_type)}{leaf('Size', entry.size)}"
        f"{owner_element('Owner', owner)}{leaf('StorageClass', 'STANDARD')}</Version>"
    )

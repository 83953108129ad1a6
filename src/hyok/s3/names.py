"""Names of buckets, keys, uploads and versions of content, as clients may give and see them.

Source: Amazon S3 User Guide, "Naming objects"; docs/format.md section 8 for ETags.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from hyok.errors import Malformed, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_BYTES_MAX = 1024
RESERVED_PREFIX = ".hyok/"
UPLOAD_ID_CHARS_MAX = 1024
PART_NUMBER_MAX = 10_000
VERSION_ID_CHARS_MAX = 1024
COPY_SOURCE_CHARS_MAX = 8192  # a key of 1024 bytes, each one encoded, and a version id

NULL_VERSION = "null"
"""The version id of what was written while versions were off or suspended."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch
_BAD_LABEL = re.compile(r"\.\.|\.-|-\.").search  # in a host name each label is whole
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}").fullmatch
_HEX_DIGITS = b"0123456789abcdefABCDEF"
_HEX_32 = re.compile(r"[0-9a-fA-F]{32}").fullmatch
_HEX_32_MARKED = re.compile(r"[0-9a-fA-F]{32}-h").fullmatch
_PART_ID = re.compile(r"[0-9a-f]{32}").fullmatch
_VERSION_ID = re.compile(r"[A-Za-z0-9._~=+/:-]+").fullmatch
_UPLOAD_ID = re.compile(r"[A-Za-z0-9._~=+/:-]+").fullmatch


def check_bucket_name(name: str) -> None:
    """Return quietly if a bucket may have this name.

    Raises:
        Malformed: it may not (reason ``InvalidBucketName``).
    """
    if not _BUCKET(name) or _BAD_LABEL(name) or _ADDRESS(name):
        raise Malformed("The specified bucket is not valid.", reason="InvalidBucketName")


def check_key(key: str) -> None:
    """Return quietly if an object may have this key.

    Raises:
        Malformed: too long, or no key at all.
        Refused: it lies under the gateway's own prefix.
    """
    if not key:
        raise Malformed("The object key is empty.", reason="InvalidArgument")
    if len(key) * 4 > KEY_BYTES_MAX and len(key.encode()) > KEY_BYTES_MAX:
        raise Malformed("Your key is too long", reason="KeyTooLongError")
    if "\x00" in key:
        raise Malformed("The object key holds a zero byte.", reason="InvalidArgument")
    if key.startswith(RESERVED_PREFIX):
        raise Refused(
            f"Keys that begin with {RESERVED_PREFIX} are reserved for the gateway.",
            reason="AccessDenied",
        )


def check_upload_id(text: str) -> None:
    """Return quietly if this could be an upload id.

    Raises:
        NotFound: we never issued such an id (reason ``NoSuchUpload``).
    """
    if not text or len(text) > UPLOAD_ID_CHARS_MAX or not _UPLOAD_ID(text):
        raise NotFound("The specified multipart upload does not exist.", reason="NoSuchUpload")


def parse_part_number(text: str) -> int:
    """Return a part number of 1 to 10000.

    Raises:
        Malformed: it is not one (reason ``InvalidArgument``).
    """
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= PART_NUMBER_MAX:
        return int(text)
    raise Malformed(
        "Part number must be an integer between 1 and 10000, inclusive", reason="InvalidArgument"
    )


def etag_out(store_etag: str) -> str:
    """Return the ETag that clients see, without quotes, for the store's own.

    32 hex digits alone would be taken for the MD5 of the plaintext.
    """
    return f"{store_etag}-h" if _HEX_32(store_etag) else store_etag


def etags_out(store_etags: Sequence[str]) -> Sequence[str]:
    """Return the same of many: of a page of which most have 32 hex digits."""
    whole = "".join(store_etags).encode()
    if set(map(len, store_etags)) == {32} and not whole.translate(None, _HEX_DIGITS):
        return [f"{etag}-h" for etag in store_etags]
    return list(map(etag_out, store_etags))


def etag_in(client_etag: str) -> str | None:
    """Return the store's ETag for one that a client saw; None if we never showed such a one."""
    if _HEX_32_MARKED(client_etag):
        return client_etag[:-2]
    if not client_etag or _HEX_32(client_etag):
        return None
    return client_etag


def part_etag_out(store_etag: str, part_id: bytes) -> str:
    """Return the ETag of a part: the store's and the attempt's id (format.md section 8)."""
    return f"{store_etag}-{part_id.hex()}"


def part_etag_in(client_etag: str) -> tuple[str, bytes | None]:
    """Return the store's ETag and the part_id; None for an id that the client does not know."""
    store_etag, dash, tail = client_etag.rpartition("-")
    if dash and _PART_ID(tail):
        return store_etag, bytes.fromhex(tail)
    return client_etag, None


def unquote_etag(text: str) -> str:
    """Return an ETag without the quotes that most clients send."""
    text = text.strip()
    if len(text) >= 2 and text[0] == '"' == text[-1]:
        return text[1:-1]
    return text


def parse_version_id(text: str | None) -> str:
    """Return the version asked for; empty when none is.

    Raises:
        Malformed: no store gives such an id (reason ``InvalidArgument``).
    """
    if text is None:
        return ""
    if not text:
        raise Malformed("Version id cannot be the empty string", reason="InvalidArgument")
    if len(text) > VERSION_ID_CHARS_MAX or not _VERSION_ID(text):
        raise Malformed("Invalid version id specified", reason="InvalidArgument")
    return text


def parse_copy_source(header: str) -> tuple[str, str, str]:
    """Return bucket, key and version id of an ``x-amz-copy-source`` header.

    Percent-encoded, with or without a leading slash, perhaps with ``?versionId=``.

    Raises:
        Malformed: it names no object, or a version that cannot be (reason ``InvalidArgument``).
        Refused: it names an access point (reason ``NotImplemented``).
    """
    path, asks_version, version = header.partition("?versionId=")
    if len(header) > COPY_SOURCE_CHARS_MAX or _BROKEN_ESCAPE(header):
        raise _no_copy_source()
    clear = _decoded(path)
    if clear.removeprefix("/").startswith("arn:"):
        raise Refused(
            "Copy sources named by an access point are not offered; name bucket and key.",
            reason="NotImplemented",
        )
    bucket, _, key = clear.removeprefix("/").partition("/")
    if not bucket or not key:
        raise _no_copy_source()
    return bucket, key, parse_version_id(_decoded(version)) if asks_version else ""


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The copy source is not UTF-8.", reason="InvalidArgument") from None


def _no_copy_source() -> Malformed:
    return Malformed(
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        reason="InvalidArgument",
    )

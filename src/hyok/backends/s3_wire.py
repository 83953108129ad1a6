"""What we say to an S3 store, and what the heads of its answers say back, as values.  Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

from hyok.backends.port import NO_LOCK, Lock, Stored, StoredFacts
from hyok.envelope.block import FIELD_NAME, decode_text, encode_text
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.backends.port import Condition, StoredPart

_ENCODING = "content-encoding"
CLEAR_HEADERS = (
    "content-type",
    _ENCODING,
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
META = "x-amz-meta-"
CARRIED_HEADERS = (
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-website-redirect-location",
)
"""What a store would forget of an object copied onto itself (format.md §9), beside its facts."""

VERSION = "x-amz-version-id"
_TAG_COUNT = "x-amz-tagging-count"
MARKER = "x-amz-delete-marker"
_LOCK_MODE = "x-amz-object-lock-mode"
_LOCK_UNTIL = "x-amz-object-lock-retain-until-date"
_LOCK_HOLD = "x-amz-object-lock-legal-hold"
_SAFE = "/-_.~"


def path_of(bucket: str, name: str, *, virtual_host: bool) -> str:
    """Return the percent-encoded path, as it is signed and sent."""
    whole = name if virtual_host else f"{bucket}/{name}" if name else bucket
    return "/" + quote(whole, safe=_SAFE)


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
    return headers if facts.lock == NO_LOCK else headers | _lock_headers(facts.lock)


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
    mode, hold = headers.get(_LOCK_MODE, ""), headers.get(_LOCK_HOLD, "")
    if not mode and not hold:
        return NO_LOCK
    until_ms = iso_time(headers.get(_LOCK_UNTIL, "")) if mode else 0
    return Lock(mode, until_ms, hold == "ON" if hold else None)


def condition_headers(condition: Condition) -> dict[str, str]:
    """Return If-Match or If-None-Match."""
    if condition.if_match:
        return {"if-match": f'"{condition.if_match}"'}
    if condition.not_match:
        return {"if-none-match": f'"{condition.not_match}"'}
    if condition.exists:
        return {"if-match": "*"}
    return {"if-none-match": "*"} if condition.absent else {}


def source_headers(bucket: str, name: str, if_match: str, version_id: str = "") -> dict[str, str]:
    """Return the headers that name the source of a copy, and the version of it."""
    path = path_of(bucket, name, virtual_host=False)
    named = f"?versionId={quote(version_id, safe='')}" if version_id else ""
    headers = {"x-amz-copy-source": path + named}
    if if_match:
        headers["x-amz-copy-source-if-match"] = f'"{if_match}"'
    return headers


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a copy onto itself has to say again, of the answer to HEAD."""
    return {name: headers[name] for name in CARRIED_HEADERS if name in headers}


def is_locked(headers: Mapping[str, str]) -> bool:
    """Tell whether a version has a retention or a legal hold."""
    lock = _lock_of(headers)
    return bool(lock.mode or lock.hold)


def stored_of(name: str, headers: Mapping[str, str], size: int) -> Stored:
    """Return an object as the headers of an answer tell it.

    Raises:
        Malformed: the envelope is not in the one form that it may have.
    """
    user = {key[len(META) :]: value for key, value in headers.items() if key.startswith(META)}
    text = user.pop(FIELD_NAME, "")
    return Stored(
        name=name,
        etag=headers.get("etag", "").strip('"'),
        size=size,
        modified_ms=written_ms(headers),
        facts=StoredFacts(
            envelope=decode_text(text) if text else b"",
            clear=_clear_of(headers),
            user_metadata=user,
            lock=_lock_of(headers),
        ),
        version_id=headers.get(VERSION, ""),
        tag_count=int(count) if (count := headers.get(_TAG_COUNT, "")).isdigit() else 0,
    )


def written_ms(headers: Mapping[str, str]) -> int:
    """Return when an object was written, in unix milliseconds.

    The answer to a PUT has no Last-Modified; it was written when the store answered.
    """
    return _http_time(headers.get("last-modified") or headers.get("date", ""))


def _clear_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the facts in clear; SeaweedFS keeps the framing of an upload as a content-encoding."""
    clear = {name: headers[name] for name in CLEAR_HEADERS if headers.get(name)}
    if _ENCODING in clear:
        words = [word.strip() for word in clear.pop(_ENCODING).split(",")]
        if kept := ",".join(word for word in words if word and word != "aws-chunked"):
            clear[_ENCODING] = kept
    return clear


def total_size(status: int, headers: Mapping[str, str]) -> int:
    """Return the whole object's length: of Content-Range in a 206, else Content-Length.

    Raises:
        Unavailable: the answer does not say it.
    """
    text = headers.get("content-length", "")
    if status == 206:
        text = headers.get("content-range", "").rpartition("/")[2]
    if not (text.isascii() and text.isdigit()):
        raise Unavailable("The store's answer has no length.", reason="ServiceUnavailable")
    return int(text)


@lru_cache(maxsize=256)  # answers of one second share it, and objects that were written together
def _http_time(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000) if text else 0
    except (ValueError, OverflowError):
        return 0


def iso_time(text: str) -> int:
    """Return an ISO 8601 time in milliseconds; 0: it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def render_complete(parts: Sequence[StoredPart]) -> bytes:
    """Return the document of CompleteMultipartUpload."""
    rows = "".join(
        f"<Part><PartNumber>{p.number}</PartNumber><ETag>&quot;{escape(p.etag)}&quot;</ETag></Part>"
        for p in parts
    )
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()

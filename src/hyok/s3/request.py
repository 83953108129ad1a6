"""What the client asked for, as S3 reads it: bucket, key, query and headers.

The raw path and query stay beside the decoded values, since signatures are over the raw ones.

Source: Amazon S3 User Guide, "Virtual hosting of general purpose buckets".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from hyok.errors import Malformed
from hyok.s3.hoisted import hoisted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

QUERY_PARAMETERS_MAX = 64
HOSTS_MAX = 1024
"""Hosts whose bucket is remembered; a client comes back with the one it has."""

PORT_MAX = 65_535

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{0,255})(:(?P<port>[0-9]{0,5}))?", re.ASCII
).fullmatch


class S3Request:
    """One request, read once.  Names of headers are in lower case, in order of arrival.

    ``header`` finds what a presigned address carries in its query as well; ``headers`` is what
    came as headers.

    Args:
        method: in capitals.
        raw_path: as received, before any decoding.
        raw_query: as received, without the question mark.
        headers: names in lower case.
        base_domains: hosts under which a bucket may stand as a label (``bucket.<base>``).

    Raises:
        Malformed: the path or query cannot be read (reason ``InvalidURI`` or ``InvalidArgument``),
            or the host, where it may hold a bucket (``BadRequest``).
    """

    __slots__ = (
        "_fields",
        "bucket",
        "header",
        "headers",
        "key",
        "method",
        "query",
        "raw_path",
        "raw_query",
    )

    header: Callable[[str], str | None]
    """Returns a header's value by lower-case name; repeated ones joined by a comma."""

    def __init__(
        self,
        method: str,
        raw_path: bytes,
        raw_query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        base_domains: Sequence[str] = (),
    ) -> None:
        self.method = method
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.headers = headers
        self._fields = _gather(headers)
        # Asked some twenty times for each request: the dictionary's own method takes no frame.
        self.header = self._fields.get
        self.bucket, self.key = self._address(base_domains)
        self.query: Mapping[str, str] = _parse_query(raw_query) if raw_query else {}
        for name, value in hoisted(self.query).items() if raw_query else ():
            if self._fields.setdefault(name, value) != value:
                # Both are signed; whichever we took, the other was meant as well.
                raise Malformed(
                    f"The header {name[:64]} and the query parameter differ.",
                    reason="InvalidArgument",
                )

    @classmethod
    def of_target(
        cls,
        method: str,
        target: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        base_domains: Sequence[str] = (),
    ) -> S3Request:
        """Read a request target; only the origin form (``/path?query``) is served."""
        raw_path, _, raw_query = target.partition(b"?")
        if not raw_path.startswith(b"/"):
            raise Malformed("The request target must be a path.", reason="InvalidURI")
        return cls(method, raw_path, raw_query, headers, base_domains)

    @property
    def host(self) -> str:
        """The Host header as received; empty when there is none."""
        return self.header("host") or ""

    def has_any(self, names: frozenset[str]) -> bool:
        """Say whether any of these headers is there: many questions in one."""
        return not names.isdisjoint(self._fields)

    def headers_under(self, prefix: str) -> dict[str, str]:
        """Return the headers whose name begins with ``prefix``, by the rest of their name."""
        found: dict[str, str] = {}
        for name, value in self._fields.items():
            if name.startswith(prefix):
                found[name[len(prefix) :]] = value
        return found

    def _address(self, base_domains: Sequence[str]) -> tuple[str, str]:
        path = self.raw_path
        bucket = _bucket_in_host(self.host, tuple(base_domains)) if base_domains else ""
        if bucket:
            return bucket, _decode(path[1:], "InvalidURI")
        raw_bucket, _, raw_key = path[1:].partition(b"/")
        return _decode(raw_bucket, "InvalidURI"), _decode(raw_key, "InvalidURI")


@lru_cache(maxsize=HOSTS_MAX)
def _bucket_in_host(host: str, base_domains: tuple[str, ...]) -> str:
    """Return the bucket that stands before a base domain; empty where the path has it."""
    found = _HOST(host)
    if found is None or int(found["port"] or 0) > PORT_MAX:
        raise Malformed("The Host header is malformed.", reason="BadRequest")
    name = found["name"].lower().removesuffix(".")
    bases = sorted((base.lower().strip(".") for base in base_domains), key=len, reverse=True)
    if name in bases:
        return ""  # first: one base may end in another
    for base in bases:  # the longest first, for the same reason
        if name.endswith("." + base):
            bucket = name[: -len(base) - 1]
            if not bucket:
                raise Malformed("The Host header is malformed.", reason="BadRequest")
            return bucket
    return ""


def _gather(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    # Joined exactly as the signature joins them, so that what is used is what was signed.
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        try:
            value = raw_value.decode("utf-8").strip(" \t")
        except UnicodeDecodeError:
            raise Malformed(
                f"The header {name[:64]} is not UTF-8.", reason="InvalidArgument"
            ) from None
        held = fields.get(name)
        fields[name] = value if held is None else f"{held},{value}"
    return fields


def _decode(raw: bytes, reason: str) -> str:
    if b"%" in raw:
        if _BAD_ESCAPE(raw):
            raise Malformed("The URI holds a broken percent escape.", reason=reason)
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The URI is not UTF-8.", reason=reason) from None


def _parse_query(raw_query: bytes) -> dict[str, str]:
    pieces = raw_query.split(b"&")
    if len(pieces) > QUERY_PARAMETERS_MAX:
        raise Malformed("The URI has too many query parameters.", reason="InvalidURI")
    query: dict[str, str] = {}
    for piece in pieces:
        if not piece:
            continue
        raw_name, _, raw_value = piece.partition(b"=")
        name = _decode(raw_name, "InvalidURI")
        if name in query:
            # Two values of one name: whichever we took, somebody else would take the other.
            raise Malformed(
                f"The query parameter {name[:64]} is given twice.", reason="InvalidArgument"
            )
        query[name] = _decode(raw_value, "InvalidURI")
    return query

"""The documents that an S3 store answers with, as values.  Pure.

None of it is believed further than it must be: an answer that breaks the protocol is the store's
failure (`Unavailable`), never our client's, and never an empty or a cut list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from hyok.backends.port import ListedObjects, StoredPart, StoredUpload, StoreListing
from hyok.backends.s3_errors import error_of, failure_of
from hyok.backends.s3_wire import iso_time
from hyok.errors import Malformed, Unavailable
from hyok.s3.documents import Element, parse
from hyok.s3.rows import parse_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.s3.rows import Rows

BROKEN = "HY-2481"
LISTING_BYTES_MAX = 8 << 20
_DIGITS_MAX = 20  # of 2^64
_COLUMNS = ("Key", "ETag", "Size", "LastModified")


def broken(what: str) -> Unavailable:
    """Return the error of an answer that no S3 store may give."""
    return Unavailable(
        f"The store's answer breaks the protocol: {what}.",
        reason="ServiceUnavailable",
        code=BROKEN,
    )


def document_of(body: bytes, root: str) -> Element:
    """Return the document of an answer."""
    try:
        return parse(body, root, LISTING_BYTES_MAX)
    except Malformed:
        raise broken(f"it is no {root}") from None


def rows_of(body: bytes, root: str, kinds: Sequence[str] = ()) -> Rows:
    """Return a long document of an answer; ``kinds``: as `parse_rows` has it."""
    try:
        return parse_rows(body, root, LISTING_BYTES_MAX, kinds)
    except Malformed:
        raise broken(f"it is no {root}") from None


def number_of(element: Element, name: str) -> int:
    """Return a number; 0 where it is not said."""
    return number(element.value(name) or "0", name)


def number(text: str, name: str) -> int:
    """Return a number."""
    text = text.strip() or "0"
    # Python reads no number of thousands of digits, and no store has one.
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise broken(f"{name} is no number")
    return int(text)


def next_of(page: Rows, name: str, sent: str) -> str:
    """Return the token of the next page; a list that is cut without one would lose entries."""
    if page.text("IsTruncated") != "true":
        return ""
    token = page.text(name)
    if not token:
        raise broken("a page is cut and names no next one")
    if token == sent:
        raise broken("the next page is the same one")
    return token


def parse_listing(body: bytes, prefix: str, sent: str = "") -> tuple[StoreListing, str]:
    """Return a page of ListObjectsV2, asked for with ``encoding-type=url``, and its token.

    Args:
        body: the document.
        prefix: what was asked for; nothing else may come.
        sent: the token that this page was asked for with.
    """
    page = rows_of(body, "ListBucketResult", ("Contents", "CommonPrefixes"))
    try:
        encoded = page.text("EncodingType") == "url"
        keys, etags, sizes, modified = page.columns("Contents", _COLUMNS)
        (rolled,) = page.columns("CommonPrefixes", ("Prefix",))
        token = next_of(page, "NextContinuationToken", sent)
    except Malformed:
        raise broken("a row says something twice, or what XML does not know") from None
    names, prefixes = (_names_of(found, encoded=encoded) for found in (keys, rolled))
    for found in (names, prefixes):
        if "" in found or [name for name in found if not name.startswith(prefix)]:
            raise broken("it lists what was not asked for")
    objects = ListedObjects(names, etags, _numbers(sizes, "Size"), _times(modified))
    return StoreListing(objects, prefixes), token


def name_of(text: str, *, encoded: bool) -> str:
    """Return a name of a listing."""
    # As S3 does it: a blank is a plus, a plus is %2B.
    return unquote_plus(text) if encoded else text


def _names_of(texts: Sequence[str], *, encoded: bool) -> Sequence[str]:
    whole = "".join(texts)
    if not encoded or ("%" not in whole and "+" not in whole):
        return texts
    names = unquote_plus("\n".join(texts)).split("\n")
    # More of them: a name holds the mark itself.
    return names if len(names) == len(texts) else [unquote_plus(text) for text in texts]


def _numbers(texts: Sequence[str], name: str) -> Sequence[int]:
    whole = "".join(texts)
    lengths = set(map(len, texts))
    if whole.isascii() and whole.isdigit() and min(lengths) and max(lengths) <= _DIGITS_MAX:
        return list(map(int, texts))
    return [number(text, name) for text in texts]


def _times(texts: Sequence[str]) -> Sequence[int]:
    known = {text: iso_time(text) for text in set(texts)}  # many were written in one second
    return [known[text] for text in texts]


def parse_upload_id(body: bytes) -> str:
    """Return the id of CreateMultipartUpload's answer."""
    found = document_of(body, "InitiateMultipartUploadResult").value("UploadId")
    if not found:
        raise broken("it gives no upload id")
    return found


def parse_parts(body: bytes) -> Sequence[StoredPart]:
    """Return a page of ListParts."""
    return [
        StoredPart(
            number=number_of(found, "PartNumber"),
            etag=(found.value("ETag") or "").strip('"'),
            size=number_of(found, "Size"),
            modified_ms=iso_time(found.value("LastModified") or ""),
        )
        for found in document_of(body, "ListPartsResult").all("Part")
    ]


def parse_buckets(body: bytes, sent: str = "") -> tuple[Sequence[str], str]:
    """Return a page of ListBuckets and the token of the next one."""
    page = document_of(body, "ListAllMyBucketsResult")
    buckets = [
        found.value("Name") or ""
        for holder in page.all("Buckets")
        for found in holder.all("Bucket")
    ]
    token = page.value("ContinuationToken") or ""
    if token and token == sent:
        raise broken("the next page is the same one")
    return buckets, token


def parse_uploads(body: bytes) -> Sequence[StoredUpload]:
    """Return a page of ListMultipartUploads."""
    return [
        StoredUpload(
            name=found.value("Key") or "",
            upload_id=found.value("UploadId") or "",
            begun_ms=iso_time(found.value("Initiated") or ""),
        )
        for found in document_of(body, "ListMultipartUploadsResult").all("Upload")
    ]


def parse_etag(body: bytes, root: str) -> str:
    """Return the ETag of a copy's or a completion's answer.

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
        raise broken("it has no ETag")
    return etag

"""POST uploads of a browser's form: which object its fields make, and how it is answered.

Source: Amazon S3 API Reference, "POST Object".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from hyok.errors import Malformed
from hyok.s3.elements import DECLARATION, leaf, quoted
from hyok.s3.metadata import SYSTEM_HEADERS, USER_METADATA_PREFIX
from hyok.s3.tagging import parse_tagging

if TYPE_CHECKING:
    from collections.abc import Mapping

FILENAME = "${filename}"

_STATUSES = {"200": 200, "201": 201, "204": 204}
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII).fullmatch

# Of the signature and the form, not of the object.
_NOT_HEADERS = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}
)


@dataclass(frozen=True, slots=True)
class FormUpload:
    """What a form asks for.  ``headers`` are those that a PUT of the object would have."""

    bucket: str
    key: str
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    status: int
    redirect: str  # empty: none


def expand_fields(fields: Mapping[str, str], *, filename: str, bucket: str) -> dict[str, str]:
    """Return the fields as they count: with the bucket, and the key with the file's own name.

    Raises:
        Malformed: no key, or another bucket than the request's (``InvalidArgument``).
    """
    key = fields.get("key", "")
    if not key:
        raise Malformed(
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the "
            "order of the fields.",
            reason="InvalidArgument",
        )
    if fields.get("bucket", bucket) != bucket:
        raise Malformed(
            "The field 'bucket' is not the bucket of the request.", reason="InvalidArgument"
        )
    # A browser may send a path of its own; only the name counts.
    name = re.split(r"[/\\]", filename)[-1]
    return {**fields, "bucket": bucket, "key": key.replace(FILENAME, name)}


def read_upload(fields: Mapping[str, str]) -> FormUpload:
    """Return what the fields ask for, once `expand_fields` and the policy went over them.

    Raises:
        Malformed: a value that could be no header's (``InvalidArgument``), or bad tags.
    """
    headers: dict[str, str] = {}
    for name, value in fields.items():
        header = "x-amz-acl" if name == "acl" else name
        if header in SYSTEM_HEADERS or (header[:6] == "x-amz-" and header not in _NOT_HEADERS):
            if not _HEADER_NAME(header) or not value.replace("\t", " ").isprintable():
                raise Malformed(
                    f"The value of the field {name[:64]} is not valid.", reason="InvalidArgument"
                )
            headers[header] = value.strip()
    tagging = fields.get("tagging")
    return FormUpload(
        bucket=fields["bucket"],
        key=fields["key"],
        headers=headers,
        tags=parse_tagging(tagging.encode()) if tagging else {},
        status=_STATUSES.get(fields.get("success_action_status", ""), 204),
        redirect=_redirect(fields.get("success_action_redirect") or fields.get("redirect") or ""),
    )


def user_metadata(upload: FormUpload) -> dict[str, str]:
    """Return the user metadata, named without ``x-amz-meta-``."""
    cut = len(USER_METADATA_PREFIX)
    return {n[cut:]: v for n, v in upload.headers.items() if n.startswith(USER_METADATA_PREFIX)}


def _redirect(url: str) -> str:
    """Return where to send the browser; empty for what is no address, as if it were not there."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """What the browser gets when the upload succeeded."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(upload: FormUpload, *, etag: str, address: str) -> FormAnswer:
    """Return the answer to an upload; ``etag`` without quotes, ``address`` of the object."""
    headers = [("etag", quoted(etag))]
    if upload.redirect:
        query = urlencode(
            {"bucket": upload.bucket, "key": upload.key, "etag": quoted(etag)}, quote_via=quote
        )
        parts = urlsplit(upload.redirect)
        joined = f"{parts.query}&{query}" if parts.query else query
        location = parts._replace(query=joined).geturl()
        return FormAnswer(303, (*headers, ("location", location)), b"")
    headers.append(("location", address))
    if upload.status != 201:
        return FormAnswer(upload.status, tuple(headers), b"")
    headers.append(("content-type", "application/xml"))
    inner = (
        f"{leaf('Location', address)}{leaf('Bucket', upload.bucket)}{leaf('Key', upload.key)}"
        f"{leaf('ETag', quoted(etag))}"
    )
    body = f"{DECLARATION}<PostResponse>{inner}</PostResponse>".encode()
    return FormAnswer(201, tuple(headers), body)

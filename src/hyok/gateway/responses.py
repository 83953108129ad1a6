"""Results and faults as S3 answers: headers and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.call import http_date
from hyok.s3 import answers
from hyok.s3.checksums import ALGORITHMS, Algorithm
from hyok.s3.locks import answer_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.gateway.faults import Fault
    from hyok.objects.facts import ObjectFacts
    from hyok.s3.checksums import Algorithm
    from hyok.s3.request import S3Request

Headers = list[tuple[str, str]]

CONTENT_TYPE_UNKNOWN = "binary/octet-stream"

OVERRIDES: Mapping[str, str] = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}
"""Query parameters of a GET that replace a header of its answer."""


UNSEALED = ("x-hyok-unsealed", "true")
"""Marks an answer whose content stood in clear at the store, and of which nothing is proven."""


def unsealed_mark(facts: ObjectFacts) -> Headers:
    """Return what marks an answer about an object that stands in clear; nothing of another."""
    return [] if facts.sealed else [UNSEALED]


def sealed_with(kek_id: str) -> Headers:
    """Return how clients recognise that an ETag is no MD5."""
    headers = [("x-amz-server-side-encryption", "aws:kms")]
    if kek_id:
        headers.append(("x-amz-server-side-encryption-aws-kms-key-id", kek_id))
    return headers


def quoted(etag: str) -> str:
    """Return an ETag as headers carry it."""
    return f'"{etag}"'


def proven_checksum(verified: tuple[Algorithm, str]) -> Headers:
    """Return the checksum headers of what was just written."""
    algorithm, text = verified
    return [(algorithm.header, text), ("x-amz-checksum-type", "FULL_OBJECT")]


def known_checksums(checksums: Mapping[str, str]) -> dict[Algorithm, str]:
    """Return checksums by algorithm, for documents."""
    return {ALGORITHMS[name]: text for name, text in checksums.items() if name in ALGORITHMS}


def validators(facts: ObjectFacts) -> Headers:
    """Return what identifies a version of an object."""
    return [
        ("etag", quoted(facts.etag)),
        ("last-modified", http_date(facts.modified_ms // 1000)),
        *version(facts.version_id),
    ]


def version(version_id: str) -> Headers:
    """Return what tells a version; nothing where the bucket never kept any."""
    return [("x-amz-version-id", version_id)] if version_id else []


def written(version_id: str) -> Headers:
    """Return what tells the version that a write made.

    None where versions are suspended: what replaces the `null` version makes no version, and S3
    names none; stores do in some of their answers and in others not.
    """
    return version("" if version_id == "null" else version_id)


def object_headers(
    facts: ObjectFacts, request: S3Request, *, checksums: bool, parts: bool
) -> Headers:
    """Return the headers of a GET or HEAD answer, without length and range.

    ``checksums``: the whole object was asked for, and its checksum; ``parts``: one part was.
    """
    named = {"content-type": CONTENT_TYPE_UNKNOWN, **facts.headers, **overrides(request)}
    headers = [*validators(facts), ("accept-ranges", "bytes"), *named.items()]
    headers += [(f"x-amz-meta-{name}", value) for name, value in facts.user_metadata.items()]
    if count := facts.tag_count or len(facts.tags):
        headers.append(("x-amz-tagging-count", str(count)))
    headers += answer_headers(facts.lock.retention, legal_hold=facts.lock.legal_hold).items()
    headers += sealed_with(facts.kek_id) if facts.sealed else unsealed_mark(facts)
    if checksums and facts.checksums:
        headers += [(a.header, text) for a, text in known_checksums(facts.checksums).items()]
        headers.append(("x-amz-checksum-type", facts.checksum_type))
    if parts and facts.parts_count:
        headers.append(("x-amz-mp-parts-count", str(facts.parts_count)))
    return headers


def overrides(request: S3Request) -> dict[str, str]:
    """Return the headers that a GET asks to replace.

    Raises:
        Malformed: a value with control characters, which would forge headers.
    """
    found: dict[str, str] = {}
    for parameter, header in OVERRIDES.items():
        value = request.query.get(parameter)
        if value is None:
            continue
        if not value.isprintable():
            raise Malformed(f"The value of {parameter} is not valid.", reason="InvalidArgument")
        found[header] = value
    return found


def error_document(
    fault: Fault, *, resource: str, request_id: str, host_id: str, region: str
) -> bytes:
    """Return the XML of a fault."""
    extra = {"Region": region} if fault.code == "AuthorizationHeaderMalformed" else None
    return answers.error(
        fault.code,
        fault.message,
        resource=resource,
        request_id=request_id,
        host_id=host_id,
        extra=extra,
    )
